//! Several instances of one thing by one name: `fleet.node[0..31]`.

/// The fewest that go by one name.
pub(super) const FEWEST: usize = 3;
/// The most names of instances that are said.
const NAMES: usize = 3;

/// The address before the last brackets, what stands in them, and what comes after.
pub(super) fn instance(address: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = address.rsplit_once('[')?;
    let (key, after) = rest.rsplit_once(']')?;
    Some((before, key, after))
}

/// The one name of addresses that differ in their last brackets only.
pub(super) fn name(addresses: &[&str]) -> String {
    let keys: Vec<&str> = addresses.iter().filter_map(|address| instance(address)).map(|(_, key, _)| key).collect();
    match addresses.first().and_then(|address| instance(address)) {
        Some((before, _, after)) => format!("{before}[{}]{after}", brief(&keys)),
        None => addresses.join(", "),
    }
}

/// Addresses in short, in the order in which they first show: those with one name by that.
pub(super) fn names(addresses: &[&str]) -> Vec<String> {
    let around = |address: &str| instance(address).map(|(before, _, after)| (before.to_owned(), after.to_owned()));
    let mut groups: Vec<Vec<&str>> = Vec::new();
    for address in addresses {
        let own = around(address);
        match groups.iter_mut().find(|group| own.is_some() && around(group[0]) == own) {
            Some(group) => group.push(address),
            None => groups.push(vec![address]),
        }
    }
    let named = |group: Vec<&str>| match group.len() {
        1..FEWEST => group.into_iter().map(str::to_owned).collect(),
        _ => vec![name(&group)],
    };
    groups.into_iter().flat_map(named).collect()
}

/// Numbers as ranges, names one by one while they are few.
fn brief(keys: &[&str]) -> String {
    let numbers: Option<Vec<u64>> = keys.iter().map(|key| key.parse().ok()).collect();
    let Some(mut numbers) = numbers else {
        let more = if keys.len() > NAMES { ", …" } else { "" };
        return format!("{}{more}", keys.iter().take(NAMES).copied().collect::<Vec<_>>().join(", "));
    };
    numbers.sort_unstable();
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, end)) if *end + 1 == number => *end = number,
            _ => ranges.push((number, number)),
        }
    }
    let range = |&(start, end): &(u64, u64)| if start == end { start.to_string() } else { format!("{start}..{end}") };
    ranges.iter().map(range).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn many_go_by_one_name() {
        let cases: &[(&[&str], &[&str])] = &[
            (&["a.b", "a.c"], &["a.b", "a.c"]),
            (&["n[0]", "x", "n[1]", "n[2]", "n[4]"], &["n[0..2,4]", "x"]),
            (&["n[0]", "n[1]"], &["n[0]", "n[1]"]),
            (&["g[0].n", "g[1].n", "g[2].n", "g[2].m"], &["g[0..2].n", "g[2].m"]),
            (&["n[\"a\"]", "n[\"b\"]", "n[\"c\"]", "n[\"d\"]"], &["n[\"a\", \"b\", \"c\", …]"]),
        ];
        for (addresses, wanted) in cases {
            assert_eq!(names(addresses), *wanted);
        }
    }
}
