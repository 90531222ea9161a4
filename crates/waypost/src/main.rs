//! The program `waypost`: an HTTP edge router and the commands around it.

#![forbid(unsafe_code)]

fn main() {}
