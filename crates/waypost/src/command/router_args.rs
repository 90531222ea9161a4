//! Which running router a command talks to.

use std::path::PathBuf;

use clap::Args;

use crate::api::{AdminAddress, Api, read_token};
use crate::failure::Failure;

/// The router's admin address, and what lets one in there.
#[derive(Debug, Args)]
pub(crate) struct RouterArgs {
    /// The admin address of the router
    #[arg(
        long,
        value_name = "ADDR",
        env = "WAYPOST_ADMIN",
        hide_env_values = true,
        default_value = "127.0.0.1:8081"
    )]
    admin: AdminAddress,

    /// A file whose first line is the router's token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// The router's token
    #[arg(long = "token", hide = true, env = "WAYPOST_ADMIN_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

impl RouterArgs {
    pub(crate) fn api(self) -> Result<Api, Failure> {
        let token = match self.token_file {
            Some(file) => Some(read_token(&file)?),
            None => self.token,
        };
        Ok(Api::new(self.admin, token))
    }
}
