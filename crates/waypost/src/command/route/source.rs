//! Where the table is that a command works on: behind a running router, or in a store that nobody runs on.

use std::sync::Arc;

use clap::Args;
use waypost_admin::ChangeRequest;
use waypost_table::embedded::FILE_NAME;
use waypost_table::{Applied, TableAddress, TableStore};

use crate::api::Api;
use crate::command::router_args::RouterArgs;
use crate::failure::Failure;

/// Which table to work on.
#[derive(Debug, Args)]
pub(super) struct Source {
    #[command(flatten)]
    router: RouterArgs,

    /// Work on this store directly, without a router: embedded:DIR, file:ROUTES.toml, redis://HOST or
    /// memcached://HOST
    #[arg(long, value_name = "URL")]
    table: Option<TableAddress>,
}

/// A table to work on.
pub(super) enum Routes {
    /// A running router's.
    Router(Api),
    /// A store of our own.
    Store(Arc<dyn TableStore>),
}

impl Source {
    /// The table to make changes in, which is made if it is missing. It may not be read.
    pub(super) fn open_to_change(self) -> Result<Routes, Failure> {
        match self.table {
            Some(address) => Ok(Routes::Store(address.open_to_change()?)),
            None => Ok(Routes::Router(self.router.api()?.or_instead("use --table"))),
        }
    }

    /// The table to remove from, which must be there. It may not be read.
    pub(super) fn open_to_remove(self) -> Result<Routes, Failure> {
        self.must_be_there()?;
        self.open_to_change()
    }

    /// The table, which must be there.
    pub(super) fn open(self) -> Result<Routes, Failure> {
        self.must_be_there()?;
        match self.table {
            Some(address) => Ok(Routes::Store(address.open()?)),
            None => Ok(Routes::Router(self.router.api()?.or_instead("use --table"))),
        }
    }

    /// A slip in the address of a table is not to make a new one.
    fn must_be_there(&self) -> Result<(), Failure> {
        if let Some(TableAddress::Embedded(directory)) = &self.table {
            let there = directory.join(FILE_NAME).try_exists();
            // What can't even be looked at is the store's to explain.
            if matches!(there, Ok(false)) {
                let directory = directory.display();
                return Err(Failure::Other(format!(
                    "there is no table in {directory}: check --table, or make one with `waypost route add`"
                )));
            }
        }
        Ok(())
    }

    /// The store's address, when it is worked on directly.
    pub(super) fn store_address(&self) -> Option<&TableAddress> {
        self.table.as_ref()
    }
}

impl Routes {
    /// Makes changes: all of them, or none.
    pub(super) fn apply(&self, request: ChangeRequest) -> Result<Applied, Failure> {
        match self {
            Self::Router(api) => Ok(api.post("/api/v1/routes", &request)?),
            Self::Store(store) => Ok(store.apply(request.changes)?),
        }
    }
}
