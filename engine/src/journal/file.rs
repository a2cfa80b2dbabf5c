//! A journal in a file of this machine.
//!
//! Appending is one write, and one `fdatasync` when it must be durable. A new file is written beside the old one, made
//! durable, and renamed over it. Nothing notices a second writer: the directory's [`crate::lock::Lock`] sees to it that
//! there is none.

use super::JournalError;
use super::store::{Appended, Content, Part, Store};
use futures::future::{BoxFuture, FutureExt, ready};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The name of its file.
pub const NAME: &str = "journal.jsonl";

/// See the module.
#[derive(Debug)]
pub struct FileStore {
    path: PathBuf,
    /// Open from the first append on.
    file: Option<File>,
}

impl FileStore {
    /// The journal in `directory`, which is made when something is written.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self { path: directory.join(NAME), file: None }
    }

    /// What is there, for whoever may block.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self) -> Result<Content, JournalError> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Content { parts: Vec::new(), tears: true, strays: false });
            }
            Err(error) => return Err(JournalError::io("read", &self.path)(error)),
        };
        Ok(Content { parts: vec![Part { place: self.path.clone(), text }], tears: true, strays: false })
    }

    fn open(&mut self) -> Result<&mut File, JournalError> {
        let file = match self.file.take() {
            Some(file) => file,
            None => OpenOptions::new().append(true).open(&self.path).map_err(JournalError::io("open", &self.path))?,
        };
        Ok(self.file.insert(file))
    }

    fn append_now(&mut self, text: &[u8], durable: bool) -> Result<Appended, JournalError> {
        let path = self.path.clone();
        let file = self.open()?;
        file.write_all(text).map_err(JournalError::io("write to", &path))?;
        if durable {
            file.sync_data().map_err(JournalError::io("make durable", &path))?;
        }
        Ok(Appended::Done)
    }

    fn cut_now(&mut self, good: u64) -> Result<(), JournalError> {
        let path = self.path.clone();
        let file = self.open()?;
        file.set_len(good).and_then(|()| file.sync_all()).map_err(JournalError::io("cut the torn end off", &path))
    }

    fn replace_now(&mut self, text: &[u8]) -> Result<Appended, JournalError> {
        self.file = None;
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(JournalError::io("create", directory))?;
        replace(&self.path, text).map_err(JournalError::io("write", &self.path))?;
        Ok(Appended::Done)
    }

    fn remove_now(&mut self) -> Result<Appended, JournalError> {
        self.file = None;
        fs::remove_file(&self.path).map_err(JournalError::io("delete", &self.path))?;
        Ok(Appended::Done)
    }
}

/// Nothing here waits for anything but the disk, on the thread that the journal has for that.
impl Store for FileStore {
    fn place(&self) -> PathBuf {
        self.path.clone()
    }

    fn load(&mut self) -> BoxFuture<'_, Result<Content, JournalError>> {
        ready(self.read()).boxed()
    }

    fn cut(&mut self, good: u64) -> BoxFuture<'_, Result<(), JournalError>> {
        ready(self.cut_now(good)).boxed()
    }

    fn append(&mut self, text: Vec<u8>, durable: bool) -> BoxFuture<'_, Result<Appended, JournalError>> {
        ready(self.append_now(&text, durable)).boxed()
    }

    fn replace(&mut self, text: Vec<u8>) -> BoxFuture<'_, Result<Appended, JournalError>> {
        ready(self.replace_now(&text)).boxed()
    }

    fn remove(&mut self, _: Vec<u8>) -> BoxFuture<'_, Result<Appended, JournalError>> {
        ready(self.remove_now()).boxed()
    }
}

/// Puts a new file with `text` in the place of whatever is there: either the old one or the new one exists, whole, at
/// any moment.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    // One that is there already is left from a crash, and by the lock nobody else is writing it.
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}
