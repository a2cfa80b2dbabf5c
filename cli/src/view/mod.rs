//! What people see, as folds over plans, events and documents.

mod alike;
pub(crate) mod live;
pub(crate) mod outcome;
pub(crate) mod plan;
mod preflight;
pub(crate) mod progress;
pub(crate) mod rehearsal;

/// `12.3 MB`; powers of ten, as storage is sold.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// UTC time of day of a moment in milliseconds since 1970.
pub(crate) fn time(at: u64) -> String {
    let moment = i64::try_from(at).ok().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    moment.map_or_else(String::new, |moment| moment.strftime("%H:%M:%SZ").to_string())
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes_and_times_are_short() {
        let sizes: Vec<_> = [0, 999, 1000, 1_234_567, 5_000_000_000_000_000].into_iter().map(super::bytes).collect();
        assert_eq!(sizes, ["0 B", "999 B", "1.0 kB", "1.2 MB", "5000.0 TB"]);
        assert_eq!(super::time(1_000), "00:00:01Z");
    }
}
