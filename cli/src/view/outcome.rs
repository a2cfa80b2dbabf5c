//! What an apply came to, for people: failures grouped by their cause, each group with what it kept from being done and
//! the way out.

use super::alike;
use super::progress::done;
use crate::ui::{Paint, Palette};
use forge_engine::address::Address;
use forge_engine::apply::Outcome;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// The most resources that a line names.
const NAMES: usize = 8;

/// The summary of a run; empty when everything was done. `places` says where modules stand in the blueprint, by name.
pub(crate) fn text(outcome: &Outcome, places: &BTreeMap<String, String>, palette: Palette) -> String {
    let mut out = String::new();
    for cause in outcome.causes() {
        let first = cause.failed[0];
        let error = palette.paint(Paint::Bad, "error");
        let names = names(cause.failed.iter().map(|failure| &failure.address));
        let _ = writeln!(out, "{error}: {names} could not be {}", done(first.action));
        let modules: BTreeSet<&str> = cause.failed.iter().map(|failure| failure.address.module()).collect();
        for place in modules.iter().filter_map(|module| places.get(*module)).take(NAMES) {
            let _ = writeln!(out, "  --> {place}");
        }
        for because in cause.chain {
            let _ = writeln!(out, "  because: {because}");
        }
        if !cause.blocked.is_empty() {
            let names = self::names(cause.blocked.iter().map(|skipped| &skipped.address));
            let _ = writeln!(out, "  not begun for that: {names}");
        }
        if let Some(help) = cause.help {
            let _ = writeln!(out, "  help: {help}");
        }
    }
    if let Some(fenced) = &outcome.fenced {
        let error = palette.paint(Paint::Bad, "error");
        let _ = writeln!(out, "{error}: this forge was fenced and has stopped: {fenced}");
        let help = "what it had begun is written down, and whoever is at work looks what became of it";
        let _ = writeln!(out, "  help: {help}; then run the command again");
        return out;
    }
    for warning in &outcome.warnings {
        let _ = writeln!(out, "{}: {warning}", palette.paint(Paint::Change, "warning"));
    }
    let left = outcome.failed.len() + outcome.skipped.len();
    if left > 0 {
        let saved = "what is done is written down, and the same command goes on from here";
        let _ = writeln!(out, "{left} not done; {saved}");
    }
    out
}

fn names<'a>(addresses: impl Iterator<Item = &'a Address>) -> String {
    let addresses: Vec<&str> = addresses.map(Address::as_str).collect();
    let mut names = alike::names(&addresses);
    let more = names.len().saturating_sub(NAMES);
    names.truncate(NAMES);
    let names = names.join(", ");
    if more == 0 { names } else { format!("{names} and {more} more") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use forge_engine::apply::{Failure, Skipped};
    use forge_engine::event::Skip;
    use forge_engine::plan::Action;

    fn failure(address: &str, action: Action, chain: &[&str], help: Option<&str>) -> Failure {
        Failure {
            address: Address::new(address),
            kind: "aws.instance".to_owned(),
            action,
            chain: chain.iter().map(|cause| (*cause).to_owned()).collect(),
            help: help.map(str::to_owned),
            blockers: Vec::new(),
        }
    }

    fn skipped(address: &str, because: Skip) -> Skipped {
        Skipped { address: Address::new(address), kind: "aws.job".to_owned(), action: Action::Create, because }
    }

    fn outcome() -> Outcome {
        let quota = ["RunInstances was refused", "VcpuLimitExceeded: 96 of 96 are in use"];
        let raise = Some("ask AWS for a higher quota L-417A185B, or choose fewer nodes");
        let mut failed: Vec<Failure> =
            (0..12).map(|n| failure(&format!("fleet.node[{n}]"), Action::Create, &quota, raise)).collect();
        failed.push(failure("old.subnet", Action::Delete, &["eni-1 still stands on subnet-1"], None));
        let blocked = |by: &str| Skip::Blocked(Address::new(by));
        Outcome {
            failed,
            skipped: vec![
                skipped("train.job", blocked("fleet.node[3]")),
                skipped("old.vpc", blocked("old.subnet")),
                skipped("late.bucket", Skip::Cancelled),
            ],
            interrupted: true,
            warnings: vec!["cannot see what is left behind: the service cannot be reached".to_owned()],
            ..Outcome::default()
        }
    }

    #[test]
    fn failures_are_grouped_by_cause_plain_in_colour_and_as_json() {
        let outcome = outcome();
        let places = [("fleet".to_owned(), "blueprint.yaml:12:3".to_owned())].into();
        let coloured = text(&outcome, &places, Palette::COLOURED).replace('\x1b', "␛");
        let mut short = outcome.clone();
        short.failed.drain(1..12);
        let json = serde_json::to_string_pretty(&short).unwrap();
        insta::assert_snapshot!([text(&outcome, &places, Palette::PLAIN), coloured, json].join("\n"));
    }

    #[test]
    fn a_run_that_did_everything_says_nothing() {
        assert_eq!(text(&Outcome::default(), &BTreeMap::new(), Palette::PLAIN), "");
    }
}
