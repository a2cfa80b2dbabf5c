//! The layout of what does not nest by indentation: collections in brackets, and scalars.
//!
//! What goes on in further lines stands deeper than the block around it, closing brackets included: YAML wants that, and
//! editors mark it where it is not so.

use super::Refused;
use super::layout::{Gap, Layout, STEP, is_absent};
use crate::yaml::{Data, Node};
use forge_engine::value::Value;

impl Layout<'_> {
    /// A collection in brackets; `indent` is where its closing bracket stands if that begins a line.
    pub(super) fn flow(&mut self, node: &Node, indent: usize) -> Result<(), Refused> {
        let (open, close) = if self.rest().starts_with('{') { ('{', '}') } else { ('[', ']') };
        self.sign(open)?;
        self.out.push(open);
        let mut gap = self.gap();
        let inner = if gap.newline { indent + STEP } else { indent };
        let count = match &node.data {
            Data::List(items) => items.len(),
            Data::Map(entries) => entries.len(),
            Data::Scalar(_) => 0,
        };
        for index in 0..count {
            self.comments(&gap, inner);
            if gap.newline {
                self.new_line(inner, gap.blank && index > 0);
            } else if index > 0 || open == '{' {
                self.out.push(' ');
            }
            self.item(node, index, inner)?;
            gap = self.separator(index + 1 < count, inner)?;
        }
        self.comments(&gap, inner);
        if gap.newline && (count > 0 || self.closed) {
            self.new_line(indent, false);
        } else if count > 0 && open == '{' {
            self.out.push(' ');
        }
        self.sign(close)?;
        self.out.push(close);
        Ok(())
    }

    fn item(&mut self, node: &Node, index: usize, inner: usize) -> Result<(), Refused> {
        match &node.data {
            Data::List(items) => match &items[index].data {
                // `[key: value]` is a mapping without brackets of its own.
                Data::Map(_) if !self.opens() => self.item(&items[index], 0, inner),
                _ => self.inline(&items[index], inner),
            },
            Data::Map(entries) => {
                self.key(&entries[index])?;
                let value = &entries[index].value;
                if is_absent(value) {
                    return Ok(());
                }
                let gap = self.gap();
                self.comments(&gap, inner + STEP);
                if self.closed {
                    self.new_line(inner + STEP, false);
                } else {
                    self.out.push(' ');
                }
                self.inline(value, inner)
            }
            Data::Scalar(_) => Ok(()),
        }
    }

    fn inline(&mut self, node: &Node, inner: usize) -> Result<(), Refused> {
        match node.data {
            Data::Scalar(_) => self.scalar(node, inner.max(self.line)),
            _ => self.flow(node, inner.max(self.line)),
        }
    }

    /// The comma after an item, and what stands around it. One after the last item stays where a line ends there.
    fn separator(&mut self, more: bool, inner: usize) -> Result<Gap, Refused> {
        let mut gap = self.gap();
        let comma = self.rest().starts_with(',');
        if comma {
            self.sign(',')?;
            let after = self.gap();
            gap.comments.extend(after.comments);
            gap.newline |= after.newline;
            gap.blank = after.blank;
        }
        if more || (comma && gap.newline) {
            if self.closed {
                self.new_line(inner, false);
            }
            self.out.push(',');
        }
        Ok(gap)
    }

    /// A scalar as it is written; `indent` is where its further lines stand.
    pub(super) fn scalar(&mut self, node: &Node, indent: usize) -> Result<(), Refused> {
        if self.rest().starts_with(['|', '>']) {
            return self.block_scalar(node, indent.max(STEP));
        }
        if self.at != node.span.start {
            return Err(Refused::Damaged("a scalar is not where it was expected"));
        }
        let text = self.text;
        let source = &text[node.span.clone()];
        let escapes = source.starts_with('"');
        for (index, line) in source.split('\n').enumerate() {
            let line = if index == 0 { line } else { line.trim_start_matches([' ', '\t']) };
            let line = without_blanks_at_end(line, escapes);
            if index > 0 {
                self.out.push('\n');
                self.out.extend(std::iter::repeat_n(' ', if line.is_empty() { 0 } else { indent }));
            }
            self.out.push_str(line);
        }
        self.at = node.span.end;
        Ok(())
    }

    /// `|` and `>`: the header, then the lines, moved as a whole.
    fn block_scalar(&mut self, node: &Node, indent: usize) -> Result<(), Refused> {
        let header = self.rest().find(|c: char| !matches!(c, '|' | '>' | '+' | '-' | '0'..='9'));
        let end = header.map_or(self.text.len(), |length| self.at + length);
        let header = &self.text[self.at..end];
        let keep = header.contains('+');
        let header: String = header.chars().map(|c| if c.is_ascii_digit() { '2' } else { c }).collect();
        self.out.push_str(&header);
        self.at = end;
        self.trailing();
        let line_end = self.rest().find('\n').map_or(self.text.len(), |length| self.at + length);
        let text = self.text;
        let body = text.get(line_end + 1..).unwrap_or_default();
        let base = base(body, node);
        let is_blank =
            |line: &str| line.trim_end_matches('\n').len() <= base && line.trim_matches([' ', '\n']).is_empty();
        let inside = |line: &&str| is_blank(line) || (base < usize::MAX && spaces(line) >= base);
        let lines: Vec<&str> = body.split_inclusive('\n').take_while(inside).collect();
        let filled = lines.iter().rposition(|line| !is_blank(line)).map_or(0, |last| last + 1);
        let count = if keep { lines.len() } else { filled };
        for line in &lines[..count] {
            self.out.push('\n');
            if !is_blank(line) {
                self.out.extend(std::iter::repeat_n(' ', indent));
                self.out.push_str(line[base..].trim_end_matches('\n'));
            }
        }
        let length: usize = lines[..count].iter().map(|line| line.len()).sum();
        self.at = (line_end + 1 + length).min(text.len());
        if !keep || count == 0 {
            // Its last line's end is left for the gap that follows.
            self.at = text[..self.at].strip_suffix('\n').map_or(self.at, str::len);
        }
        self.closed = false;
        Ok(())
    }
}

fn spaces(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// How far a block scalar's lines are indented: by as much as its first line with text has more spaces in the source
/// than in the value. Without such a line nothing says how far.
fn base(body: &str, node: &Node) -> usize {
    let first = |text: &str| text.split('\n').find(|line| !line.trim_matches(' ').is_empty()).map(spaces);
    let Data::Scalar(Value::String(value)) = &node.data else { return usize::MAX };
    match (first(value), first(body)) {
        (Some(in_value), Some(in_source)) => in_source.saturating_sub(in_value),
        _ => usize::MAX,
    }
}

/// Blanks at the end of a line of a quoted scalar mean nothing, unless the first of them is escaped.
fn without_blanks_at_end(line: &str, escapes: bool) -> &str {
    let trimmed = line.trim_end_matches([' ', '\t']);
    let backslashes = trimmed.len() - trimmed.trim_end_matches('\\').len();
    let escaped = escapes && backslashes % 2 == 1 && trimmed.len() < line.len();
    &line[..trimmed.len() + usize::from(escaped)]
}
