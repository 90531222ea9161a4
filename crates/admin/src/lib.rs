//! The admin API: what a running router tells about itself, and how its table is changed.

#![forbid(unsafe_code)]
