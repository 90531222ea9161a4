//! Opening files below a root, without leaving it and, where that is possible, without waiting for a disk.
//!
//! The kernel itself keeps the resolution below the root (`openat2` with `RESOLVE_BENEATH`): what checks a
//! name first and opens it afterwards can be overtaken by a rename. Where there is no `openat2`, names are
//! walked segment by segment and no symbolic link is followed.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2};
use rustix::io::Errno;

/// Whether a call may wait for a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Only what the kernel has in memory; else [`OpenError::WouldWait`].
    Never,
    /// It runs where waiting harms nobody.
    May,
}

/// Why there is no file.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// Nothing of that name, or nothing below the root.
    Missing,
    /// There is, but not for us.
    Forbidden,
    /// It takes waiting to know.
    WouldWait,
    /// The system has no answer.
    Other(io::Error),
}

/// What was found.
#[derive(Debug)]
pub(crate) enum Found {
    File(OpenFile),
    Directory,
}

/// An open file and what was known of it then.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) file: File,
    pub(crate) length: u64,
    pub(crate) modified: SystemTime,
    /// Names this state of this file, without quotes.
    pub(crate) tag: String,
}

/// A directory and how its files are found.
#[derive(Debug, Clone)]
pub(crate) struct Root {
    pub(crate) path: PathBuf,
    pub(crate) follow_symlinks: bool,
}

impl Root {
    /// Opens what has that name, relative to the root.
    pub(crate) fn open(&self, name: &[u8], wait: Wait) -> Result<Found, OpenError> {
        // Opened anew each time: a deployment that puts another directory in its place is seen at once.
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = resolve(rustix::fs::CWD, &self.path, flags, ResolveFlags::empty(), wait)?;
        let name = if name.is_empty() { &b"."[..] } else { name };
        let name = Path::new(OsStr::from_bytes(name));
        // NONBLOCK: a pipe that nobody writes to must not hold us.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let opened = if self.follow_symlinks {
            resolve(&root, name, flags, ResolveFlags::NO_MAGICLINKS, wait)
        } else {
            let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
            resolve(&root, name, flags, beneath, wait)
        }?;
        look(opened)
    }
}

fn resolve(
    directory: impl std::os::fd::AsFd,
    name: &Path,
    flags: OFlags,
    mut how: ResolveFlags,
    wait: Wait,
) -> Result<OwnedFd, OpenError> {
    if wait == Wait::Never {
        how |= ResolveFlags::CACHED;
    }
    match openat2(&directory, name, flags, Mode::empty(), how) {
        Ok(opened) => Ok(opened),
        // EINVAL: CACHED came with a later kernel than the rest.
        Err(Errno::AGAIN | Errno::NOSYS | Errno::INVAL) if wait == Wait::Never => Err(OpenError::WouldWait),
        // No openat2 here, or a sandbox that doesn't know it.
        Err(Errno::NOSYS | Errno::PERM) if how.contains(ResolveFlags::BENEATH) => {
            walk(&directory, name, flags).map_err(from_errno)
        }
        Err(Errno::NOSYS | Errno::PERM) => openat(&directory, name, flags, Mode::empty()).map_err(from_errno),
        Err(error) => Err(from_errno(error)),
    }
}

/// Opens a name one segment at a time, none of which may be a link.
fn walk(directory: impl std::os::fd::AsFd, name: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let through = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut here = openat(directory, ".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut segments = name.iter().peekable();
    while let Some(segment) = segments.next() {
        if segments.peek().is_none() {
            return openat(&here, segment, flags | OFlags::NOFOLLOW, Mode::empty());
        }
        here = openat(&here, segment, through, Mode::empty())?;
    }
    Err(Errno::NOENT)
}

fn look(opened: OwnedFd) -> Result<Found, OpenError> {
    let stat = fstat(&opened).map_err(from_errno)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Ok(Found::Directory),
        FileType::RegularFile => {
            let (seconds, nanos) = (stat.st_mtime, stat.st_mtime_nsec);
            // A file from before 1970 is as good as one from then.
            let since = Duration::new(u64::try_from(seconds).unwrap_or(0), nanos as u32);
            Ok(Found::File(OpenFile {
                file: opened.into(),
                length: u64::try_from(stat.st_size).unwrap_or(0),
                modified: SystemTime::UNIX_EPOCH + since,
                tag: format!("{:x}-{:x}-{:x}", since.as_nanos(), stat.st_size, stat.st_ino),
            }))
        }
        // Sockets, pipes and devices are nobody's business.
        _ => Err(OpenError::Missing),
    }
}

