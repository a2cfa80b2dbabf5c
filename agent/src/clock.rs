//! The wall clock, for people and for names; never for deciding who is alive.

use crate::wire::UnixMillis;

/// Milliseconds since 1970.
#[must_use]
pub fn wall() -> UnixMillis {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default()
}
