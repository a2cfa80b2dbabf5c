use super::Setting;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::findings;
use crate::project::{BlueprintArgs, Project};
use crate::ui::{JSON_VERSION, Ui};
use forge_blueprints::{Expanded, Sources};
use forge_engine::diag::{Diagnostic, Severity};
use serde_json::json;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    blueprint: BlueprintArgs,
    /// How to print findings: with excerpts on stderr, or as data [default: human, with --json json]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// End with exit code 1 when there are warnings
    #[arg(long)]
    strict: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Excerpts that point at what is meant
    Human,
    /// file:line:column: error[id]: what is wrong
    Plain,
    /// JSON, one document a line
    Json,
    /// A SARIF 2.1.0 log, for code scanners
    Sarif,
    /// Workflow commands, which GitHub shows beside the lines
    Github,
}

pub(crate) fn run(arguments: Arguments, setting: &Setting) -> Result<Exit, Failure> {
    let (ui, format) = match (arguments.format, setting.ui.json) {
        (Some(Format::Json), _) | (None, true) => (setting.ui.as_json(), Format::Json),
        (Some(_), true) => return Err(Failure::usage("--json and another --format cannot go together")),
        (Some(format), false) => (setting.ui, format),
        (None, false) => (setting.ui, Format::Human),
    };
    let (sources, expanded, findings) = Project::find(&setting.directory, &arguments.blueprint)?.check()?;
    report(ui, format, &sources, &findings);
    if let Some(expanded) = &expanded {
        conclude(ui, format, expanded);
    }
    let warned = findings.iter().any(|finding| finding.severity == Severity::Warning);
    Ok(if expanded.is_none() || (arguments.strict && warned) { Exit::Fixable } else { Exit::Done })
}

fn report(ui: Ui, format: Format, sources: &Sources, found: &[Diagnostic]) {
    match format {
        Format::Human | Format::Json => ui.findings(sources, found),
        Format::Plain => ui.text(&findings::plain(found, sources)),
        Format::Sarif => ui.document(&findings::sarif(found, sources)),
        Format::Github => ui.text(&findings::github(found, sources)),
    }
}

fn conclude(ui: Ui, format: Format, expanded: &Expanded) {
    let (resources, jobs) = (expanded.desired.resources.len(), expanded.jobs.len());
    let count = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let line = format!(
        "{} is valid on target {}: {}, {}",
        expanded.name,
        expanded.target,
        count(resources, "resource"),
        count(jobs, "job")
    );
    match format {
        Format::Json => ui.document(&json!({"v": JSON_VERSION, "valid": {
            "name": expanded.name, "target": expanded.target.name(), "resources": resources, "jobs": jobs,
        }})),
        Format::Human => ui.data(line),
        // Their data is the findings.
        Format::Plain | Format::Sarif | Format::Github => ui.say(line),
    }
}
