//! The program `waypost` as a library: its command line, its configuration, and the wiring that makes a
//! running router of the other crates. Only the program itself and tests are meant to use it; the parts that
//! are useful alone are the other crates'.

#![forbid(unsafe_code)]

pub mod backends;
pub mod cli;
pub mod config;

mod api;
mod banner;
mod command;
mod failure;
mod handlers;
mod life;
mod log;
mod node;
mod output;
mod panel;
mod serve;
mod tree;
mod version_sets;

pub use version_sets::{SetsError, VersionSets};
