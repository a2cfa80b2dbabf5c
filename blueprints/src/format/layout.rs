//! The cursor over the text, the lines that are written, and the layout of blocks.

use super::Refused;
use crate::yaml::{Data, Entry, Node};
use forge_engine::value::Value;
use std::ops::Range;

/// Spaces for each level.
pub(super) const STEP: usize = 2;

/// Writes the document whose tree is `root`.
pub(super) fn write(text: &str, root: &Node) -> Result<String, Refused> {
    Layout { text, at: 0, out: String::new(), line: 0, closed: false }.document(root)
}

/// Nothing is written where the value would stand.
pub(super) fn is_absent(node: &Node) -> bool {
    node.span.is_empty() && matches!(node.data, Data::Scalar(Value::Null))
}

/// What stands between two nodes.
#[derive(Default)]
pub(super) struct Gap {
    pub(super) comments: Vec<Comment>,
    /// A line ends in it.
    pub(super) newline: bool,
    /// An empty line stands right before what follows.
    pub(super) blank: bool,
}

pub(super) struct Comment {
    range: Range<usize>,
    /// It has a line of its own.
    own_line: bool,
    /// An empty line stands before it.
    blank: bool,
}

/// Where a block stands: how far its entries are indented in the result, and how far they are in the text.
#[derive(Clone, Copy)]
struct Level {
    indent: usize,
    column: usize,
}

pub(super) struct Layout<'a> {
    pub(super) text: &'a str,
    /// What is before has been taken over.
    pub(super) at: usize,
    pub(super) out: String,
    /// Indentation of the line that is being written.
    pub(super) line: usize,
    /// It ends in a comment: nothing more can stand on it.
    pub(super) closed: bool,
}

