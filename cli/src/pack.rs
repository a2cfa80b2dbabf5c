//! The user's code as one archive: the blueprint's directory without what forge, git and Python keep beside it.
//!
//! The same files make the same bytes: members are sorted, and times and owners are left out.

use crate::failure::Failure;
use ignore::WalkBuilder;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Never part of a job.
const LEFT_OUT: [&str; 7] = [".forge", ".git", ".venv", "venv", "__pycache__", "node_modules", ".ipynb_checkpoints"];
/// Lists more that is none, in the syntax of `.gitignore`.
const IGNORE_FILE: &str = ".forgeignore";
/// Code is small; data belongs into the bucket or onto the shared file system, not into every run.
const LARGEST: u64 = 512 * 1024 * 1024;

/// Packs a directory.
pub(crate) fn pack(directory: &Path) -> Result<Vec<u8>, Failure> {
    let mut walk = WalkBuilder::new(directory);
    walk.standard_filters(false).add_custom_ignore_filename(IGNORE_FILE).follow_links(false);
    walk.filter_entry(|entry| !entry.file_name().to_str().is_some_and(|name| LEFT_OUT.contains(&name)));
    walk.sort_by_file_path(Path::cmp);
    let mut archive = tar::Builder::new(Vec::new());
    let mut bytes = 0;
    for entry in walk.build() {
        let entry = entry?;
        let path = entry.path();
        let relative = path.strip_prefix(directory).unwrap_or(path);
        if relative.as_os_str().is_empty() {
            continue;
        }
        let cannot = |error: std::io::Error| {
            Failure::new(format!("{} cannot be packed", relative.display()))
                .because(&error)
                .help(format!("Leave it out of jobs by a line in {IGNORE_FILE}."))
        };
        let metadata = entry.metadata().map_err(|error| cannot(std::io::Error::other(error)))?;
        let mut header = tar::Header::new_gnu();
        header.set_mode(if metadata.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 });
        if metadata.is_dir() {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_mode(0o755);
            header.set_size(0);
            archive.append_data(&mut header, relative, std::io::empty()).map_err(cannot)?;
        } else if metadata.is_symlink() {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            let target = std::fs::read_link(path).map_err(cannot)?;
            archive.append_link(&mut header, relative, target).map_err(cannot)?;
        } else if metadata.is_file() {
            bytes += metadata.len();
            if bytes > LARGEST {
                return Err(Failure::new(format!("the job's directory is larger than {} MiB", LARGEST >> 20)).help(
                    format!("Put data into the bucket or the shared file system; leave files out by {IGNORE_FILE}."),
                ));
            }
            header.set_size(metadata.len());
            let file = File::open(path).map_err(cannot)?;
            archive.append_data(&mut header, relative, file.take(metadata.len())).map_err(cannot)?;
        } else {
            return Err(cannot(std::io::Error::other("it is neither a file nor a directory nor a link")));
        }
    }
    Ok(archive.into_inner()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_files_make_the_same_bytes_and_what_is_left_out_stays_out() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        };
        for name in ["train.py", "data/big", "src/a.py", ".forge/x", ".git/x", "src/__pycache__/a.pyc"] {
            write(name);
        }
        std::fs::write(directory.path().join(IGNORE_FILE), "data/\n").unwrap();
        let first = pack(directory.path()).unwrap();
        let mut archive = tar::Archive::new(first.as_slice());
        let names: Vec<_> =
            archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect();
        assert_eq!(names, [".forgeignore", "src", "src/a.py", "train.py"]);
        std::fs::remove_file(directory.path().join("train.py")).unwrap();
        write("train.py");
        assert_eq!(pack(directory.path()).unwrap(), first);
    }
}
