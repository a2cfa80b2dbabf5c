//! Reading a document's shape: places, and readers that report what does not fit and go on.
//!
//! A [`Place`] is a value and where it came from. Its readers return what was found, or nothing after having said why;
//! so a caller reads everything it knows of, and all findings come out at once.

use crate::suggest;
use forge_engine::diag::{At, Diagnostic, DocumentId, Path, Step};
use forge_engine::value::Value;
use std::borrow::Cow;
use std::rc::Rc;
use std::time::Duration;

/// Findings so far.
pub(crate) type Findings = Vec<Diagnostic>;

/// The way to a place from the root of its document. One is made for every entry that is read, and spelt out only for
/// the few that findings are about; so it shares all but its last step.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trail<'a>(Option<Rc<(Trail<'a>, Hop<'a>)>>);

/// A step of a [`Trail`].
#[derive(Debug, Clone, Copy)]
enum Hop<'a> {
    Key(&'a str),
    Index(usize),
}

impl<'a> Trail<'a> {
    /// This way and one mapping key more.
    fn key(&self, key: &'a str) -> Self {
        Self(Some(Rc::new((self.clone(), Hop::Key(key)))))
    }

    /// This way and one sequence index more.
    pub(crate) fn index(&self, index: usize) -> Self {
        Self(Some(Rc::new((self.clone(), Hop::Index(index)))))
    }

    /// All of it.
    pub(crate) fn path(&self) -> Path {
        let mut steps = Vec::new();
        let mut rest = self;
        while let Some((before, hop)) = rest.0.as_deref() {
            steps.push(match hop {
                Hop::Key(key) => Step::Key((*key).to_owned()),
                Hop::Index(index) => Step::Index(*index),
            });
            rest = before;
        }
        steps.reverse();
        Path(steps)
    }
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Place<'a> {
    pub(crate) document: DocumentId,
    pub(crate) path: Trail<'a>,
    pub(crate) value: &'a Value,
}

impl<'a> Place<'a> {
    pub(crate) fn root(document: DocumentId, value: &'a Value) -> Self {
        Self { document, path: Trail::default(), value }
    }

    pub(crate) fn key_at(&self) -> At {
        At::key(self.document, self.path.path())
    }

    pub(crate) fn value_at(&self) -> At {
        At::value(self.document, self.path.path())
    }

    /// The name it goes by in messages: its key, or its whole path.
    pub(crate) fn name(&self) -> String {
        match self.path.0.as_deref() {
            Some((_, Hop::Key(key))) => (*key).to_owned(),
            _ => self.path.path().to_string(),
        }
    }

