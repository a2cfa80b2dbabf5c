//! Small files that are replaced whole.

use std::fs::{File, rename};
use std::io::{self, Write};
use std::path::Path;

/// Replaces a file: whoever reads it sees the old content or the new, also after a crash.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    rename(temporary, path)
}
