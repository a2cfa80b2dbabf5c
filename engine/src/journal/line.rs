//! The format: lines to and from entries, with their checksums.

use super::{Header, JournalError, VERSION};
use crate::address::Deployment;
use crate::state::{Entry, State};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::path::Path;

const FORMAT: &str = "forge-journal";
const OPENING: &str = "{\"sum\":\"";
const BODY: &str = "\",\"body\":";
const SUM_DIGITS: usize = 8;

#[derive(Serialize)]
struct BodyOut<'a> {
    n: u64,
    at: Timestamp,
    entry: &'a Entry,
}

#[derive(Deserialize)]
struct BodyIn {
    n: u64,
    at: Timestamp,
    entry: Entry,
}

/// What a file holds.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) state: State,
    /// Entries after the header.
    pub(super) entries: u64,
    /// Bytes up to the end of the last good line.
    pub(super) good: u64,
}

pub(super) fn header(deployment: &Deployment) -> String {
    let header = Header { format: FORMAT.to_owned(), version: VERSION, deployment: deployment.clone() };
    format!("{}\n", serde_json::to_string(&header).unwrap_or_default())
}

pub(super) fn encode(n: u64, at: Timestamp, entry: &Entry) -> Result<String, JournalError> {
    let body =
        serde_json::to_string(&BodyOut { n, at, entry }).map_err(|why| JournalError::Refused(why.to_string()))?;
    Ok(format!("{OPENING}{:08x}{BODY}{body}}}\n", crc32(body.as_bytes())))
}

fn decode(line: &[u8]) -> Result<BodyIn, String> {
    let line = std::str::from_utf8(line).map_err(|_| "it is not text".to_owned())?;
    let (sum, body) = line
        .strip_prefix(OPENING)
        .and_then(|rest| rest.split_at_checked(SUM_DIGITS))
        .and_then(|(sum, rest)| Some((sum, rest.strip_prefix(BODY)?.strip_suffix('}')?)))
        .ok_or_else(|| "it is not an entry".to_owned())?;
    if format!("{:08x}", crc32(body.as_bytes())) != sum {
        return Err("its checksum does not match".to_owned());
    }
    serde_json::from_str(body).map_err(|error| error.to_string())
}

pub(super) fn load(path: &Path, text: &[u8], deployment: &Deployment) -> Result<Loaded, JournalError> {
    let corrupt = |line: usize, why: String| JournalError::Corrupt { path: path.to_owned(), line, why };
    let mut lines = text.split_inclusive(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    check_header(path, first, deployment)?;
    let mut loaded = Loaded { state: State::default(), entries: 0, good: first.len() as u64 };
    let mut bad: Option<(usize, String)> = None;
    for (number, line) in (2..).zip(lines) {
        let entry = match line.strip_suffix(b"\n") {
            Some(line) => decode(line),
            None => Err("it has no end".to_owned()),
        };
        match (entry, &bad) {
            // Lines that do not verify are a torn end, unless one that does comes after them.
            (Ok(_), Some((number, why))) => return Err(corrupt(*number, why.clone())),
            (Err(why), None) => bad = Some((number, why)),
            (Err(_), Some(_)) => {}
            (Ok(body), None) => {
                let snapshot = matches!(body.entry, Entry::Snapshot(_));
                let expected = loaded.state.serial + 1;
                if body.n != expected && !(snapshot && loaded.entries == 0) {
                    return Err(corrupt(number, format!("entry {expected} is missing: this is entry {}", body.n)));
                }
                loaded.state.fold(body.n, body.at, &body.entry).map_err(|why| corrupt(number, why))?;
                loaded.entries += 1;
                loaded.good += line.len() as u64;
            }
        }
    }
    Ok(loaded)
}

fn check_header(path: &Path, line: &[u8], deployment: &Deployment) -> Result<(), JournalError> {
    let header: Header = serde_json::from_slice(line)
        .ok()
        .filter(|header: &Header| header.format == FORMAT)
        .ok_or_else(|| JournalError::Corrupt { path: path.to_owned(), line: 1, why: "it is no header".to_owned() })?;
    if header.version != VERSION {
        return Err(JournalError::Version { path: path.to_owned(), found: header.version });
    }
    if header.deployment != *deployment {
        let (found, expected) = (header.deployment, deployment.clone());
        return Err(JournalError::OtherDeployment { path: path.to_owned(), found, expected });
    }
    Ok(())
}

/// CRC-32 as in IEEE 802.3. It finds tears and flipped bits; nothing here defends against an enemy with write access.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| (crc >> 8) ^ CRC_TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize])
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        #[allow(clippy::cast_possible_truncation, reason = "at most 255")]
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

#[cfg(test)]
#[test]
fn crc32_of_the_check_string() {
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
}
