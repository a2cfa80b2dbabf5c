//! The format: lines to and from entries, with their checksums.

use super::JournalError;
use super::store::Content;
use super::version::{VERSION, migrate};
use crate::address::Deployment;
use crate::state::{Entry, State};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::path::Path;

const FORMAT: &str = "forge-journal";
/// The forge that this is.
const FORGE: &str = env!("CARGO_PKG_VERSION");
const OPENING: &str = "{\"sum\":\"";
const BODY: &str = "\",\"body\":";
const HEADER_SUM: &str = ",\"sum\":\"";
const SUM_DIGITS: usize = 8;

/// What a header says in every version, now and in future.
#[derive(Debug, Deserialize)]
struct Opening {
    format: String,
    version: u32,
    /// Which forge wrote it; since version 2.
    forge: Option<String>,
}

#[derive(Debug, Serialize)]
struct HeaderOut<'a> {
    format: &'a str,
    version: u32,
    forge: &'a str,
    deployment: &'a Deployment,
}

#[derive(Debug, Deserialize)]
struct HeaderIn {
    deployment: Deployment,
}

#[derive(Serialize)]
struct BodyOut<'a> {
    n: u64,
    at: Timestamp,
    epoch: u64,
    entry: &'a Entry,
}

#[derive(Deserialize)]
struct BodyIn {
    n: u64,
    at: Timestamp,
    epoch: u64,
    entry: Entry,
}

/// What a journal holds.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) state: State,
    /// Entries after the header.
    pub(super) entries: u64,
    /// The version of its header.
    pub(super) version: u32,
    /// The epoch of the last entry.
    epoch: u64,
    /// What comes after the good lines of the last part: how many bytes are good. None when all of them are.
    pub(super) torn: Option<u64>,
}

pub(super) fn header(deployment: &Deployment) -> String {
    let header = HeaderOut { format: FORMAT, version: VERSION, forge: FORGE, deployment };
    let mut text = serde_json::to_string(&header).unwrap_or_default();
    text.pop();
    let sum = crc32(text.as_bytes());
    format!("{text}{HEADER_SUM}{sum:08x}\"}}\n")
}

pub(super) fn encode(n: u64, at: Timestamp, epoch: u64, entry: &Entry) -> Result<String, JournalError> {
    let body = BodyOut { n, at, epoch, entry };
    let body = serde_json::to_string(&body).map_err(|why| JournalError::Refused(why.to_string()))?;
    Ok(format!("{OPENING}{:08x}{BODY}{body}}}\n", crc32(body.as_bytes())))
}

fn decode(line: &[u8], version: u32) -> Result<BodyIn, String> {
    let line = std::str::from_utf8(line).map_err(|_| "it is not text".to_owned())?;
    let (sum, body) = line
        .strip_prefix(OPENING)
        .and_then(|rest| rest.split_at_checked(SUM_DIGITS))
        .and_then(|(sum, rest)| Some((sum, rest.strip_prefix(BODY)?.strip_suffix('}')?)))
        .ok_or_else(|| "it is not an entry".to_owned())?;
    if format!("{:08x}", crc32(body.as_bytes())) != sum {
        return Err("its checksum does not match".to_owned());
    }
    if version == VERSION {
        return serde_json::from_str(body).map_err(|error| error.to_string());
    }
    let body: Json = serde_json::from_str(body).map_err(|error| error.to_string())?;
    serde_json::from_value(migrate(version, body)?).map_err(|error| error.to_string())
}

/// Folds what a store holds. No content is an empty state.
pub(super) fn load(content: &Content, deployment: &Deployment) -> Result<Loaded, JournalError> {
    let mut loaded = Loaded { version: VERSION, ..Loaded::default() };
    for (number, part) in (1..).zip(&content.parts) {
        let headed = number == 1;
        let mut good = 0;
        if headed {
            let first = part.text.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default();
            loaded.version = check_header(&part.place, first, deployment)?;
            good = first.len();
        }
        let tail = fold(&mut loaded, &part.place, &part.text[good..], usize::from(headed))?;
        let Some(bad) = tail else { continue };
        if !(content.tears && number == content.parts.len()) {
            return Err(JournalError::Corrupt { path: part.place.clone(), line: bad.line, why: bad.why });
        }
        loaded.torn = Some((good + bad.good) as u64);
    }
    Ok(loaded)
}

/// The end of a stretch of lines that does not verify.
struct Bad {
    line: usize,
    why: String,
    /// How many bytes before it do.
    good: usize,
}

/// Folds lines, of which the first comes after `above` others in its place.
fn fold(loaded: &mut Loaded, place: &Path, text: &[u8], above: usize) -> Result<Option<Bad>, JournalError> {
    let corrupt = |line: usize, why: String| JournalError::Corrupt { path: place.to_owned(), line, why };
    let mut good = 0;
    let mut bad: Option<Bad> = None;
    for (number, line) in (above + 1..).zip(text.split_inclusive(|byte| *byte == b'\n')) {
        let entry = match line.strip_suffix(b"\n") {
            Some(line) => decode(line, loaded.version),
            None => Err("it has no end".to_owned()),
        };
        match (entry, &bad) {
            // Lines that do not verify are a torn end, unless one that does comes after them.
            (Ok(_), Some(bad)) => return Err(corrupt(bad.line, bad.why.clone())),
            (Err(why), None) => bad = Some(Bad { line: number, why, good }),
            (Err(_), Some(_)) => {}
            (Ok(body), None) => {
                take(loaded, body).map_err(|why| corrupt(number, why))?;
                good += line.len();
            }
        }
    }
    Ok(bad)
}

