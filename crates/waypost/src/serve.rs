//! `waypost serve`: makes a router of the configuration, and sees it through its life. What can fail is done
//! before anything is said to be running: first what this machine keeps (table, log), then the sockets.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use waypost_admin::{Admin, AdminServer, RunningAdmin};
use waypost_backend::upstream::Registry;
use waypost_http1::HeadLimits;
use waypost_proxy::{Forwarding, Ground, Limits, Options, Server};
use waypost_stats::{AccessLog, AccessLogOptions};
use waypost_table::TableStore;

use crate::api::read_token;
use crate::banner::Banner;
use crate::config::{Config, Overrides};
use crate::failure::Failure;
use crate::output::Output;
use crate::panel::Panel;
use crate::tree::Tree;
use crate::version_sets::VersionSets;
use crate::{log, node};

/// How often a drain looks whether it is done.
const DRAIN_TICK: Duration = Duration::from_millis(20);

/// Run the router.
///
/// It runs until SIGTERM or Ctrl-C; then requests in flight finish, within `drain_timeout` of the
/// configuration. A flag stands over its variable in the environment, which stands over the file. Everything
/// has a default.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The configuration file; without one everything has its default
    #[arg(long, value_name = "FILE", env = "WAYPOST_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,

    #[command(flatten)]
    overrides: Overrides,
}

/// A router that runs.
struct Running {
    server: Server,
    admin: RunningAdmin,
    panel: Arc<Panel>,
    store: Arc<dyn TableStore>,
    access_log: Arc<AccessLog>,
}

/// The signals a router listens to.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    reopen: Signal,
    reload: Signal,
}

impl Serve {
    pub(crate) fn run(self, output: &mut Output) -> Result<(), Failure> {
        let config = Arc::new(Config::load(self.config.as_deref(), &self.overrides.0)?);
        log::start(config.general.log_level);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| Failure::System { what: "the system gives no event queue", source })?;
        runtime.block_on(async {
            // Heard from here on: a signal during the start is not lost.
            let signals = Signals::listen()
                .map_err(|source| Failure::System { what: "signals can't be listened to", source })?;
            let running = Running::start(&config)?;
            let program = std::env::args().next().unwrap_or_else(|| "waypost".to_owned());
            let banner = output.text(Banner {
                program: &program,
                http: running.server.addresses(),
                admin: running.admin.address(),
                table: &running.store.table().status(),
                access_log: running.access_log.path(),
            });
            if let Err(error) = banner.and_then(|()| output.flush()) {
                // A router runs just as well when nobody reads what it prints.
                tracing::debug!(%error, "the addresses could not be printed");
            }
            running.live(signals, config.general.drain_timeout).await
        })
    }
}

impl Running {
    fn start(config: &Arc<Config>) -> Result<Self, Failure> {
        let token = match (&config.admin.token, &config.admin.token_file) {
            (Some(token), _) => Some(token.clone()),
            (None, Some(file)) => Some(read_token(file)?),
            (None, None) => None,
        };
        let data = &config.general.data;
        make_directory(data)?;
        let store = config.table_address().follow(data)?;
        let sets = VersionSets::open(&config.stats_address())?;
        let node = match config.general.node_id {
            Some(node) => node,
            None => node::kept_in(data)?,
        };
        let log_options = AccessLogOptions {
            create_directory: config.stats.access_log.is_none(),
            ..AccessLogOptions::default()
        };
        let access_log = Arc::new(AccessLog::open(config.access_log(), log_options)?);

        let registry = Registry::new();
        let tree = Arc::new(Tree::new(Arc::clone(config), Arc::clone(store.table()))?);
        let panel = Arc::new(Panel::new(Arc::clone(&tree), Arc::clone(&registry)));
        let admin_socket = AdminServer::bind(config.listen.admin)?;
        let server = Server::start(Options {
            listen: config.listen.http.clone(),
            workers: workers(config),
            limits: limits(config),
            forwarding: forwarding(config),
            registry,
            access_log: Some(Arc::clone(&access_log)),
            tree: Arc::new(move |ground: &Ground| tree.build(&ground.peers)),
        })?;
        let mut admin = Admin::new(Arc::clone(&store), panel.clone()).with_sets(Arc::new(sets));
        if let Some(token) = token {
            admin = admin.with_token(token);
        }
        let admin = admin_socket
            .start(admin)
            .map_err(|source| Failure::System { what: "the admin API can't be started", source })?;
        tracing::info!(%node, workers = workers(config), "router started");
        Ok(Self { server, admin, panel, store, access_log })
    }

    /// Runs until it is told to end, and ends.
    async fn live(self, mut signals: Signals, drain_timeout: Duration) -> Result<(), Failure> {
        loop {
            tokio::select! {
                _ = signals.terminate.recv() => break,
                _ = signals.interrupt.recv() => break,
                _ = signals.reopen.recv() => self.access_log.reopen(),
                _ = signals.reload.recv() => {
                    tracing::warn!("SIGHUP: this version can't reload its configuration; restart it instead");
                }
            }
        }
        tracing::info!(timeout = ?drain_timeout, connections = self.server.connections(), "draining");
        self.panel.set_draining();
        self.server.drain();
        let drained = async {
            while !self.server.has_ended() {
                tokio::time::sleep(DRAIN_TICK).await;
            }
        };
        tokio::select! {
            _ = tokio::time::timeout(drain_timeout, drained) => {}
            _ = signals.terminate.recv() => tracing::warn!("told a second time to end: not waiting any longer"),
            _ = signals.interrupt.recv() => tracing::warn!("told a second time to end: not waiting any longer"),
        }
        self.end()
    }

    fn end(self) -> Result<(), Failure> {
        // What could finish has; what is left is cut off.
        let cut = self.server.stop();
        if cut > 0 {
            tracing::warn!(connections = cut, "connections were cut off");
        }
        self.admin.stop();
        self.access_log.close()?;
        // The last hold on the store: its writer finishes before the process does.
        drop(self.store);
        tracing::info!("router ended");
        Ok(())
    }
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            reopen: signal(SignalKind::user_defined1())?,
            reload: signal(SignalKind::hangup())?,
        })
    }
}

fn make_directory(path: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(path).map_err(|source| Failure::Data { path: path.to_owned(), source })
}

fn workers(config: &Config) -> usize {
    match config.general.workers {
        Some(count) => count as usize,
        None => std::thread::available_parallelism().map_or(1, usize::from),
    }
}

fn limits(config: &Config) -> Limits {
    let limits = &config.limits;
    Limits {
        head: HeadLimits {
            line: limits.request_line.bytes(),
            size: limits.header_size.bytes(),
            fields: limits.header_count as usize,
        },
        max_body: limits.max_body.get().map(|size| size.0),
        header_timeout: limits.header_timeout,
        idle_timeout: limits.idle_timeout,
        tunnel_timeout: limits.tunnel_timeout,
        connections_per_client: limits.connections_per_client.get(),
        max_connections: limits.max_connections.get(),
    }
}

fn forwarding(config: &Config) -> Forwarding {
    let forwarded = &config.forwarded;
    Forwarding { trusted: forwarded.trusted.clone(), forwarded: forwarded.forwarded, via: forwarded.via }
}
