//! `waypost serve`: makes a router of the configuration, and sees it through its life. What can fail is done
//! before anything is said to be running: first what this machine keeps (table, log), then the sockets.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use waypost_admin::{Admin, AdminServer, RunningAdmin};
use waypost_backend::upstream::Registry;
use waypost_proxy::{Ground, Options, Server, Settings};
use waypost_stats::{AccessLog, AccessLogOptions};
use waypost_table::TableStore;

use crate::api::read_token;
use crate::banner::Banner;
use crate::config::{Config, Overrides};
use crate::failure::Failure;
use crate::life::Life;
use crate::output::Output;
use crate::panel::Panel;
use crate::tree::{Tree, forwarding, limits};
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
    /// Where its configuration comes from.
    source: Serve,
    /// What is in force.
    config: Arc<Config>,
    server: Server,
    admin: RunningAdmin,
    panel: Arc<Panel>,
    life: Arc<Life>,
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
            let running = Running::start(self, config)?;
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
            running.live(signals).await
        })
    }
}

impl Running {
    fn start(source: Serve, config: Arc<Config>) -> Result<Self, Failure> {
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
        let tree = Arc::new(Tree::new(Arc::clone(&config), &store));
        let life = Life::of(&registry);
        let panel = Arc::new(Panel::new(Arc::clone(&tree), Arc::clone(&registry)));
        let admin_socket = AdminServer::bind(config.listen.admin)?;
        let server = Server::start(Options {
            listen: config.listen.http.clone(),
            workers: workers(&config),
            settings: settings(&config, tree),
            registry,
            access_log: Some(Arc::clone(&access_log)),
        })?;
        let mut admin = Admin::new(Arc::clone(&store), panel.clone()).with_sets(Arc::new(sets));
        if let Some(token) = token {
            admin = admin.with_token(token);
        }
        let admin = admin_socket
            .start(admin)
            .map_err(|source| Failure::System { what: "the admin API can't be started", source })?;
        tracing::info!(%node, workers = workers(&config), "router started");
        Ok(Self { source, config, server, admin, panel, life, store, access_log })
    }

    /// Runs until it is told to end, and ends.
    async fn live(mut self, mut signals: Signals) -> Result<(), Failure> {
        loop {
            tokio::select! {
                _ = signals.terminate.recv() => break,
                _ = signals.interrupt.recv() => break,
                _ = signals.reopen.recv() => self.access_log.reopen(),
                _ = signals.reload.recv() => self.reload(),
            }
        }
        let drain_timeout = self.config.general.drain_timeout;
        tracing::info!(timeout = ?drain_timeout, connections = self.server.connections(), "draining");
        self.panel.set_draining();
        self.life.drain();
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

    /// Reads the configuration again and puts in force what can change while the router runs. One with an
    /// error in it is refused whole.
    fn reload(&mut self) {
        let loaded = Config::load(self.source.config.as_deref(), &self.source.overrides.0);
        let config = match loaded {
            Ok(config) => Arc::new(config),
            Err(problems) => {
                for problem in problems.lines() {
                    tracing::error!("not reloaded, the configuration in force stays: {problem}");
                }
                return;
            }
        };
        let tree = Arc::new(Tree::new(Arc::clone(&config), &self.store));
        for what in needs_restart(&self.config, &config) {
            tracing::warn!("{what} has changed in the configuration: that takes a restart");
        }
        self.panel.set_tree(Arc::clone(&tree));
        self.server.reload(settings(&config, tree));
        log::set_level(config.general.log_level);
        self.config = config;
        tracing::info!("configuration reloaded");
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

/// What of a configuration can change while the router runs.
fn settings(config: &Config, tree: Arc<Tree>) -> Settings {
    Settings {
        limits: limits(config),
        forwarding: forwarding(config),
        tree: Arc::new(move |ground: &Ground| tree.build(&ground.peers)),
    }
}

/// What differs between two configurations that can't change while the router runs.
fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let differences = [
        (old.listen != new.listen, "[listen]"),
        (old.admin != new.admin, "[admin]"),
        (old.stats != new.stats, "[stats]"),
        (old.table_address() != new.table_address(), "url of [table]"),
        (old.general.data != new.general.data, "data"),
        (old.general.workers != new.general.workers, "workers"),
        (old.general.node_id != new.general.node_id, "node_id"),
    ];
    differences.into_iter().filter_map(|(differs, what)| differs.then_some(what)).collect()
}
