//! Everything that answers a request is a backend, and backends compose.
//!
//! A [`Backend`] takes an [`Exchange`] (the request, its body, what is known of the client, what to note
//! for the log) and returns a [`Response`] as a value, or a [`Failure`] that says whether anything of the
//! request may have been acted upon. Nodes hold other backends; leaves answer themselves: [`Client`]
//! asks one HTTP server, [`Respond`] and [`Redirect`] answer out of the configuration.
//!
//! Each worker thread holds a tree of its own: futures are `!Send`, children are plain `Rc`, connections
//! never change threads, nothing on the way of a request takes a lock. What workers agree on (which
//! instance is down, how many requests it has in hand) is in [`upstream::Registry`], as atomics.
//!
//! Tables, stores and listeners are unknown here.

#![forbid(unsafe_code)]

mod backend;
mod body;
mod budget;
mod buffer;
mod client;
mod cluster;
pub mod conditional;
mod deadline;
mod drain;
mod exchange;
mod failure;
mod files;
mod hash_ring;
mod headers;
mod health;
mod in_process;
mod kept;
mod location;
mod log;
mod outcomes;
pub mod range;
mod rate_limit;
mod redirect;
mod replay;
mod respond;
mod response;
mod restore;
mod retry;
mod round_robin;
mod switch;
mod template;
mod timeout;
mod try_pass;
pub mod upstream;

pub use backend::{Backend, Call, Duties, Explanation, Probe, Report, Sketch};
pub use body::{Body, BodyError, Fill, Source};
pub use budget::{Budget, BudgetOptions};
pub use buffer::{Buffer, recycle, spare};
pub use client::{Client, ClientOptions, ProbeOptions};
pub use cluster::{Algorithm, ClusterOptions, Ring};
pub use deadline::{Deadline, Timers};
pub use exchange::{Downstream, Exchange, Interim, Notes};
pub use failure::{Failure, FailureKind};
pub use files::{Files, FilesOptions};
pub use hash_ring::{HashRing, HashRingOptions, RingKey};
pub use headers::{FieldEdits, Headers};
pub use health::{Attendance, Finding, Health, HealthReport, Pace};
pub use in_process::{InProcess, InProcessOptions, RequestBody, RequestBodyError};
pub use log::{Log, LogField, LogOptions};
pub use outcomes::Outcomes;
pub use rate_limit::{RateKey, RateLimit, RateOptions};
pub use redirect::Redirect;
pub use replay::Replay;
pub use respond::Respond;
pub use response::{Response, Tunnel};
pub use restore::Restore;
pub use retry::{LONGEST_WAIT, Retry, RetryMethods, RetryOptions};
pub use round_robin::RoundRobin;
pub use switch::{Case, HostPattern, Switch};
pub use template::Template;
pub use timeout::Timeout;
pub use try_pass::{MOST_RESTARTS, TryPass, TryPassOptions};
