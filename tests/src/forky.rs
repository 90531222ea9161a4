//! Programs of Debian's testing suite, unpacked by `./dev setup`, where the stable one's are too old.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A program of a tree that `forky_tree` in `dev` unpacked, to be run with the libraries of that tree.
///
/// # Panics
/// When it isn't there.
pub fn program(tree: &str, program: &str) -> Command {
    let run = cache().join("forky").join(tree).join("run");
    assert!(run.exists(), "{} is not there: ./dev setup unpacks it", run.display());
    let mut command = Command::new(run);
    command.arg(program);
    command
}

/// Where `dev` keeps what it unpacked.
fn cache() -> PathBuf {
    match (std::env::var_os("WAYPOST_CACHE"), std::env::var_os("HOME")) {
        (Some(cache), _) => PathBuf::from(cache),
        (None, home) => home.as_deref().map_or(Path::new("/tmp"), Path::new).join(".cache/waypost"),
    }
}
