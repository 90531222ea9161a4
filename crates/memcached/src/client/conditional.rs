//! Reads that are spared when nothing changed: whoever keeps a copy of an item asks for it with the token of the
//! copy, and is only sent the value when the item has another by now.

use super::Client;
use crate::error::Error;
use crate::protocol::{Item, Reply, Request};

/// What has become of an item since its token was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is as it was.
    Unchanged,
    /// It was stored again: here it is, with its new token.
    Changed(Item),
    /// There is none any more.
    Gone,
}

impl Client {
    /// Reads an item unless it still has the token that [`Client::gets`] read. A server from 1.6.40 on compares
    /// it and sends nothing but that; from others the item is read, and compared here.
    ///
    /// Each server counts tokens on its own, and anew when it is restarted. With `failover` or `replicas`, where
    /// the token may be another server's, the item is therefore always [`Change::Changed`]; likewise with the
    /// token 0, which stands for none.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn get_if_changed(&self, key: impl AsRef<[u8]>, token: u64) -> Result<Change, Error> {
        let key = self.key(key.as_ref())?;
        let request = match token == 0 || self.shared.failover || self.shared.copies > 1 {
            true => Request::Get { key, cas: true, ttl: false, touch: None },
            false => Request::GetIfChanged { key, token },
        };
        Ok(match self.shared.ask(request).await? {
            Reply::Item(item) => Change::Changed(item),
            Reply::Unchanged => Change::Unchanged,
            _ => Change::Gone,
        })
    }
}
