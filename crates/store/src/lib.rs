//! Key-value stores behind one small interface.

#![forbid(unsafe_code)]

pub mod redis;
