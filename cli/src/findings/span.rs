//! From a symbolic place to lines and columns: the one place that counts them.

use forge_engine::diag::{At, Diagnostic, Locate};
use serde::Serialize;
use std::fmt;

/// A place in a file, as editors count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span<'a> {
    pub(super) file: &'a str,
    pub(super) range: Range,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Range {
    pub(super) start: Position,
    /// Where what follows begins.
    pub(super) end: Position,
}

/// Lines and columns from 1, columns in characters; the offset in bytes from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) offset: usize,
}

impl<'a> Span<'a> {
    pub(super) fn locate(at: &At, locate: &'a dyn Locate) -> Option<Self> {
        let located = locate.locate(at)?;
        let (start, end) =
            (Position::of(located.text, located.range.start), Position::of(located.text, located.range.end));
        Some(Self { file: located.name, range: Range { start, end } })
    }

    /// Where a finding points.
    pub(super) fn of(finding: &Diagnostic, locate: &'a dyn Locate) -> Option<Self> {
        Self::locate(&finding.primary.as_ref()?.at, locate)
    }
}

impl Position {
    fn of(text: &str, offset: usize) -> Self {
        let line_start = text[..offset].rfind('\n').map_or(0, |newline| newline + 1);
        let line = text.as_bytes()[..line_start].iter().filter(|byte| **byte == b'\n').count() + 1;
        Self { line, column: text[line_start..offset].chars().count() + 1, offset }
    }
}

impl fmt::Display for Span<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.range.start.line, self.range.start.column)
    }
}
