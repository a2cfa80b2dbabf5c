use super::*;

fn store() -> (tempfile::TempDir, Directory) {
    let parent = tempfile::tempdir().unwrap();
    let store = Directory::new(&parent.path().join("bucket"));
    (parent, store)
}

#[test]
fn of_many_that_create_one_wins() {
    let (_parent, store) = store();
    let wins: usize = std::thread::scope(|scope| {
        let store = &store;
        let attempt = |n: u8| scope.spawn(move || store.put_now("a/b", &[n], &Condition::Absent).is_ok());
        let attempts: Vec<_> = (0..12).map(attempt).collect();
        attempts.into_iter().map(|attempt| usize::from(attempt.join().unwrap())).sum()
    });
    assert_eq!(wins, 1);
    assert_eq!(store.list_now("").unwrap(), ["a/b"]);
}

#[test]
fn no_increment_is_lost() {
    let (_parent, store) = store();
    store.put_now("n", b"0", &Condition::Absent).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..25 {
                    loop {
                        let object = store.get_now("n").unwrap().unwrap();
                        let n: u64 = String::from_utf8(object.bytes).unwrap().parse().unwrap();
                        let next = (n + 1).to_string().into_bytes();
                        match store.put_now("n", &next, &Condition::Matches(object.etag)) {
                            Ok(_) => break,
                            Err(BucketError::Conflict { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            });
        }
    });
    assert_eq!(store.get_now("n").unwrap().unwrap().bytes, b"100");
}

#[test]
fn conditions_hold_for_writes_and_deletions() {
    let (_parent, store) = store();
    let stale = Condition::Matches(ETag("x".to_owned()));
    let conflict = |outcome: Result<(), BucketError>| matches!(outcome, Err(BucketError::Conflict { .. }));
    assert!(conflict(store.put_now("n", b"", &stale).map(drop)));
    let etag = store.put_now("n", b"1", &Condition::Any).unwrap();
    assert!(conflict(store.put_now("n", b"", &Condition::Absent).map(drop)));
    assert!(conflict(store.delete_now("n", &stale)));
    store.delete_now("n", &Condition::Matches(etag.clone())).unwrap();
    store.delete_now("n", &Condition::Matches(etag)).unwrap();
    assert_eq!(store.get_now("n").unwrap(), None);
}

#[test]
fn with_its_last_object_everything_of_it_goes_and_nothing_else() {
    let (parent, store) = store();
    let other = Directory::new(&parent.path().join("other"));
    for key in ["journal/1", "journal/2", "lock"] {
        store.put_now(key, b"x", &Condition::Absent).unwrap();
    }
    other.put_now("lock", b"x", &Condition::Any).unwrap();
    assert_eq!(store.list_now("journal/").unwrap(), ["journal/1", "journal/2"]);
    // Left by a writer that was killed.
    fs::write(store.private().unwrap().join("new-1-0"), "half").unwrap();
    for key in ["journal/1", "lock", "journal/2"] {
        store.delete_now(key, &Condition::Any).unwrap();
    }
    let left: Vec<_> = fs::read_dir(parent.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["other"]);
    assert_eq!(store.list_now("").unwrap(), [""; 0]);
}

#[test]
fn writing_and_clearing_away_at_once_loses_nothing() {
    let (parent, store) = store();
    std::thread::scope(|scope| {
        for n in 0..4 {
            let store = &store;
            scope.spawn(move || {
                let key = format!("k{n}");
                for round in 0..50_u8 {
                    let condition = if round % 2 == 0 { Condition::Absent } else { Condition::Any };
                    store.put_now(&key, &[round], &condition).unwrap();
                    assert_eq!(store.get_now(&key).unwrap().unwrap().bytes, [round]);
                    store.delete_now(&key, &Condition::Any).unwrap();
                }
            });
        }
    });
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
}

#[test]
fn a_directory_that_is_not_mounted_is_no_empty_bucket() {
    let (parent, store) = store();
    drop(parent);
    assert!(matches!(store.get_now("a"), Err(BucketError::Failed { .. })));
    assert!(matches!(store.list_now(""), Err(BucketError::Failed { .. })));
    assert!(matches!(store.put_now("a", b"", &Condition::Absent), Err(BucketError::Failed { .. })));
}

#[test]
fn keys_that_leave_the_bucket_are_refused() {
    let (_parent, store) = store();
    for key in ["", "/etc/passwd", "../x", "a/../b", "a//b", "./a", ".forge/lock", "a\nb"] {
        let refused = store.put_now(key, b"", &Condition::Any);
        assert!(matches!(refused, Err(BucketError::BadKey { .. })), "{key:?}");
    }
}
