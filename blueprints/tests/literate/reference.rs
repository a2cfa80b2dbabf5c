//! The reference for users, `LANGUAGE.md`: its examples are cases, and its lists are complete.
//!
//! It is written for readers, so it is less strict than the suite: headings have any level, a section without a blueprint is
//! no case, and it has fences of its own. ` ```text expressions` has an expression and its value on each line; ` ```sh` is
//! passed over. The names in the first column of the table below `### Findings` are the ids of findings.

use crate::setup::{Outcome, outcome_beside};
use serde_json::Value as Json;
use std::collections::BTreeSet;

/// An expression of the reference.
pub(crate) struct Example {
    /// Its line in the file, from 1.
    pub(crate) line: usize,
    pub(crate) expression: String,
    /// As JSON.
    pub(crate) value: String,
}

/// The reference as the suite's cases are written, line for line.
pub(crate) fn cases(text: &str) -> String {
    let mut sections: Vec<Vec<String>> = vec![Vec::new()];
    let mut fence = None;
    for line in text.lines() {
        let heading = fence.is_none().then(|| line.trim_start_matches('#')).filter(|rest| *rest != line);
        let mut kept = line.to_owned();
        match (&fence, line.strip_prefix("```")) {
            (None, Some(info)) => {
                let own = info == "text expressions" || info == "sh";
                fence = Some(own);
                kept = if own { String::new() } else { kept };
            }
            (Some(own), _) => {
                kept = if *own { String::new() } else { kept };
                fence = fence.filter(|_| line != "```");
            }
            (None, None) => {}
        }
        if let Some(heading) = heading {
            sections.push(Vec::new());
            kept = format!("##{heading}");
        }
        sections.last_mut().expect("the first").push(kept);
    }
    let lines = sections.into_iter().flat_map(|mut section| {
        let has_fence = section.iter().any(|line| line.starts_with("```"));
        if let Some(heading) = section.first_mut().filter(|_| !has_fence) {
            heading.clear();
        }
        section
    });
    lines.map(|line| line + "\n").collect()
}

/// The expressions and their values.
pub(crate) fn examples(text: &str) -> Vec<Example> {
    let mut inside = false;
    let mut examples = Vec::new();
    for (index, line) in text.lines().enumerate() {
        match (inside, line) {
            (false, "```text expressions") => inside = true,
            (true, "```") => inside = false,
            (true, line) => {
                let (expression, value) = line.rsplit_once(" -> ").unwrap_or((line, ""));
                let (expression, value) = (expression.trim().to_owned(), value.trim().to_owned());
                examples.push(Example { line: index + 1, expression, value });
            }
            _ => {}
        }
    }
    examples
}

/// What is wrong with an example.
pub(crate) fn fault(example: &Example) -> Option<String> {
    let said = match value(&example.expression) {
        Ok(value) => value,
        Err(why) => return Some(format!("{}: {} {why}", example.line, example.expression)),
    };
    let parsed = |text: &str| serde_json::from_str::<Json>(text).ok();
    let same = parsed(&said).is_some_and(|said| parsed(&example.value) == Some(said));
    (!same).then(|| format!("{}: {} -> {said}", example.line, example.expression))
}

/// What an expression gives in a module, as JSON.
fn value(expression: &str) -> Result<String, String> {
    let blueprint = "forge: v1\nname: n\ntarget: local\nmodules: { m: { use: ./m } }\n";
    let text = Json::from(format!("${{{expression}}}"));
    let module = format!("module: m\ntargets: {{ local: {{ outputs: {{ value: {text} }} }} }}\n");
    let Outcome { expanded, findings, .. } =
        outcome_beside(blueprint.as_bytes(), &[], None, &[("m/module.yaml", module.as_bytes())], &[]);
    let expanded = expanded.ok_or_else(|| {
        findings.iter().map(|finding| format!("{} {:?}", finding.summary, finding.why)).collect::<Vec<_>>().join("; ")
    })?;
    Ok(super::json(&expanded.modules["m"]["value"]))
}

/// The names that follow a sign or a word in expressions.
fn after(examples: &[Example], signs: &[&str]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (sign, example) in signs.iter().flat_map(|sign| examples.iter().map(move |example| (sign, example))) {
        for rest in example.expression.split(sign).skip(1) {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            names.insert(rest[..end].to_owned());
        }
    }
    names
}

/// What is said of filters, tests and functions against what there is.
pub(crate) fn names(text: &str) -> Result<(), String> {
    let examples = examples(text);
    // The engine's own names are told by nothing but its debug output.
    let engine = format!("{:?}", minijinja::Environment::new());
    let ours = include_str!("../../src/filters.rs");
    let quoted = |text: &str| text.split('"').skip(1).step_by(2).map(str::to_owned).collect::<BTreeSet<_>>();
    let candidates: BTreeSet<String> = quoted(&engine).into_iter().chain(quoted(ours)).collect();
    let mut faults = Vec::new();
    for (what, signs) in [("filter", &["| "][..]), ("test", &[" is ", " is not "])] {
        let named = after(&examples, signs);
        let is = |name: &str| value(&format!("{} is {what}", Json::from(name))).is_ok_and(|there| there == "true");
        let word = |name: &&String| name.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit());
        let there: Vec<&String> = candidates.iter().filter(word).filter(|name| is(name)).collect();
        // That every name is one is seen when its example is evaluated.
        let silent: Vec<_> = there.iter().filter(|name| !named.contains(**name)).collect();
        if !silent.is_empty() || there.len() < 20 {
            faults.push(format!("of {} {what}s there is no example of {silent:?}", there.len()));
        }
    }
    let functions = candidates.iter().filter(|name| {
        let constant = ["true", "false", "none"].contains(&name.as_str());
        let callable = !constant && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        callable && value(&format!("{name} is defined")).is_ok_and(|there| there == "true")
    });
    let silent: Vec<_> = functions.filter(|name| !text.contains(&format!("\n{name}("))).collect();
    if !silent.is_empty() {
        faults.push(format!("there is no example of the functions {silent:?}"));
    }
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
}

/// The ids in the table of findings.
pub(crate) fn ids(text: &str) -> BTreeSet<String> {
    let table =
        text.lines().skip_while(|line| *line != "### Findings").skip(1).take_while(|line| !line.starts_with('#'));
    let cells = table.filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}
