//! What commands print, whole, with what differs from one time to the next filtered out.

use forge_tests::{Ran, Site};

/// A command with all that it printed.
pub(crate) fn shown(arguments: &[&str], ran: &Ran) -> String {
    let section = |name: &str, text: &str| if text.is_empty() { String::new() } else { format!("{name}:\n{text}") };
    format!(
        "$ forge {}\n{}{}exit code: {}\n",
        arguments.join(" "),
        section("stdout", &ran.stdout),
        section("stderr", &ran.stderr),
        ran.code
    )
}

/// Runs commands one after the other and shows them.
pub(crate) fn script(site: &Site, commands: &[&[&str]]) -> String {
    let show = |arguments: &&[&str]| shown(arguments, &site.forge(arguments));
    commands.iter().map(show).collect::<Vec<_>>().join("\n")
}

/// Filters what differs from one time to the next: where, when, how long, who.
pub(crate) fn settings(site: &Site) -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    // A long path is cut at its beginning, and how long it is depends on where temporary files are.
    settings.add_filter(r"\S*/\.forge/", "[DIRECTORY]/.forge/");
    settings.add_filter(&site.path().display().to_string(), "[DIRECTORY]");
    settings.add_filter(r"in \d+\.\d s\b", "in [TIME]");
    settings.add_filter(r"\b\d\d:\d\d:\d\dZ\b", "[CLOCK]");
    // How often a wait is looked at, and what is seen then, is chance.
    settings.add_filter(r"(?m)^  \S+: (no fleet runs|\d+ of \d+ nodes have joined)\n", "");
    settings.add_filter(r"\d+\.\d kB of code", "[SIZE] of code");
    settings.add_filter(r"node-\d+", "node-[N]");
    settings.add_filter(r#""(elapsed_ms|took_ms)": \d+"#, r#""$1": "[TIME]""#);
    settings.add_filter(r"written: \S+", "written: [TIME]");
    settings.add_filter(r"operation: [0-9a-f]{32}", "operation: [OPERATION]");
    settings
}

macro_rules! assert_seen {
    ($site:expr, $text:expr) => {
        $crate::seen::settings(&$site).bind(|| insta::assert_snapshot!($text))
    };
}
