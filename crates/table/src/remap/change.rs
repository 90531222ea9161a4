//! Changes of a memcached table that are asked of this program. Others write it with clients of their own.

use serde::{Deserialize, Serialize};
use waypost_memcached::{Client, Error, StoreOptions};

use super::key::RouteKey;
use super::target::RouteTarget;
use crate::change::Outcome;

/// One change of a memcached table. In JSON: `{"op": "set", "key": "http://www.example.com:80/", "target":
/// "http://10.0.0.1:8080/"}` and the like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum RemapChange {
    /// Sends the requests of a key there, whatever was there before.
    Set {
        /// The key.
        key: RouteKey,
        /// Where to.
        target: RouteTarget,
    },
    /// Removes a key.
    Remove {
        /// The key.
        key: RouteKey,
        /// Only if its requests are sent there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target: Option<RouteTarget>,
    },
}

/// Makes a change, unless the table is as asked already.
pub(super) async fn make(client: &Client, change: &RemapChange) -> Result<Outcome, Error> {
    match change {
        RemapChange::Set { key, target } => {
            let before = client.get(key.as_str()).await?;
            let same = |value: &[u8]| RouteTarget::parse(value).as_ref() == Ok(target);
            if before.as_ref().is_some_and(|item| same(&item.value)) {
                return Ok(Outcome::AlreadyThere);
            }
            client.set(key.as_str(), target.to_string(), StoreOptions::default()).await?;
            Ok(if before.is_some() { Outcome::Updated } else { Outcome::Added })
        }
        RemapChange::Remove { key, target } => {
            if let Some(target) = target {
                let there = client.get(key.as_str()).await?;
                if there.is_none_or(|item| RouteTarget::parse(&item.value).as_ref() != Ok(target)) {
                    return Ok(Outcome::WasNotThere);
                }
            }
            match client.delete(key.as_str()).await {
                Ok(()) => Ok(Outcome::Removed),
                Err(Error::NotFound) => Ok(Outcome::WasNotThere),
                Err(error) => Err(error),
            }
        }
    }
}