    /// What stands under a key; null counts as absent.
    pub(crate) fn get(&self, key: &str) -> Option<Place<'a>> {
        match self.value {
            Value::Map(entries) => {
                let (key, value) = entries.get_key_value(key).filter(|(_, value)| **value != Value::Null)?;
                Some(Place { document: self.document, path: self.path.key(key), value })
            }
            _ => None,
        }
    }

    /// The entries of a mapping; none of anything else.
    pub(crate) fn entries(&self) -> Vec<(&'a str, Place<'a>)> {
        match self.value {
            Value::Map(entries) => entries
                .iter()
                .map(|(key, value)| (key.as_str(), Place { document: self.document, path: self.path.key(key), value }))
                .collect(),
            _ => Vec::new(),
        }
    }

    /// What stands there after these steps, or after those of them that lead somewhere.
    pub(crate) fn inside(&self, steps: &[Step]) -> Place<'a> {
        let mut place = self.clone();
        for step in steps {
            let next = match (place.value, step) {
                (Value::Map(entries), Step::Key(key)) => {
                    entries.get_key_value(key).map(|(key, value)| (place.path.key(key), value))
                }
                (Value::List(items), Step::Index(index)) => {
                    items.get(*index).map(|value| (place.path.index(*index), value))
                }
                _ => None,
            };
            let Some((path, value)) = next else { break };
            place = Place { document: place.document, path, value };
        }
        place
    }

    fn wrong(&self, wanted: &str, out: &mut Findings) {
        let summary = match self.path.0.is_none() {
            true => format!("the document must be {wanted}, not {}", describe(self.value)),
            false => format!("`{}` must be {wanted}, not {}", self.name(), describe(self.value)),
        };
        let mut finding = Diagnostic::error("wrong-type", summary).at(self.value_at(), format!("expected {wanted}"));
        finding.help = advice(self.value, wanted);
        out.push(finding);
    }

    /// A mapping that has no keys but these.
    pub(crate) fn shape(&self, known: &[&str], out: &mut Findings) -> bool {
        if !self.map(out) {
            return false;
        }
        for (key, place) in self.entries() {
            if !known.contains(&key) {
                unknown_key(key, &place, known, out);
            }
        }
        true
    }

    /// A mapping.
    pub(crate) fn map(&self, out: &mut Findings) -> bool {
        let fits = matches!(self.value, Value::Map(_));
        if !fits {
            self.wrong("a mapping", out);
        }
        fits
    }

    /// The items of a sequence.
    pub(crate) fn list(&self, out: &mut Findings) -> Option<Vec<Place<'a>>> {
        let Value::List(items) = self.value else {
            self.wrong("a list", out);
            return None;
        };
        let place = |(index, value)| Place { document: self.document, path: self.path.index(index), value };
        Some(items.iter().enumerate().map(place).collect())
    }

    /// Text.
    pub(crate) fn text(&self, out: &mut Findings) -> Option<&'a str> {
        match self.value {
            Value::String(text) => Some(text),
            _ => {
                self.wrong("a string", out);
                None
            }
        }
    }

    /// True or false.
    pub(crate) fn bool(&self, out: &mut Findings) -> Option<bool> {
        match self.value {
            Value::Bool(value) => Some(*value),
            _ => {
                self.wrong("true or false", out);
                None
            }
        }
    }

    /// A whole number of at least `min`.
    pub(crate) fn count(&self, min: u32, out: &mut Findings) -> Option<u32> {
        let Value::Number(number) = self.value else {
            self.wrong("an int", out);
            return None;
        };
        let count = number.as_u64().and_then(|count| u32::try_from(count).ok()).filter(|count| *count >= min);
        if count.is_none() {
            let summary = format!("`{}` must be a whole number from {min} on, not {number}", self.name());
            let finding = Diagnostic::error("out-of-range", summary).at(self.value_at(), "");
            out.push(finding.help(format!("Write {min} or more.")));
        }
        count
    }

    /// A port of TCP.
    pub(crate) fn port(&self, out: &mut Findings) -> Option<u32> {
        let port = match self.value {
            Value::Number(number) if number.as_u64().is_some_and(|port| port > u64::from(u16::MAX)) => None,
            _ => return self.count(1, out),
        };
        let summary = format!("`{}` cannot be a port", self.name());
        let finding = Diagnostic::error("out-of-range", summary).at(self.value_at(), "");
        out.push(finding.help("Write a number from 1 to 65535."));
        port
    }

    /// A duration: `30s`, `1h30m`.
    pub(crate) fn duration(&self, out: &mut Findings) -> Option<Duration> {
        let parsed = match self.value {
            Value::String(text) => duration(text),
            _ => None,
        };
        if parsed.is_none() {
            let summary = format!("`{}` must be a duration", self.name());
            let finding = Diagnostic::error("wrong-type", summary)
                .at(self.value_at(), "expected a duration")
                .help("Write a number with its unit: 500ms, 30s, 10m, 1h, 2d, or several: 1h30m.");
            out.push(finding);
        }
        parsed
    }
}

/// Reports a key that is none of a closed set.
pub(crate) fn unknown_key(key: &str, place: &Place<'_>, known: &[&str], out: &mut Findings) {
    let inside = match place.path.path().0.split_last() {
        Some((_, [])) | None => String::new(),
        Some((_, parents)) => format!(" in `{}`", Path(parents.to_vec())),
    };
    let mut finding =
        Diagnostic::error("unknown-key", format!("unknown key `{}`{inside}", written(key))).at(place.key_at(), "");
    finding.help = suggest::help(key, known.iter().copied());
    out.push(finding);
}

