//! A disk that can be full.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A file system of 6 MiB, unmounted when it is dropped. Mounting it needs root.
#[derive(Debug)]
pub struct SmallDisk(TempDir);

impl SmallDisk {
    /// Mounts an empty one.
    #[expect(clippy::new_without_default, reason = "it mounts a file system")]
    pub fn new() -> SmallDisk {
        let directory = TempDir::new().expect("a temporary directory");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=6m", "tmpfs"]).arg(directory.path());
        let mounted = mount.status().is_ok_and(|status| status.success());
        assert!(mounted, "a tmpfs can't be mounted: this test needs root");
        SmallDisk(directory)
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Leaves no byte free.
    pub fn fill(&self) {
        let mut file = File::create(self.filler()).expect("a file on the new disk");
        for size in [1 << 16, 1 << 10, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    /// Frees what was filled.
    pub fn make_room(&self) {
        std::fs::remove_file(self.filler()).expect("the disk was filled");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a program that a failed test leaves behind may still have files there.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
