//! The inputs that fuzzing has kept (`fuzz/corpus`), replayed.

mod setup;

use forge_blueprints::Target;
use forge_engine::kind::Kinds;
use forge_modules::{aws, host};
use std::path::Path;

fn kinds(target: Target) -> Kinds {
    match target {
        Target::Aws => aws::kinds().with(setup::AwsItem),
        Target::Hosts => host::kinds(),
        Target::Local => setup::kinds(target),
    }
}

#[allow(clippy::print_stdout, reason = "which input fails")]
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
    replay("yaml", |bytes| setup::fuzzing::yaml(&kinds, bytes));
}

#[test]
fn expressions() {
    replay("expression", setup::fuzzing::expression);
}
