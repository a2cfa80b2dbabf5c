//! Where the agent's program is that other machines are given: beside forge's own, or where the environment says.
//!
//! Beside forge lies `forge-agent` for machines like this one, and `forge-agent-arm64`, `forge-agent-x86_64` for others.
//! `FORGE_AGENT_X86_64` and `FORGE_AGENT_ARM64` name another file.

use crate::instance_types::Architecture;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The program for an architecture; none when there is no such file.
#[must_use]
pub fn find(architecture: Architecture) -> Option<PathBuf> {
    let said = std::env::var_os(variable(architecture)).filter(|said| !said.is_empty());
    let forge = std::env::current_exe().ok();
    let beside = forge.as_deref().and_then(Path::parent);
    let own = Architecture::parse(std::env::consts::ARCH);
    places(architecture, own, said, beside).into_iter().find(|path| path.is_file())
}

/// The environment variable that says where it is.
#[must_use]
pub fn variable(architecture: Architecture) -> String {
    format!("FORGE_AGENT_{}", architecture.name().to_uppercase())
}

/// Where to look, in order. What the environment says is the only place then: whoever says so means no other.
fn places(
    architecture: Architecture,
    own: Option<Architecture>,
    said: Option<OsString>,
    beside: Option<&Path>,
) -> Vec<PathBuf> {
    if let Some(said) = said {
        return vec![said.into()];
    }
    let Some(beside) = beside else { return Vec::new() };
    let mut names = vec![format!("forge-agent-{}", architecture.name())];
    if own == Some(architecture) {
        names.insert(0, "forge-agent".to_owned());
    }
    names.into_iter().map(|name| beside.join(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Architecture::{Arm, X86};

    #[test]
    fn the_agent_lies_beside_forge_or_where_the_environment_says() {
        let of = |architecture, said: Option<&str>, beside: Option<&str>| {
            let places = places(architecture, Some(X86), said.map(OsString::from), beside.map(Path::new));
            places.iter().map(|path| path.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(of(X86, None, Some("/bin")), ["/bin/forge-agent", "/bin/forge-agent-x86_64"]);
        assert_eq!(of(Arm, None, Some("/bin")), ["/bin/forge-agent-arm64"]);
        assert_eq!(of(Arm, Some("/a"), Some("/bin")), ["/a"]);
        assert_eq!(of(X86, None, None), [""; 0]);
        assert_eq!((variable(X86).as_str(), variable(Arm).as_str()), ("FORGE_AGENT_X86_64", "FORGE_AGENT_ARM64"));
    }
}