impl Layout<'_> {
    fn document(mut self, root: &Node) -> Result<String, Refused> {
        let mut gap = self.gap();
        if self.rest().starts_with("---") && self.marker() {
            self.comments(&gap, 0);
            self.new_line(0, gap.blank);
            self.out.push_str("---");
            self.at += 3;
            gap = self.gap();
        }
        self.comments(&gap, 0);
        if !is_absent(root) {
            self.new_line(0, gap.blank);
            match &root.data {
                _ if self.opens() => self.flow(root, 0)?,
                Data::Map(entries) => self.map(entries, 0)?,
                Data::List(items) => self.list(items, 0)?,
                Data::Scalar(_) => self.scalar(root, 0)?,
            }
        }
        self.trailing();
        let mut gap = self.gap();
        if self.rest().starts_with("...") && self.marker() {
            self.at += 3;
            self.comments(&gap, 0);
            gap = self.gap();
        }
        self.comments(&gap, 0);
        if self.at != self.text.len() {
            return Err(Refused::Damaged("the text goes on after its end"));
        }
        if !self.out.is_empty() {
            self.out.push('\n');
        }
        Ok(self.out)
    }

    pub(super) fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    /// Whether `---` or `...` stands here, and not text that begins so.
    fn marker(&self) -> bool {
        self.column(self.at) == 0 && self.rest()[3..].chars().next().is_none_or(|next| next.is_ascii_whitespace())
    }

    fn column(&self, at: usize) -> usize {
        at - self.text[..at].rfind('\n').map_or(0, |newline| newline + 1)
    }

    /// Steps over blanks and comments.
    pub(super) fn gap(&mut self) -> Gap {
        let mut gap = Gap::default();
        let line_start = self.at == 0 || self.text[..self.at].ends_with('\n');
        let mut newlines = usize::from(line_start);
        loop {
            let blanks = self.rest().find(|c: char| !matches!(c, ' ' | '\t' | '\n'));
            let end = blanks.map_or(self.text.len(), |length| self.at + length);
            newlines += self.text[self.at..end].matches('\n').count();
            self.at = end;
            gap.newline |= newlines > 0;
            gap.blank = newlines > 1;
            if !self.rest().starts_with('#') {
                return gap;
            }
            let end = self.rest().find('\n').map_or(self.text.len(), |length| self.at + length);
            gap.comments.push(Comment { range: self.at..end, own_line: newlines > 0, blank: gap.blank });
            self.at = end;
            newlines = 0;
        }
    }

    /// Begins a line, after an empty one when asked; the first line of all has nothing before it.
    pub(super) fn new_line(&mut self, indent: usize, blank: bool) {
        if !self.out.is_empty() {
            self.out.push_str(if blank { "\n\n" } else { "\n" });
        }
        self.out.extend(std::iter::repeat_n(' ', indent));
        self.line = indent;
        self.closed = false;
    }

    pub(super) fn comment(&mut self, comment: &Comment, indent: usize) {
        if comment.own_line || self.out.is_empty() {
            self.new_line(indent, comment.blank);
        } else {
            self.out.push(' ');
        }
        let text = self.text;
        self.out.push_str(text[comment.range.clone()].trim_end());
        self.closed = true;
    }

    pub(super) fn comments(&mut self, gap: &Gap, indent: usize) {
        for comment in &gap.comments {
            self.comment(comment, indent);
        }
    }

    /// Takes over a comment that follows on the same line.
    pub(super) fn trailing(&mut self) {
        let start = self.at;
        let gap = self.gap();
        match gap.comments.first().filter(|comment| !comment.own_line) {
            Some(comment) => {
                self.comment(comment, 0);
                self.at = comment.range.end;
            }
            None => self.at = start,
        }
    }

    /// Takes over the comments that stand deeper than `column`, up to the first that does not.
    fn deeper(&mut self, column: Option<usize>, indent: usize) {
        let mut end = self.at;
        let gap = self.gap();
        for comment in &gap.comments {
            if column.is_some_and(|column| self.column(comment.range.start) <= column) {
                break;
            }
            self.comment(comment, indent);
            end = comment.range.end;
        }
        self.at = end;
    }

    /// A collection in brackets stands here.
    pub(super) fn opens(&self) -> bool {
        self.rest().starts_with(['[', '{'])
    }

    /// The entries of a block mapping; the cursor stands on the first key and the line has been begun.
    fn map(&mut self, entries: &[Entry], indent: usize) -> Result<(), Refused> {
        let level = Level { indent, column: self.column(self.at) };
        for (index, entry) in entries.iter().enumerate() {
            if index > 0 {
                self.next_entry(level);
            }
            self.key(entry)?;
            self.value(&entry.value, level, false)?;
        }
        Ok(())
    }

    /// The items of a block sequence; the cursor stands on the first dash and the line has been begun.
    fn list(&mut self, items: &[Node], indent: usize) -> Result<(), Refused> {
        let level = Level { indent, column: self.column(self.at) };
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.next_entry(level);
            }
            self.sign('-')?;
            self.out.push('-');
            self.value(item, level, true)?;
        }
        Ok(())
    }

    fn next_entry(&mut self, level: Level) {
        let gap = self.gap();
        self.comments(&gap, level.indent);
        self.new_line(level.indent, gap.blank);
    }

    pub(super) fn sign(&mut self, sign: char) -> Result<(), Refused> {
        if !self.rest().starts_with(sign) {
            return Err(Refused::Damaged("a sign is not where it was expected"));
        }
        self.at += sign.len_utf8();
        Ok(())
    }

    /// A key and its colon. What is written as `? key` becomes `key:`.
    pub(super) fn key(&mut self, entry: &Entry) -> Result<(), Refused> {
        let mut held = Vec::new();
        if self.at < entry.key_span.start {
            self.sign('?')?;
            held.extend(self.gap().comments);
        }
        if self.at != entry.key_span.start {
            return Err(Refused::Damaged("a key is not where it was expected"));
        }
        let text = self.text;
        self.out.push_str(&text[entry.key_span.clone()]);
        self.out.push(':');
        self.at = entry.key_span.end;
        let end = self.at;
        let gap = self.gap();
        if self.rest().starts_with(':') {
            self.at += 1;
            held.extend(gap.comments);
        } else {
            self.at = end;
        }
        for comment in held {
            self.comment(&comment, self.line + STEP);
        }
        Ok(())
    }

    /// What follows a colon or a dash, with the comments that belong to it.
    fn value(&mut self, node: &Node, level: Level, compact: bool) -> Result<(), Refused> {
        let inner = level.indent + STEP;
        if is_absent(node) {
            self.trailing();
            self.deeper(Some(level.column), inner);
            return Ok(());
        }
        let gap = self.gap();
        self.comments(&gap, inner);
        let block = matches!(node.data, Data::Map(_) | Data::List(_)) && !self.opens();
        if self.closed || (block && !compact) {
            self.new_line(inner, gap.blank);
        } else {
            self.out.push(' ');
        }
        match &node.data {
            Data::Map(entries) if block => self.map(entries, inner)?,
            Data::List(items) if block => self.list(items, inner)?,
            Data::Scalar(_) => self.scalar(node, inner)?,
            _ => self.flow(node, inner)?,
        }
        if block {
            self.deeper(Some(level.column), inner);
        } else {
            self.trailing();
        }
        Ok(())
    }
}
