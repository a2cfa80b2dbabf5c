//! The only place that prints. Data goes to stdout, talk to stderr.

use crate::failure::Failure;
use crate::{findings, render};
use forge_blueprints::Sources;
use forge_engine::diag::Diagnostic;
use serde::Serialize;
use serde_json::json;
use std::io::{BufRead, IsTerminal, Write};

/// Version of the JSON lines that commands print.
pub(crate) const JSON_VERSION: u32 = 1;

/// Where commands print to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ui {
    /// Data as JSON, one document a line.
    pub(crate) json: bool,
    /// Of stdout.
    data: Palette,
    /// Of stderr.
    talk: Palette,
    /// Whether stderr is a terminal on which a line can be wiped.
    live: bool,
}

/// Whether to use colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal, unless `NO_COLOR` is set; everywhere when `CLICOLOR_FORCE` is
    #[default]
    Auto,
    Always,
    Never,
}

/// Colours have a meaning each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    Good,
    Bad,
    Change,
    Faint,
    Strong,
}

/// Colours, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Palette {
    colour: bool,
}

impl Palette {
    #[cfg(test)]
    pub(crate) const PLAIN: Self = Self { colour: false };
    #[cfg(test)]
    pub(crate) const COLOURED: Self = Self { colour: true };

    /// Text in a colour; nothing stays nothing.
    pub(crate) fn paint(self, paint: Paint, text: impl AsRef<str>) -> String {
        let text = text.as_ref();
        let code = match paint {
            Paint::Good => "32",
            Paint::Bad => "31",
            Paint::Change => "33",
            Paint::Faint => "2",
            Paint::Strong => "1",
        };
        if self.colour && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

impl Ui {
    /// Each of stdout and stderr in colours as `colour` says; by itself only where it is a terminal.
    pub(crate) fn new(json: bool, colour: Colour) -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let forced = std::env::var_os("CLICOLOR_FORCE").is_some_and(|value| !value.is_empty() && value != "0");
        let palette = |terminal: bool| Palette {
            colour: match colour {
                Colour::Always => true,
                Colour::Never => false,
                Colour::Auto => !set("NO_COLOR") && (terminal || forced),
            },
        };
        let terminal = std::io::stderr().is_terminal();
        let live = terminal && std::env::var_os("TERM").is_some_and(|term| term != "dumb");
        Self { json, data: palette(std::io::stdout().is_terminal()), talk: palette(terminal), live }
    }

    /// The same, with data as JSON.
    pub(crate) fn as_json(self) -> Self {
        Self { json: true, ..self }
    }

    /// The same, with data as text.
    pub(crate) fn as_text(self) -> Self {
        Self { json: false, ..self }
    }

    /// A line of data. A reader that went away (`forge logs | head`) ends the program, as everybody's does.
    pub(crate) fn data(self, line: impl AsRef<str>) {
        if writeln!(std::io::stdout(), "{}", line.as_ref()).is_err() {
            std::process::exit(0);
        }
    }

    /// Data as it is, without a line's end of its own.
    pub(crate) fn text(self, text: &str) {
        if std::io::stdout().write_all(text.as_bytes()).is_err() {
            std::process::exit(0);
        }
    }

    /// Data as a line of JSON.
    pub(crate) fn document(self, document: &impl Serialize) {
        self.data(
            serde_json::to_string(document).unwrap_or_else(|error| json!({"error": error.to_string()}).to_string()),
        );
    }

    /// A line of talk.
    pub(crate) fn say(self, line: impl AsRef<str>) {
        // Nobody listens any more: the work goes on.
        let _ = writeln!(std::io::stderr(), "{}", line.as_ref());
    }

    /// The colours of data.
    pub(crate) fn colours(self) -> Palette {
        self.data
    }

    /// The colours of talk.
    pub(crate) fn talk_colours(self) -> Palette {
        self.talk
    }

    /// The line at the bottom of a terminal, in place of the one before; nothing elsewhere.
    pub(crate) fn status(self, line: &str) {
        if self.live {
            let mut stderr = std::io::stderr();
            let _ = write!(stderr, "\r\x1b[K{line}").and_then(|()| stderr.flush());
        }
    }

    /// A line of talk above the one at the bottom of a terminal.
    pub(crate) fn say_above(self, line: &str, status: &str) {
        self.status("");
        self.say(line);
        self.status(status);
    }

    /// Talk of several lines, as it is.
    pub(crate) fn tell(self, text: &str) {
        // Nobody listens any more: the work goes on.
        let _ = std::io::stderr().write_all(text.as_bytes());
    }

    /// Text in a colour for talk.
    pub(crate) fn paint(self, paint: Paint, text: impl AsRef<str>) -> String {
        self.talk.paint(paint, text)
    }

    /// Findings with their excerpts.
    pub(crate) fn findings(self, sources: &Sources, found: &[Diagnostic]) {
        if found.is_empty() {
            return;
        }
        if self.json {
            for finding in found {
                self.document(&findings::json(finding, sources));
            }
        }
        self.say(render::render(found, sources, self.talk.colour).trim_end());
    }

    /// A failure: what, why, what to do.
    pub(crate) fn failure(self, failure: &Failure) {
        if let Some(findings) = &failure.findings {
            self.findings(&findings.0, &findings.1);
        }
        let Some((what, causes)) = failure.chain.split_first() else { return };
        if self.json {
            self.document(&json!({"v": JSON_VERSION, "failure": {"chain": failure.chain, "help": failure.help}}));
        }
        self.say(format!("{}: {what}", self.paint(Paint::Bad, "error")));
        for cause in causes {
            self.say(format!("  because: {cause}"));
        }
        if let Some(help) = &failure.help {
            self.say(format!("  help: {help}"));
        }
    }

    /// Whether there is somebody who can be asked.
    pub(crate) fn can_ask(self) -> bool {
        std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    /// Asks for a line on the terminal.
    pub(crate) fn ask(self, question: &str) -> Result<String, Failure> {
        let mut stderr = std::io::stderr();
        write!(stderr, "{question} ")?;
        stderr.flush()?;
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer)?;
        Ok(answer.trim().to_owned())
    }

    /// Asks a yes-or-no question on the terminal.
    pub(crate) fn confirm(self, question: &str) -> Result<bool, Failure> {
        if !std::io::stdin().is_terminal() {
            return Err(Failure::usage("nobody can be asked: the input is no terminal")
                .help("Read what stands above, then say --yes."));
        }
        let answer = self.ask(&format!("{question} [y/N]"))?;
        Ok(matches!(answer.as_str(), "y" | "Y" | "yes"))
    }

    /// Rows as aligned columns; the first row is the heading.
    pub(crate) fn table(self, rows: &[Vec<String>]) {
        let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<_> = (0..columns).map(width).collect();
        for row in rows {
            let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            self.data(cells.join("  ").trim_end());
        }
    }
}
