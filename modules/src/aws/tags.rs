//! Tags of AWS resources: forge's own three, and the user's.
//!
//! Services differ in which characters a tag's value may have; letters, digits, space and `+ - = . _ : / @` work in all of
//! them ("Tag your Amazon EC2 resources"). An address such as `network.private[0]` has others: the number in brackets is
//! written `:0`, and any other character `=` and its code in hexadecimal.

use super::Tags as Own;
use forge_engine::address::{Address, Deployment, OperationId};
use forge_engine::kind::{ErrorClass, KindError, Observed, Tags};
use std::collections::BTreeMap;

pub(super) const DEPLOYMENT: &str = "forge:deployment";
pub(super) const ADDRESS: &str = "forge:address";
pub(super) const OPERATION: &str = "forge:operation";

/// Tags with these beginnings are AWS's own or those of controllers in the cluster; nobody asked for them here. Others of
/// Kubernetes are asked for: `kubernetes.io/role/elb` says of a subnet that load balancers may stand in it.
const FOREIGN: &[&str] = &["aws:", "eks:", "forge:", "kubernetes.io/cluster/", "k8s.io/"];

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

/// True of what carries the deployment's tag.
pub(super) fn is_of(observed: &Observed, deployment: &Deployment) -> bool {
    observed.tags.as_ref().is_some_and(|tags| tags.deployment == *deployment)
}

/// Whether what has a name already is what this very creation has made before.
///
/// # Errors
/// When it is somebody else's, or another creation's. `what` names it: `security group nodes`.
pub(super) fn same_creation(what: &str, found: Option<&Tags>, tags: &Tags) -> Result<(), KindError> {
    let Some(found) = found.filter(|found| found.deployment == tags.deployment) else {
        let message = format!("{what} exists already, and is not forge's");
        return Err(
            KindError::terminal(message).help("Rename one of them, or delete the other one if nobody needs it.")
        );
    };
    if found == tags {
        return Ok(());
    }
    let message = format!("{what} exists already: this deployment has made it as {}", found.address.as_str());
    Err(KindError::terminal(message).help("Run `forge plan`: it shows what is to become of that one."))
}

/// What has a name that was refused as taken, and does not show: it has just been made, or has just gone.
pub(super) fn hidden_namesake(what: &str) -> KindError {
    let message = format!("{what} exists already, and AWS does not show it yet");
    KindError { class: ErrorClass::NotYetVisible, message, help: None, source: None }
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
    fn a_taken_name_is_ours_only_when_the_same_creation_has_taken_it() {
        let tags = |deployment: &str, address: &str, operation: &str| Tags {
            deployment: Deployment(deployment.to_owned()),
            address: Address::new(address),
            operation: OperationId(operation.to_owned()),
        };
        let (own, what) = (tags("d", "a.b", "1"), "security group x");
        assert!(same_creation(what, Some(&own), &own).is_ok());
        for (found, message) in [
            (None, "security group x exists already, and is not forge's"),
            (Some(tags("e", "a.b", "1")), "security group x exists already, and is not forge's"),
            (Some(tags("d", "a.b", "2")), "security group x exists already: this deployment has made it as a.b"),
            (Some(tags("d", "a.c", "1")), "security group x exists already: this deployment has made it as a.c"),
        ] {
            assert_eq!(same_creation(what, found.as_ref(), &own).unwrap_err().message, message);
        }
    }

    #[test]
    fn what_others_have_put_there_is_left_alone() {
        let map = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>()
        };
        let have = map(&[
            ("aws:cloudformation:x", "1"),
            ("kubernetes.io/cluster/train", "owned"),
            ("Name", "old"),
            ("kubernetes.io/role/elb", "1"),
            ("forge:address", "x"),
        ]);
        let (set, gone) = changes(&have, &map(&[("Name", "new"), ("forge:address", "y")]));
        assert_eq!(set, map(&[("Name", "new"), ("forge:address", "y")]));
        assert_eq!(gone, ["kubernetes.io/role/elb"]);
        assert_eq!(split(have).1, map(&[("Name", "old"), ("kubernetes.io/role/elb", "1")]));
    }
}