fn take(loaded: &mut Loaded, body: BodyIn) -> Result<(), String> {
    let expected = loaded.state.serial + u64::from(body.entry.counts());
    let starts = matches!(body.entry, Entry::Snapshot(_)) && loaded.entries == 0;
    if body.n != expected && !starts {
        return Err(format!("entry {expected} is missing: this is entry {}", body.n));
    }
    if body.epoch < loaded.epoch {
        return Err(format!("its writer of epoch {} was fenced by one of epoch {}", body.epoch, loaded.epoch));
    }
    loaded.state.take(body.n, body.at, body.entry)?;
    loaded.entries += 1;
    loaded.epoch = body.epoch;
    Ok(())
}

/// Whether a part is nothing but whole entries of numbered owners before the one with the number `epoch`.
pub(super) fn is_older(text: &[u8], epoch: u64) -> bool {
    let older = |line: &[u8]| {
        let body = line.strip_suffix(b"\n").and_then(|line| decode(line, VERSION).ok());
        body.is_some_and(|body| 0 < body.epoch && body.epoch < epoch)
    };
    !text.is_empty() && text.split_inclusive(|byte| *byte == b'\n').all(older)
}

/// Whether a part begins a journal.
pub(super) fn is_beginning(text: &[u8]) -> bool {
    let first = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    serde_json::from_slice::<Opening>(first).is_ok_and(|opening| opening.format == FORMAT)
}

/// The version that a header says.
fn check_header(path: &Path, line: &[u8], deployment: &Deployment) -> Result<u32, JournalError> {
    let corrupt = |why: &str| JournalError::Corrupt { path: path.to_owned(), line: 1, why: why.to_owned() };
    let no_header = || corrupt("it is no header");
    let line = line.strip_suffix(b"\n").ok_or_else(no_header)?;
    let opening: Opening = serde_json::from_slice(line)
        .ok()
        .filter(|opening: &Opening| opening.format == FORMAT && opening.version > 0)
        .ok_or_else(no_header)?;
    if opening.version > VERSION {
        let (found, forge) = (opening.version, opening.forge);
        return Err(JournalError::Version { path: path.to_owned(), found, forge });
    }
    if opening.version > 1 && !header_verifies(line) {
        return Err(corrupt("its checksum does not match"));
    }
    let header: HeaderIn = serde_json::from_slice(line).map_err(|_| no_header())?;
    if header.deployment != *deployment {
        let (found, expected) = (header.deployment, deployment.clone());
        return Err(JournalError::OtherDeployment { path: path.to_owned(), found, expected });
    }
    Ok(opening.version)
}

fn header_verifies(line: &[u8]) -> bool {
    let sum = |line: &[u8]| {
        let line = std::str::from_utf8(line).ok()?.strip_suffix("\"}")?;
        let (text, sum) = line.rsplit_once(HEADER_SUM)?;
        Some(format!("{:08x}", crc32(text.as_bytes())) == sum)
    };
    sum(line).unwrap_or(false)
}

/// CRC-32 as in IEEE 802.3. It finds tears and flipped bits; nothing here defends against an enemy with write access.
fn crc32(bytes: &[u8]) -> u32 {
    let byte = |crc: u32, byte: &u8| (crc >> 8) ^ CRC_TABLES[0][((crc ^ u32::from(*byte)) & 0xff) as usize];
    let mut crc = !0;
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        // Eight bytes at once: each table says what a byte does that has so many others behind it.
        let low = crc ^ u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        let [a, b, c, d] = low.to_le_bytes();
        let positions = [a, b, c, d, word[4], word[5], word[6], word[7]];
        crc = positions.iter().zip(CRC_TABLES.iter().rev()).fold(0, |crc, (at, table)| crc ^ table[usize::from(*at)]);
    }
    !rest.iter().fold(crc, byte)
}

static CRC_TABLES: [[u32; 256]; 8] = {
    let mut tables = [[0; 256]; 8];
    let mut index = 0;
    while index < 256 {
        #[allow(clippy::cast_possible_truncation, reason = "at most 255")]
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
            bit += 1;
        }
        tables[0][index] = crc;
        index += 1;
    }
    let mut behind = 1;
    while behind < 8 {
        let mut index = 0;
        while index < 256 {
            let before: u32 = tables[behind - 1][index];
            tables[behind][index] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            index += 1;
        }
        behind += 1;
    }
    tables
};

#[cfg(test)]
#[test]
fn crc32_of_the_check_string() {
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    assert_eq!(crc32(b"The quick brown fox jumps over the lazy dog"), 0x414f_a339);
}
