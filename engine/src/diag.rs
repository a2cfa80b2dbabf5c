//! What went wrong, where, why, and what to do about it.
//!
//! A [`Diagnostic`] never carries text positions of its own making: it names a place *symbolically* (a [`Path`] into a
//! parsed document) and the one renderer, in the CLI, turns that into `file:line:column` and an excerpt through
//! [`Locate`]. Checks therefore stay free of byte offsets, and the same finding renders for people, as JSON, or for CI.

use serde::Serialize;
use std::fmt;
use std::ops::Range;

/// How bad a finding is. Only errors stop a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Note,
    /// Probably not what was meant; the command goes on.
    Warning,
    /// The command cannot go on.
    Error,
}

/// One step of a [`Path`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(untagged)]
pub enum Step {
    /// A key of a mapping.
    Key(String),
    /// An index into a sequence, from 0.
    Index(usize),
}

/// A place in a document, from its root: `modules`, `gpus`, `with`, `count`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Path(pub Vec<Step>);

impl Path {
    /// The document itself.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// This path and one mapping key more.
    #[must_use]
    pub fn key(&self, key: impl Into<String>) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Key(key.into()));
        Self(steps)
    }

    /// This path and one sequence index more.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Index(index));
        Self(steps)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if position == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// A document that findings can point into; the index is given out by whoever loads documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct DocumentId(pub u32);

/// Which part of the node at a path is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The key under which the node stands.
    Key,
    /// The node's value.
    Value,
}

/// A place in a document.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum At {
    /// The node at a path.
    Node {
        /// The document.
        document: DocumentId,
        /// Where in it.
        path: Path,
        /// Key or value.
        part: Part,
        /// Byte range within the value's source text (an expression inside a longer scalar), when only a part is meant.
        within: Option<Range<usize>>,
    },
    /// A byte range of the text, for documents that could not be parsed.
    Text {
        /// The document.
        document: DocumentId,
        /// Bytes of the document's text.
        range: Range<usize>,
    },
}

impl At {
    /// The key of the node at `path`.
    #[must_use]
    pub fn key(document: DocumentId, path: Path) -> Self {
        Self::Node { document, path, part: Part::Key, within: None }
    }

    /// The value of the node at `path`.
    #[must_use]
    pub fn value(document: DocumentId, path: Path) -> Self {
        Self::Node { document, path, part: Part::Value, within: None }
    }
}

/// A place that a finding points at, and what is to be seen there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Label {
    /// The place.
    pub at: At,
    /// What is to be seen there; may be empty for the primary label.
    pub text: String,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Stable id in kebab case: file name of the check, documentation anchor, `id` in JSON.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one short sentence without a full stop.
    pub summary: String,
    /// The place itself; none for findings about no document.
    pub primary: Option<Label>,
    /// Other places that explain it (where it was defined first, where the module is used).
    pub secondary: Vec<Label>,
    /// Why it is wrong, where the summary does not say it.
    pub why: Option<String>,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error.
    pub fn error(id: &'static str, summary: impl Into<String>) -> Self {
        Self::new(id, Severity::Error, summary)
    }

    /// A warning.
    pub fn warning(id: &'static str, summary: impl Into<String>) -> Self {
        Self::new(id, Severity::Warning, summary)
    }

    fn new(id: &'static str, severity: Severity, summary: impl Into<String>) -> Self {
        Self { id, severity, summary: summary.into(), primary: None, secondary: Vec::new(), why: None, help: None }
    }

    /// Points at the place that is wrong.
    #[must_use]
    pub fn at(mut self, at: At, text: impl Into<String>) -> Self {
        self.primary = Some(Label { at, text: text.into() });
        self
    }

    /// Points at a place that explains.
    #[must_use]
    pub fn also(mut self, at: At, text: impl Into<String>) -> Self {
        self.secondary.push(Label { at, text: text.into() });
        self
    }

    /// Says why it is wrong.
    #[must_use]
    pub fn why(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// True when a finding stops the command.
#[must_use]
pub fn has_errors(findings: &[Diagnostic]) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Error)
}

/// A place in text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<'a> {
    /// The document's name as the user gave it.
    pub name: &'a str,
    /// The whole text.
    pub text: &'a str,
    /// Bytes of `text` that are meant; within bounds and on character boundaries.
    pub range: Range<usize>,
}

/// Turns symbolic places into text positions. Implemented by whoever parsed the documents.
pub trait Locate {
    /// The text and the bytes that `at` means; the nearest enclosing node when the very one is absent; none when the
    /// document is not known.
    fn locate(&self, at: &At) -> Option<Located<'_>>;
}
