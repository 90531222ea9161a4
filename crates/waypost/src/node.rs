//! The router's own id: given, or made at the first start and kept in the data directory.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use uuid::Uuid;

use crate::failure::Failure;

const FILE_NAME: &str = "node-id";

/// The id kept in this directory, made now if there is none.
///
/// # Errors
/// If the file can't be read or written, or holds something else.
pub(crate) fn kept_in(directory: &Path) -> Result<Uuid, Failure> {
    let path = directory.join(FILE_NAME);
    match fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().map_err(|_| {
            let path = path.display();
            Failure::Other(format!(
                "{path} holds no UUID: write this router's node id there, or remove the file"
            ))
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let id = Uuid::new_v4();
            // Written beside and moved: a half-written id is worse than none.
            let new = directory.join(".node-id.new");
            fs::write(&new, format!("{id}\n"))
                .and_then(|()| fs::rename(&new, &path))
                .map_err(|source| Failure::File { path, wanted: "written", source })?;
            Ok(id)
        }
        Err(source) => Err(Failure::File { path, wanted: "read", source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_made_once_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        let first = kept_in(directory.path()).unwrap();
        assert_eq!(kept_in(directory.path()).unwrap(), first);
    }

    #[test]
    fn a_file_that_holds_no_id_is_named() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(FILE_NAME), "x").unwrap();
        let error = kept_in(directory.path()).unwrap_err().to_string();
        assert!(error.contains("node-id holds no UUID"), "{error}");
    }
}
