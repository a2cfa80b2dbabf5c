//! Tags of AWS resources: forge's own three, and the user's.
//!
//! Services differ in which characters a tag's value may have; letters, digits, space and `+ - = . _ : / @` work in all of
//! them ("Tag your Amazon EC2 resources"). An address such as `network.private[0]` has others: the number in brackets is
//! written `:0`, and any other character `=` and its code in hexadecimal.

use super::Tags as Own;
use forge_engine::address::{Address, Deployment, OperationId};
use forge_engine::kind::{KindError, Tags};
use std::collections::BTreeMap;

pub(super) const DEPLOYMENT: &str = "forge:deployment";
pub(super) const ADDRESS: &str = "forge:address";
pub(super) const OPERATION: &str = "forge:operation";

/// Tags with these beginnings are AWS's own or those of controllers in the cluster; nobody asked for them here.
const FOREIGN: &[&str] = &["aws:", "eks:", "forge:", "kubernetes.io/", "k8s.io/"];

fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, ' ' | '+' | '-' | '.' | '_' | '/' | '@')
}

/// A value that every service takes.
pub(super) fn written(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let number = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(number, _)| number);
        match number {
            Some(number) if !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()) => {
                written.push(':');
                written.push_str(number);
                rest = &rest[number.len() + 2..];
            }
            _ => {
                if is_plain(c) {
                    written.push(c);
                } else {
                    c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| written.push_str(&format!("={byte:02X}")));
                }
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    written
}

/// What was written; none when nobody has written it so.
pub(super) fn read(text: &str) -> Option<String> {
    let mut read = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        match first {
            b':' => {
                let digits = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
                if digits == 0 {
                    return None;
                }
                read.push(b'[');
                read.extend_from_slice(&after[..digits]);
                read.push(b']');
                rest = &after[digits..];
            }
            b'=' => {
                let code = std::str::from_utf8(after.get(..2)?).ok()?;
                read.push(u8::from_str_radix(code, 16).ok()?);
                rest = &after[2..];
            }
            _ => {
                read.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8(read).ok()
}

/// The tags that a resource is to have: forge's, and those that its specification asks for.
pub(super) fn all(tags: &Tags, own: &Own) -> BTreeMap<String, String> {
    let mut all = own.clone();
    all.insert(DEPLOYMENT.to_owned(), tags.deployment.0.clone());
    all.insert(ADDRESS.to_owned(), written(tags.address.as_str()));
    all.insert(OPERATION.to_owned(), tags.operation.0.clone());
    all
}

/// What a resource's tags say: whose it is, and what its specification asks for besides.
pub(super) fn split(tags: impl IntoIterator<Item = (String, String)>) -> (Option<Tags>, Own) {
    let mut tags: BTreeMap<String, String> = tags.into_iter().collect();
    let mut take = |key: &str| tags.remove(key);
    let ours = (take(DEPLOYMENT), take(ADDRESS).and_then(|text| read(&text)), take(OPERATION));
    tags.retain(|key, _| !FOREIGN.iter().any(|prefix| key.starts_with(prefix)));
    let ours = match ours {
        (Some(deployment), Some(address), Some(operation)) => Some(Tags {
            deployment: Deployment(deployment),
            address: Address::new(address),
            operation: OperationId(operation),
        }),
        _ => None,
    };
    (ours, tags)
}

/// What has to be set and what has to be taken away to get from one set of tags to another; foreign ones are left alone.
pub(super) fn changes(
    have: &BTreeMap<String, String>,
    want: &BTreeMap<String, String>,
) -> (BTreeMap<String, String>, Vec<String>) {
    let set = want.iter().filter(|(key, value)| have.get(*key) != Some(value));
    let gone =
        have.keys().filter(|key| !want.contains_key(*key) && !FOREIGN.iter().any(|prefix| key.starts_with(prefix)));
    (set.map(|(key, value)| (key.clone(), value.clone())).collect(), gone.cloned().collect())
}

/// Makes sure that something whose name was taken already is what this very operation has made: it is being repeated.
/// `what` names it to the user; `found` are the tags that it carries.
///
/// # Errors
/// When somebody else has made it, or another operation has.
pub(super) fn claim(what: &str, found: Option<&Tags>, tags: &Tags) -> Result<(), KindError> {
    let Some(found) = found.filter(|found| found.deployment == tags.deployment) else {
        return Err(KindError::terminal(format!("{what} is there already, and is not this deployment's"))
            .help("Delete it if nobody needs it, or choose another name: names begin with the deployment's."));
    };
    if found == tags {
        return Ok(());
    }
    let of = if found.address == tags.address {
        "by another run of forge".to_owned()
    } else {
        format!("for {}", found.address)
    };
    Err(KindError::terminal(format!("{what} is there already: this deployment has made it, {of}"))
        .help("Run the same command again: it is found by its tags, and the plan says what becomes of it."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_so_that_every_service_takes_them_and_read_back() {
        for (address, tag) in [
            ("network.private[0]", "network.private:0"),
            ("store[\"eu west\"].bucket", "store=5B=22eu west=22=5D.bucket"),
            ("a=b:c", "a=3Db=3Ac"),
            ("späße[]", "späße=5B=5D"),
        ] {
            assert_eq!(written(address), tag);
            assert_eq!(read(tag).as_deref(), Some(address));
        }
        for nobodys in [":", "=", "=Z1", "=4", "a:b", "=FF"] {
            assert_eq!(read(nobodys), None, "{nobodys}");
        }
    }

    #[test]
    fn a_name_that_is_taken_is_ours_only_if_this_operation_took_it() {
        let tags = |deployment: &str, address: &str, operation: &str| Tags {
            deployment: Deployment(deployment.to_owned()),
            address: Address::new(address),
            operation: OperationId(operation.to_owned()),
        };
        let ours = tags("dep", "pool.role", "op1");
        let said = |found: Option<&Tags>| claim("the IAM role x", found, &ours).map_err(|error| error.message);
        assert_eq!(said(Some(&ours)), Ok(()));
        let foreign = "the IAM role x is there already, and is not this deployment's";
        assert_eq!(said(None).unwrap_err(), foreign);
        assert_eq!(said(Some(&tags("other", "pool.role", "op1"))).unwrap_err(), foreign);
        assert_eq!(
            said(Some(&tags("dep", "pool.role", "op2"))).unwrap_err(),
            "the IAM role x is there already: this deployment has made it, by another run of forge"
        );
        assert_eq!(
            said(Some(&tags("dep", "other.role", "op2"))).unwrap_err(),
            "the IAM role x is there already: this deployment has made it, for other.role"
        );
    }

    #[test]
    fn what_others_have_put_there_is_left_alone() {
        let map = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>()
        };
        let have = map(&[("aws:cloudformation:x", "1"), ("Name", "old"), ("team", "a"), ("forge:address", "x")]);
        let (set, gone) = changes(&have, &map(&[("Name", "new"), ("forge:address", "y")]));
        assert_eq!(set, map(&[("Name", "new"), ("forge:address", "y")]));
        assert_eq!(gone, ["team"]);
        assert_eq!(split(have).1, map(&[("Name", "old"), ("team", "a")]));
    }
}
