//! Findings for programs: the same ones that [`crate::render`] draws for people, as lines, JSON, SARIF or the commands
//! that GitHub turns into annotations.

mod github;
mod json;
mod sarif;
mod span;

pub(crate) use github::github;
pub(crate) use json::json;
pub(crate) use sarif::sarif;

use forge_engine::diag::{At, Diagnostic, Locate, Severity};
use span::Span;

/// One line for each finding, as compilers print them: `file:line:column: error[id]: what is wrong`.
pub(crate) fn plain(findings: &[Diagnostic], locate: &dyn Locate) -> String {
    let line = |finding: &Diagnostic| {
        let place = Span::of(finding, locate).map_or_else(String::new, |span| format!("{span}: "));
        let summary = finding.summary.replace('\n', " ");
        format!("{place}{}[{}]: {summary}\n", level(finding.severity), finding.id)
    };
    findings.iter().map(line).collect()
}

/// A place as compilers write it: `file:line:column`; none when the text is not at hand.
pub(crate) fn place(at: &At, locate: &dyn Locate) -> Option<String> {
    Span::locate(at, locate).map(|span| span.to_string())
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

/// Everything that a finding says without an excerpt, in sentences.
fn said(finding: &Diagnostic, separator: &str) -> String {
    let label = finding.primary.as_ref().map(|label| label.text.as_str()).filter(|text| !text.is_empty());
    let first = match label {
        Some(label) => format!("{}: {label}", finding.summary),
        None => finding.summary.clone(),
    };
    let rest = [finding.why.clone(), finding.help.clone()];
    std::iter::once(first).chain(rest.into_iter().flatten()).collect::<Vec<_>>().join(separator)
}

#[cfg(test)]
mod tests {
    use super::*;
    use forge_blueprints::Sources;
    use forge_engine::diag::Path;

    /// A document whose name, keys and values hold what each format must escape.
    fn sample() -> (Sources, Vec<Diagnostic>) {
        let mut sources = Sources::default();
        let mut findings = Vec::new();
        let document = sources.add("a dir/100%, é:x.yaml", "é: ü\nb: [1, 2]\n".as_bytes(), &mut findings);
        let at = |key: &str| At::value(document, Path::root().key(key));
        findings.push(
            Diagnostic::error("first-id", "what is wrong, 100%")
                .at(at("b"), "here: this")
                .also(At::key(document, Path::root().key("é")), "and there")
                .why("Because\nof that.")
                .help("Do it."),
        );
        findings.push(Diagnostic::warning("second-id", "about no place"));
        findings.push(Diagnostic::warning("first-id", "again").at(at("é"), ""));
        (sources, findings)
    }

    #[test]
    fn lines() {
        let (sources, findings) = sample();
        let wanted = "a dir/100%, é:x.yaml:2:4: error[first-id]: what is wrong, 100%\nwarning[second-id]: about no place\n\
            a dir/100%, é:x.yaml:1:4: warning[first-id]: again\n";
        assert_eq!(plain(&findings, &sources), wanted);
    }

    #[test]
    fn github_commands_are_escaped() {
        let (sources, findings) = sample();
        let wanted = "::error title=first-id,file=a dir/100%25%2C é%3Ax.yaml,line=2,col=4,endLine=2,endColumn=10\
            ::what is wrong, 100%25: here: this%0ABecause%0Aof that.%0ADo it.\n\
            ::warning title=second-id::about no place\n\
            ::warning title=first-id,file=a dir/100%25%2C é%3Ax.yaml,line=1,col=4,endLine=1,endColumn=5::again\n";
        assert_eq!(github(&findings, &sources), wanted);
    }

    #[test]
    fn json_says_where_in_lines_columns_and_bytes() {
        let (sources, findings) = sample();
        let json = json(&findings[0], &sources);
        assert_eq!(json["place"], "a dir/100%, é:x.yaml:2:4");
        assert_eq!(
            json["finding"]["primary"]["range"],
            serde_json::json!({
                "start": {"line": 2, "column": 4, "offset": 10}, "end": {"line": 2, "column": 10, "offset": 16},
            })
        );
        assert_eq!(json["finding"]["secondary"][0]["range"]["start"]["line"], 1);
        assert_eq!(json["finding"]["secondary"][0]["file"], "a dir/100%, é:x.yaml");
    }

    #[test]
    fn sarif_has_all_that_its_standard_requires() {
        let (sources, findings) = sample();
        let sarif = sarif(&findings, &sources);
        assert_eq!((&sarif["version"], sarif["runs"].as_array().map(Vec::len)), (&"2.1.0".into(), Some(1)));
        let run = &sarif["runs"][0];
        assert_eq!(run["columnKind"], "unicodeCodePoints");
        assert_eq!(run["tool"]["driver"]["name"], "forge");
        let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
        assert_eq!(
            rules.iter().map(|rule| rule["id"].as_str().unwrap()).collect::<Vec<_>>(),
            ["first-id", "second-id"]
        );
        let results = run["results"].as_array().unwrap();
        assert_eq!(results.len(), findings.len());
        for (result, finding) in results.iter().zip(&findings) {
            assert_eq!(result["ruleId"], rules[result["ruleIndex"].as_u64().unwrap() as usize]["id"]);
            assert_eq!(result["level"], level(finding.severity));
            assert!(result["message"]["text"].as_str().unwrap().starts_with(&finding.summary));
            assert_eq!(result["locations"].as_array().map(Vec::len), Some(usize::from(finding.primary.is_some())));
        }
        let place = &results[0]["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "a%20dir/100%25%2C%20%C3%A9%3Ax.yaml");
        let region = serde_json::json!({"startLine": 2, "startColumn": 4, "endLine": 2, "endColumn": 10});
        assert_eq!(place["region"], region);
        let related = &results[0]["relatedLocations"][0];
        assert_eq!((&related["id"], &related["message"]["text"]), (&1.into(), &"and there".into()));
        assert_eq!(related["physicalLocation"]["region"]["endColumn"], 2);
    }
}