fn from_errno(error: Errno) -> OpenError {
    match error {
        // XDEV: the name leads out of the root. LOOP: a link where none is followed.
        Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV | Errno::NAMETOOLONG | Errno::NXIO => {
            OpenError::Missing
        }
        Errno::ACCESS | Errno::PERM => OpenError::Forbidden,
        other => OpenError::Other(other.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn read(root: &Root, name: &str, wait: Wait) -> Result<u64, String> {
        match root.open(name.as_bytes(), wait) {
            Ok(Found::File(found)) => Ok(found.length),
            Ok(Found::Directory) => Err("directory".into()),
            Err(error) => Err(format!("{error:?}")),
        }
    }

    #[test]
    fn a_link_is_followed_inside_the_root_and_out_of_it_only_if_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("root");
        std::fs::create_dir_all(path.join("sub")).unwrap();
        std::fs::write(path.join("sub/file"), "12345").unwrap();
        std::fs::write(directory.path().join("secret"), "secret").unwrap();
        symlink("sub/file", path.join("inside")).unwrap();
        symlink("../secret", path.join("outside")).unwrap();
        symlink(directory.path(), path.join("sub/up")).unwrap();
        let mut root = Root { path, follow_symlinks: false };
        assert_eq!(read(&root, "sub/file", Wait::May), Ok(5));
        assert_eq!(read(&root, "inside", Wait::May), Ok(5));
        assert_eq!(read(&root, "outside", Wait::May), Err("Missing".into()));
        assert_eq!(read(&root, "sub/up/secret", Wait::May), Err("Missing".into()));
        assert_eq!(read(&root, "sub", Wait::May), Err("directory".into()));
        assert_eq!(read(&root, "", Wait::May), Err("directory".into()));
        assert_eq!(read(&root, "none", Wait::May), Err("Missing".into()));
        root.follow_symlinks = true;
        assert_eq!(read(&root, "outside", Wait::May), Ok(6));
    }

    #[test]
    fn the_walk_follows_no_link() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("sub")).unwrap();
        std::fs::write(directory.path().join("sub/file"), "1").unwrap();
        symlink("sub", directory.path().join("link")).unwrap();
        symlink("sub/file", directory.path().join("file")).unwrap();
        let root = openat(rustix::fs::CWD, directory.path(), OFlags::PATH, Mode::empty()).unwrap();
        let open = |name: &str| walk(&root, Path::new(name), OFlags::RDONLY).map(drop);
        assert_eq!(open("sub/file"), Ok(()));
        assert_eq!(open("link/file"), Err(Errno::NOTDIR));
        assert_eq!(open("file"), Err(Errno::LOOP));
    }

    #[test]
    fn what_was_just_written_is_found_without_waiting_or_says_that_it_takes_waiting() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("file"), "12345").unwrap();
        let root = Root { path: directory.path().to_owned(), follow_symlinks: false };
        let found = read(&root, "file", Wait::Never);
        assert!(found == Ok(5) || found == Err("WouldWait".into()), "{found:?}");
    }

    #[test]
    fn a_pipe_is_no_file_and_holds_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::RUSR, 0).unwrap();
        let root = Root { path: directory.path().to_owned(), follow_symlinks: false };
        assert_eq!(read(&root, "pipe", Wait::May), Err("Missing".into()));
    }
}
