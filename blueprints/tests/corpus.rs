//! The inputs that fuzzing has kept (`fuzz/corpus`), replayed.

mod setup;

use std::path::Path;

fn replay(target: &str, run: impl Fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut count = 0;
    for entry in std::fs::read_dir(&directory).expect("the corpus is there") {
        let path = entry.expect("the directory can be read").path();
        // Shown when it fails.
        println!("{}", path.display());
        run(&std::fs::read(&path).expect("the file can be read"));
        count += 1;
    }
    assert!(count > 50, "{count} files in {}", directory.display());
}

#[test]
fn blueprints() {
    replay("yaml", setup::fuzzing::yaml);
}

#[test]
fn expressions() {
    replay("expression", setup::fuzzing::expression);
}
