//! What the admin API sees of the running router.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use waypost_backend::upstream::{Peers, Registry};
use waypost_backend::{Backend, Explanation, Report, Sketch, Timers};
use waypost_table::routes::instance_health;
use waypost_table::{Health, InstanceRef};

use crate::tree::Tree;

/// The router behind the admin API.
pub(crate) struct Panel {
    /// Locked for as long as it takes to clone or to replace the pointer.
    tree: Mutex<Arc<Tree>>,
    registry: Arc<Registry>,
    draining: AtomicBool,
}

impl Panel {
    pub(crate) fn new(tree: Arc<Tree>, registry: Arc<Registry>) -> Self {
        Self { tree: Mutex::new(tree), registry, draining: AtomicBool::new(false) }
    }

    /// Says that the router is on its way out.
    pub(crate) fn set_draining(&self) {
        self.draining.store(true, Relaxed);
    }

    /// Looks at another tree from now on.
    pub(crate) fn set_tree(&self, tree: Arc<Tree>) {
        *self.tree.lock().unwrap_or_else(PoisonError::into_inner) = tree;
    }

    fn tree(&self) -> Arc<Tree> {
        Arc::clone(&self.tree.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at a tree built for this: those of the workers never leave their threads. It has no connections,
    /// and nothing is sent through it.
    fn look<T>(&self, look: impl FnOnce(&dyn Backend) -> T) -> T {
        let peers = Peers::new(Arc::clone(&self.registry), Timers::new());
        look(&*self.tree().build(&peers))
    }
}

impl waypost_admin::Router for Panel {
    fn health(&self, instance: &InstanceRef<'_>) -> Health {
        instance_health(&self.registry, instance)
    }

    fn backends(&self) -> Report {
        self.look(|tree| tree.report())
    }

    fn explain(&self, request: &Sketch<'_>) -> Explanation {
        self.look(|tree| tree.explain(request))
    }

    fn backend_names(&self) -> BTreeSet<String> {
        self.tree().named_by_table()
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }
}
