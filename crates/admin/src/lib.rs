//! The admin API: what a running router tells about itself, and how its table is changed.
//!
//! JSON under `/api/v1/`, with [problem details](Problem) where something can't be done; `/healthz`,
//! `/readyz` and `/metrics` for whoever watches the process. The API knows the route table by `waypost-table`'s types and
//! everything else by two small traits, [`Router`] and [`VersionSets`]: it passes on what it is asked, and
//! leaves to them how it is done.
//!
//! It is guarded by where it listens: on loopback by refusing what a web page could send, elsewhere by a
//! token, without which the configuration does not let it listen there (see [`Admin::with_token`]). Every
//! body has a bound, or is taken in as it arrives.

#![forbid(unsafe_code)]

mod asked;
mod backends;
mod guard;
mod health;
mod index;
mod listing;
mod metrics;
mod pipe;
mod problem;
mod remap;
mod router;
mod routes;
mod server;
mod state;
mod transfer;

pub use health::Readiness;
pub use listing::{ListingFormat, write_listing};
pub use problem::Problem;
pub use remap::{KnownRoutes, RemapApplied, RemapChangeRequest};
pub use router::{Membership, Router, SetKind, VersionSets};
pub use routes::{ChangeRequest, Pruned, PrunedInstance};
pub use server::{AdminServer, BindError, RunningAdmin};
pub use state::Admin;
