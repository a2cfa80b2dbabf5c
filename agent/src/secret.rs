//! Secrets of a job: read by the agent that starts a worker, at the moment that it does, and put into that worker's
//! environment alone. Everywhere else there is only the reference.

use std::io::{self, Read};
use std::path::Path;

/// The longest secret, in bytes; a certificate chain with its key stays under 16 KiB.
const MAX_BYTES: u64 = 64 << 10;

/// Reads a secret by its reference: `env:NAME` of the agent's own environment, `file:/path` on its node (a line break at
/// the end is not part of it).
///
/// # Errors
/// When it is not there or cannot be text; the message has the reference and never a part of the secret.
pub fn read(reference: &str) -> io::Result<String> {
    let wrong = |why: String| io::Error::other(format!("secret({reference}) cannot be read: {why}"));
    match reference.split_once(':') {
        Some(("env", name)) => std::env::var(name).map_err(|error| match error {
            std::env::VarError::NotPresent => {
                wrong(format!("{name} is not in the agent's environment, which on target local is that of `forge up`"))
            }
            std::env::VarError::NotUnicode(_) => wrong("it is not text".to_owned()),
        }),
        Some(("file", path)) => {
            let mut bytes = Vec::new();
            let file = std::fs::File::open(Path::new(path)).map_err(|error| wrong(error.to_string()))?;
            file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| wrong(error.to_string()))?;
            if bytes.len() as u64 > MAX_BYTES {
                return Err(wrong(format!("it is longer than {MAX_BYTES} bytes")));
            }
            let text = String::from_utf8(bytes).map_err(|_| wrong("it is not text".to_owned()))?;
            let text = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
            if text.contains('\0') {
                return Err(wrong("an environment cannot hold NUL".to_owned()));
            }
            Ok(text.to_owned())
        }
        _ => Err(wrong("nodes of this target can read env: and file: only".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_variables_are_read_and_failures_tell_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let reference = format!("file:{}", path.display());
        std::fs::write(&path, "hf_123\r\n").unwrap();
        assert_eq!(read(&reference).unwrap(), "hf_123");
        assert!(!read("env:PATH").unwrap().is_empty());
        std::fs::write(&path, b"hf_\xff").unwrap();
        for wrong in [reference.as_str(), "env:FORGE_NO_SUCH", "file:/no/such", "ssm:/x", "x"] {
            let said = read(wrong).unwrap_err().to_string();
            assert!(said.starts_with(&format!("secret({wrong}) cannot be read: ")) && !said.contains("hf_"), "{said}");
        }
    }
}
