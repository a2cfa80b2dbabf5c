//! The blueprints that forge ships, for `forge init`. One more is a file beside this crate's `src` and a word in the list.

use crate::shape::label;
use crate::yaml::{self, Data};
use forge_engine::diag::DocumentId;

/// A blueprint that is embedded in the binary.
#[derive(Debug, Clone, Copy)]
pub struct Shipped {
    /// What `forge init` calls it.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
}

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        /// All of them, the one for this machine first.
        pub const SHIPPED: &[Shipped] =
            &[$(Shipped { name: $name, text: include_str!(concat!("../", $name, ".yaml")) }),*];
    };
}

shipped!["local", "hosts", "reference", "p5", "p5en", "p6-b200", "trn1", "trn2", "spot-finetune", "capacity-block",];

impl Shipped {
    /// What it is for: its first line, which is a comment.
    #[must_use]
    pub fn description(&self) -> &'static str {
        self.text.lines().next().unwrap_or_default().trim_start_matches(['#', ' '])
    }

    /// Its text with another name for the deployment; none when a blueprint cannot be named so.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<String> {
        let root = yaml::parse(DocumentId(0), self.text).0.filter(|_| label(name))?;
        let Data::Map(entries) = root.data else { return None };
        let span = entries.iter().find(|entry| entry.key == "name")?.value.span.clone();
        Some(format!("{}{name}{}", &self.text[..span.start], &self.text[span.end..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_says_what_it_is_for_in_one_line_and_is_laid_out_as_fmt_does() {
        for shipped in SHIPPED {
            assert!(shipped.text.starts_with("# ") && shipped.description().ends_with('.'), "{}", shipped.name);
            assert_eq!(
                crate::format::format(DocumentId(0), shipped.text).as_deref(),
                Ok(shipped.text),
                "{}",
                shipped.name
            );
        }
    }

    #[test]
    fn every_blueprint_beside_the_sources_is_shipped() {
        let entries = std::fs::read_dir(env!("CARGO_MANIFEST_DIR")).expect("the crate's directory");
        let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        let mut files: Vec<_> = names.filter(|name| name.ends_with(".yaml")).collect();
        let mut shipped: Vec<_> = SHIPPED.iter().map(|shipped| format!("{}.yaml", shipped.name)).collect();
        files.sort();
        shipped.sort();
        assert_eq!(files, shipped);
    }

    #[test]
    fn a_name_takes_the_place_of_its_own() {
        for shipped in SHIPPED {
            let text = shipped.named("mine-2").expect("a name");
            assert!(text.contains("\nname: mine-2\n"), "{text}");
            assert_eq!(text.lines().count(), shipped.text.lines().count());
            assert_eq!(shipped.named("Not a name"), None);
        }
    }
}