/// Text short enough for a message.
pub(crate) fn brief(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(200) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// Text of the user's inside a message: short, and on one line.
pub(crate) fn written(text: &str) -> String {
    let mut safe = String::new();
    for c in brief(text).chars() {
        match c.is_control() {
            true => safe.extend(c.escape_debug()),
            false => safe.push(c),
        }
    }
    safe
}

/// What a value is, for "must be an int, not …".
pub(crate) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(value) => format!("the bool {value}"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) if text.chars().count() <= 40 => format!("the string {text:?}"),
        Value::String(_) => "a string".to_owned(),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a mapping".to_owned(),
        Value::Output(_) | Value::Concat(_) => "a value known only after apply".to_owned(),
        Value::Secret(_) => "a secret".to_owned(),
    }
}

/// What to do about a value of the wrong type, where a trap of YAML explains it.
pub(crate) fn advice(value: &Value, wanted: &str) -> Option<String> {
    let wants = |word: &str| wanted.contains(word);
    match value {
        Value::String(text) if wants("true or false") || wants("a bool") => match text.to_lowercase().as_str() {
            "yes" | "on" | "y" => Some("YAML 1.2 knows no yes and on: write true.".to_owned()),
            "no" | "off" | "n" => Some("YAML 1.2 knows no no and off: write false.".to_owned()),
            "true" | "false" => Some("Remove the quotes.".to_owned()),
            _ => None,
        },
        Value::String(text) if (wants("int") || wants("number")) && text.parse::<f64>().is_ok() => {
            Some("Remove the quotes.".to_owned())
        }
        Value::Number(_) | Value::Bool(_) if wants("a string") => Some("Quote it.".to_owned()),
        Value::String(_) | Value::Number(_) | Value::Bool(_) if wants("a list") => {
            Some("Put it in brackets: a list of one.".to_owned())
        }
        _ => None,
    }
}

/// `1h30m` as a duration. Units: ms, s, m, h, d.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let unit = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let number: u64 = number.parse().ok()?;
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total = total.checked_add(Duration::from_millis(number.checked_mul(millis)?))?;
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

/// The words of expressions, which are no names.
pub(crate) const WORDS: [&str; 10] = ["and", "or", "not", "in", "is", "if", "else", "true", "false", "none"];

/// Names that expressions can say: `[a-z][a-z0-9_]*` and no word of the expression language. `reserved` tells the names
/// that mean something else already.
pub(crate) fn identifier(name: &str, place: &Place<'_>, reserved: &dyn Fn(&str) -> bool, out: &mut Findings) -> bool {
    if WORDS.contains(&name) || reserved(name) {
        let (id, what) = match WORDS.contains(&name) {
            true => ("bad-name", "is a word of the language"),
            false => ("shadowing", "means something else in expressions already"),
        };
        let finding = Diagnostic::error(id, format!("`{}` {what}", written(name)))
            .at(place.key_at(), "")
            .why("Expressions could not tell the two apart.")
            .help("Choose another name.");
        out.push(finding);
        return false;
    }
    let fits = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !fits {
        let finding = Diagnostic::error("bad-name", format!("`{}` cannot be a name here", written(name)))
            .at(place.key_at(), "")
            .why("Expressions refer to it, and there `-` is minus.")
            .help("Use lower-case letters, digits and _, a letter first.");
        out.push(finding);
    }
    fits
}

/// Names of blueprints and jobs: `[a-z][a-z0-9-]*`, at most 40 characters.
pub(crate) fn label(name: &str) -> bool {
    name.len() <= 40
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("1h30m"), Some(Duration::from_secs(5400)));
        assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
        for wrong in ["", "30", "s", "1x", "-1s", "99999999999999999999s", "18446744073709551615d", "1 h"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }
}
