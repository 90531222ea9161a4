//! The program as its users run it, from a directory of its own.

mod command_line;
mod program;
mod route_on_a_router;
mod route_on_a_store;
mod router;
mod signals;
