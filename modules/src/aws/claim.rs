//! Whose is it, when AWS says that a name is taken?
//!
//! Where a name is unique, the name and the tag `forge:operation` are as good as a client token: a creation that finds the
//! name taken by this same operation has found its own work. Everything else under that name is left alone.

use forge_engine::kind::{ErrorClass, KindError, Tags};

/// Goes on when what has the name was made by this very operation.
///
/// # Errors
/// When it is somebody else's: says whose.
pub(super) fn ours(what: &str, found: Option<&Tags>, wanted: &Tags) -> Result<(), KindError> {
    let Some(found) = found else {
        return Err(KindError::terminal(format!("{what} is there already, and forge has not made it"))
            .help("Give it another name, or delete what is there."));
    };
    if found == wanted {
        return Ok(());
    }
    if found.deployment != wanted.deployment {
        let whose = format!("{what} is there already and belongs to deployment `{}`", found.deployment);
        return Err(KindError::terminal(whose).help("Give it another name, or destroy the other deployment."));
    }
    let error = if found.address == wanted.address {
        format!("{what} is there already: an earlier operation ({}) has made it", found.operation)
    } else {
        format!("{what} is there already: it is `{}` of this deployment", found.address)
    };
    Err(KindError::terminal(error).help("Run `forge plan`: it finds it by its tags and says what becomes of it."))
}

/// What AWS says is there and does not show: not yet, or not any more.
pub(super) fn hidden(what: &str) -> KindError {
    KindError {
        class: ErrorClass::NotYetVisible,
        message: format!("AWS says that {what} is there already, and does not show it"),
        help: None,
        source: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use forge_engine::address::{Address, Deployment, OperationId};

    fn tags(deployment: &str, address: &str, operation: &str) -> Tags {
        Tags {
            deployment: Deployment(deployment.to_owned()),
            address: Address::new(address),
            operation: OperationId(operation.to_owned()),
        }
    }

    #[test]
    fn only_what_this_operation_has_made_is_its_own() {
        let wanted = tags("prod", "store.bucket", "1");
        let says = |found: Option<Tags>| ours("bucket x", found.as_ref(), &wanted).map_err(|error| error.message);
        assert_eq!(says(Some(wanted.clone())), Ok(()));
        for (found, message) in [
            (None, "bucket x is there already, and forge has not made it"),
            (Some(tags("test", "store.bucket", "1")), "bucket x is there already and belongs to deployment `test`"),
            (
                Some(tags("prod", "store.bucket", "0")),
                "bucket x is there already: an earlier operation (0) has made it",
            ),
            (Some(tags("prod", "old.bucket", "1")), "bucket x is there already: it is `old.bucket` of this deployment"),
        ] {
            assert_eq!(says(found), Err(message.to_owned()));
        }
    }
}
