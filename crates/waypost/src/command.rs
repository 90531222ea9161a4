//! The commands, a file each.

pub(crate) mod backend;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod kv;
pub(crate) mod man;
pub(crate) mod route;
mod router_args;
