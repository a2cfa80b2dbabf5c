//! One step of a plan on a line of its own, with the fields that it is about below.

use crate::ui::{Paint, Palette};
use forge_engine::plan::{Action, Means, Step};
use forge_engine::value::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Longest value that is shown whole.
const LONGEST: usize = 60;

/// The colour of an action.
pub(super) fn paint(action: Action) -> Paint {
    match action {
        Action::Create | Action::Adopt => Paint::Good,
        Action::Delete | Action::ReplaceCreateFirst | Action::ReplaceDeleteFirst => Paint::Bad,
        Action::Update | Action::Forget | Action::NoOp => Paint::Change,
    }
}

/// The line of a step, with `name` in place of its address and `more` after its kind.
pub(super) fn head(step: &Step, name: &str, more: &str, width: usize, palette: Palette) -> String {
    let symbol = palette.paint(paint(step.action), format!("{:>3}", step.action.symbol()));
    let moved = step.moved_from.as_ref().map(|from| format!("it was {from}"));
    let reasons: Vec<String> = moved.into_iter().chain(step.reasons.iter().cloned()).collect();
    let reasons = match reasons.as_slice() {
        [] => String::new(),
        reasons => format!("  {}", palette.paint(Paint::Faint, format!("({})", reasons.join("; ")))),
    };
    format!("{symbol} {name:width$}  {}{more}{reasons}", step.kind)
}

/// The fields of a step; those in `differing` are not the same in all that it stands for.
pub(super) fn fields(step: &Step, differing: &BTreeSet<&str>, palette: Palette) -> Vec<String> {
    let mut lines = Vec::new();
    for change in &step.changes {
        let before = change.before.as_ref().map(value);
        let after = change.after.as_ref().map_or_else(|| "none".to_owned(), value);
        let forces = match change.means {
            Means::InPlace => String::new(),
            _ => format!("  {}", palette.paint(Paint::Bad, "# forces a replacement")),
        };
        lines.push(match before {
            Some(before) => format!("      {}: {before} -> {after}{forces}", change.field),
            None => format!("      {}: {after}{forces}", change.field),
        });
    }
    if step.action == Action::Create {
        for (field, wanted) in wanted(step).into_iter().flatten().filter(|(_, wanted)| **wanted != Value::Null) {
            let differs = if differing.contains(field.as_str()) { "  # and others" } else { "" };
            lines.push(format!("      {field}: {}{}", value(wanted), palette.paint(Paint::Faint, differs)));
        }
    }
    lines
}

/// The fields of what a step is to make.
pub(super) fn wanted(step: &Step) -> Option<&BTreeMap<String, Value>> {
    match &step.desired {
        Some(Value::Map(fields)) => Some(fields),
        _ => None,
    }
}

/// A value on one line; what is known only after apply is shown as what it will be.
pub(super) fn value(value: &Value) -> String {
    let text = match value {
        Value::Null => "none".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::String(value) => value.clone(),
        Value::Output(output) => return format!("(known after apply: {output})"),
        Value::Concat(_) => return "(known after apply)".to_owned(),
        Value::Secret(secret) => return secret.to_string(),
        Value::List(items) => format!("[{}]", items.iter().map(self::value).collect::<Vec<_>>().join(", ")),
        Value::Map(entries) => {
            let entries = entries.iter().map(|(key, item)| format!("{key}: {}", self::value(item)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    };
    if text.chars().count() <= LONGEST {
        return text;
    }
    if matches!(value, Value::List(_) | Value::Map(_)) {
        return text.chars().take(LONGEST - 1).chain(['…']).collect();
    }
    // The end of a path says more than its beginning.
    let end: String = text.chars().skip(text.chars().count() - (LONGEST - 1)).collect();
    format!("…{end}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn of_what_is_long_the_part_that_says_most_is_shown() {
        let path = format!("/var/{}/data.bucket", "x".repeat(80));
        let shown = value(&json!(path).into());
        assert!(shown.starts_with('…') && shown.ends_with("xx/data.bucket"), "{shown}");
        let shown = value(&json!({"Name": "node", "team": "x".repeat(30), "zone": "y".repeat(30)}).into());
        assert!(shown.starts_with("{Name: node, team: xx") && shown.ends_with('…'), "{shown}");
        assert_eq!(shown.chars().count(), LONGEST);
    }
}
