//! "Did you mean": the nearest of a closed set of names.

/// The candidate nearest to what was written, if it is near enough to have been meant.
pub(crate) fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(written, candidate), candidate))
        // A third of the letters may differ, and one letter always: `buckt`, `vpcs`, `capcity_gb`.
        .filter(|(distance, candidate)| {
            let length = written.chars().count().max(candidate.len());
            *distance < length && *distance <= (length / 3).max(1)
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Help for a name that is not one of a closed set.
pub(crate) fn help<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> Option<String> {
    // Comparing takes time that grows with both lengths; nobody means a name by a text this long.
    let near = if written.len() <= 64 { nearest(written, candidates.clone()) } else { None };
    if let Some(near) = near {
        return Some(format!("Did you mean `{near}`?"));
    }
    let all: Vec<String> = candidates.into_iter().take(20).map(|name| format!("`{name}`")).collect();
    match all.as_slice() {
        [] => None,
        [only] => Some(format!("There is only {only}.")),
        _ => Some(format!("There are {}.", all.join(", "))),
    }
}
