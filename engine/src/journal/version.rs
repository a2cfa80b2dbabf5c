//! Versions of the format.
//!
//! A forge reads what every earlier one has written and writes the newest version that it knows. Lines of an older
//! version go through the steps from it to today's, one version at a time; the journal is then rewritten in today's as
//! soon as somebody opens it for writing. A newer version is refused: its lines may mean what this forge cannot know.
//!
//! - **1**: a header of format, version and deployment.
//! - **2**: the header says which forge wrote it, and has a checksum of its own; every entry carries the epoch of its
//!   writer, 0 where owners need none.

use serde_json::Value as Json;

/// Turns the body of an entry of one version into that of the next.
type Step = fn(Json) -> Result<Json, String>;

/// The first is from version 1 to version 2.
const STEPS: &[Step] = &[with_epoch];

/// The version of the format that this forge writes, and the newest that it reads.
#[allow(clippy::cast_possible_truncation, reason = "there are few versions")]
pub const VERSION: u32 = STEPS.len() as u32 + 1;

/// Brings the body of an entry to today's version.
pub(super) fn migrate(version: u32, body: Json) -> Result<Json, String> {
    STEPS.iter().skip((version as usize).saturating_sub(1)).try_fold(body, |body, step| step(body))
}

fn with_epoch(mut body: Json) -> Result<Json, String> {
    let fields = body.as_object_mut().ok_or("it is not an entry")?;
    fields.insert("epoch".to_owned(), 0.into());
    Ok(body)
}
