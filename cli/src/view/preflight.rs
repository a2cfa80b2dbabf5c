//! What a target says before anything is created, for people: who asks, then what is wrong, then how much is not.

use crate::ui::{Paint, Palette};
use forge_modules::preflight::{Finding, Report, Verdict};

/// The lines of a report. Of what is fine people see how much it is, unless they want to see everything.
pub(super) fn lines(report: &Report, full: bool, palette: Palette) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(who) = &report.identity {
        let (account, region) = (palette.paint(Paint::Strong, &who.account), palette.paint(Paint::Strong, &who.region));
        lines.push(format!("account {account} in {region}, as {}", who.name));
    }
    let shown = |finding: &&Finding| full || finding.verdict != Verdict::Fine;
    let mut before: Option<&Finding> = None;
    for finding in report.findings.iter().filter(shown) {
        // What stays unknown for one reason says it once.
        let same = before.is_some_and(|before| before.verdict == Verdict::Unknown && before.why == finding.why);
        if same && finding.verdict == Verdict::Unknown && finding.why.is_some() {
            lines.pop();
        }
        lines.push(head(finding, palette));
        lines.extend(finding.why.iter().map(|why| format!("             because: {why}")));
        lines.extend(finding.help.iter().map(|help| format!("             help: {help}")));
        before = Some(finding).filter(|finding| finding.help.is_none());
    }
    let fine = report.count(Verdict::Fine);
    if fine > 0 && !full {
        let checks = if fine == 1 { "1 check".to_owned() } else { format!("{fine} checks") };
        lines.push(format!("  {} {checks}", palette.paint(Paint::Good, format!("{:<10}", "fine"))));
    }
    if !lines.is_empty() {
        lines.push(String::new());
    }
    lines
}

fn head(finding: &Finding, palette: Palette) -> String {
    let (paint, word) = match finding.verdict {
        Verdict::Refused => (Paint::Bad, "refused"),
        Verdict::Warning => (Paint::Change, "warning"),
        Verdict::Unknown => (Paint::Faint, "unknown"),
        Verdict::Fine => (Paint::Good, "fine"),
    };
    let address = finding.address.as_ref().map(|address| format!("{address}: ")).unwrap_or_default();
    format!("  {} {address}{}", palette.paint(paint, format!("{word:<10}")), finding.what)
}
