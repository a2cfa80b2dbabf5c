//! Files of the user: read within bounds, replaced as a whole.

use crate::failure::Failure;
use forge_blueprints::yaml::MAX_BYTES;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

/// The bytes of a file that is to be a document: one more than is ever read as one, so that a larger is known as such.
pub(crate) fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    File::open(path).and_then(bounded)
}

/// The same, with the failure that users see.
pub(crate) fn read(path: &Path, shown: &Path) -> Result<Vec<u8>, Failure> {
    bytes(path).map_err(|error| unreadable(shown, &error))
}

/// The same of stdin.
pub(crate) fn read_stdin() -> Result<Vec<u8>, Failure> {
    bounded(io::stdin().lock()).map_err(|error| Failure::new("stdin cannot be read").because(&error))
}

/// A failure to read a file.
pub(crate) fn unreadable(shown: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("{} cannot be read", shown.display())).because(error)
}

fn bounded(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Puts `text` in the place of a file's content: the old or the new one is there, whole, at any moment. What a link
/// points at is replaced, not the link; who may read it stays.
pub(crate) fn replace(path: &Path, text: &str, shown: &Path) -> Result<(), Failure> {
    let write = || {
        let path = path.canonicalize()?;
        let permissions = path.metadata()?.permissions();
        let mut name = path.file_name().unwrap_or_default().to_owned();
        // Its own for each process, and in the same directory, so that it can be renamed.
        name.push(format!(".{}.new", std::process::id()));
        let fresh = path.with_file_name(name);
        let put = || {
            let mut file = File::create_new(&fresh)?;
            file.set_permissions(permissions)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&fresh, &path)
        };
        put().inspect_err(|_| {
            let _ = std::fs::remove_file(&fresh);
        })
    };
    write().map_err(|error: io::Error| Failure::new(format!("{} cannot be written", shown.display())).because(&error))
}
