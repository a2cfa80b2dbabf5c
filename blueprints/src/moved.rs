//! What goes by another address than before: `moved: [{ from: gpus, to: nodes }]`.
//!
//! An address names a resource or a module, which moves with all that is in it. Nothing may stand at the old address any
//! more, and something must stand at the new one, or it must itself have moved on.

use crate::language;
use crate::shape::{Findings, Place, written};
use crate::suggest;
use forge_engine::address::Address;
use forge_engine::diag::Diagnostic;
use forge_engine::resource::{Moved, destination};
use std::collections::BTreeMap;

/// A move and where the blueprint says it.
#[derive(Debug)]
pub(crate) struct Said<'a> {
    pub(crate) moved: Moved,
    from: Place<'a>,
    to: Place<'a>,
}

/// Reads the moves.
pub(crate) fn read<'a>(root: &Place<'a>, out: &mut Findings) -> Vec<Said<'a>> {
    let items = root.get("moved").and_then(|place| place.list(out)).unwrap_or_default();
    items.iter().filter_map(|item| one(item, out)).collect()
}

fn one<'a>(item: &Place<'a>, out: &mut Findings) -> Option<Said<'a>> {
    if !item.shape(&language::MOVED.names(), out) {
        return None;
    }
    let mut end = |key: &str| {
        let Some(place) = item.get(key) else {
            let finding = Diagnostic::error("missing-key", format!("the move does not say `{key}`"));
            out.push(finding.at(item.value_at(), "").help("Write { from: the old address, to: the new one }."));
            return None;
        };
        let text = place.text(out)?;
        if !is_address(text) {
            let finding = Diagnostic::error("bad-move", format!("`{}` is no address", written(text)));
            let finding = finding.at(place.value_at(), "");
            out.push(finding.help("Name a module or a resource as `forge plan` does: gpus, gpus[0], gpus.fleet."));
            return None;
        }
        Some((Address::new(text), place))
    };
    let (from, to) = (end("from"), end("to"));
    let ((from, from_place), (to, to_place)) = (from?, to?);
    Some(Said { moved: Moved { from, to }, from: from_place, to: to_place })
}

/// Whether text can be the address of a module or a resource: names with dots between them, each perhaps with numbers or
/// quoted keys in brackets.
#[must_use]
pub fn is_address(text: &str) -> bool {
    let mut rest = text;
    loop {
        let name = rest.find(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'));
        let (name, mut after) = rest.split_at(name.unwrap_or(rest.len()));
        if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
            return false;
        }
        while let Some(inside) = after.strip_prefix('[') {
            let quoted = inside.strip_prefix('"').and_then(|inside| inside.split_once("\"]"));
            let Some((key, left)) = quoted.or_else(|| inside.split_once(']')) else { return false };
            let number = !key.is_empty() && key.bytes().all(|digit| digit.is_ascii_digit());
            if quoted.map_or(!number, |(key, _)| key.contains(['"', '\\'])) {
                return false;
            }
            after = left;
        }
        match after.strip_prefix('.') {
            Some(next) => rest = next,
            None => return after.is_empty(),
        }
    }
}

/// Checks the moves against `present`, the addresses of all modules and resources.
pub(crate) fn check(said: &[Said<'_>], present: &[Address], out: &mut Findings) {
    let moved: Vec<Moved> = said.iter().map(|said| said.moved.clone()).collect();
    let mut first: BTreeMap<&Address, &Said<'_>> = BTreeMap::new();
    let mut in_a_circle = false;
    for said in said {
        let Moved { from, to } = &said.moved;
        let error =
            |summary: String, place: &Place<'_>| Diagnostic::error("bad-move", summary).at(place.value_at(), "");
        if let Some(first) = first.get(from) {
            let finding = error(format!("`{from}` moves twice"), &said.from).also(first.from.value_at(), "first here");
            out.push(finding.help("Remove one of them."));
            continue;
        }
        first.insert(from, said);
        let end = destination(&moved, from).unwrap_or_else(|| to.clone());
        if let Some(still) = present.iter().find(|address| said.moved.lead(address).is_some()) {
            let summary = match still == from {
                true => format!("`{from}` has moved, but the blueprint still has it"),
                false => format!("`{from}` has moved, but the blueprint still has `{still}`"),
            };
            let finding = error(summary, &said.from).why("What is wanted at both addresses is not moved.");
            out.push(finding.help("Remove this move, or what stands there."));
        } else if moved.iter().any(|moved| moved.lead(&end).is_some()) {
            if !in_a_circle {
                let finding = error(format!("`{from}` moves in a circle"), &said.from);
                out.push(finding.help("Say where things stood once, and where they stand now."));
            }
            in_a_circle = true;
        } else if !present.iter().any(|address| address.is_within(end.as_str())) {
            let mut finding = error(format!("there is no `{end}` for `{from}` to move to"), &said.to);
            finding.help = suggest::help(end.as_str(), present.iter().map(Address::as_str));
            out.push(finding);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_address;

    #[test]
    fn addresses() {
        for address in ["a", "a_1.b", "gpus[0]", "gpus[12].fleet", "a[\"x.y]\"].b[3]", "a[0][\"k\"]"] {
            assert!(is_address(address), "{address}");
        }
        for wrong in ["", "A", "1a", "a.", ".a", "a..b", "a[", "a[]", "a[x]", "a[0", "a[0]b", "a-b", "a[\"x]", "a b"] {
            assert!(!is_address(wrong), "{wrong}");
        }
    }
}
