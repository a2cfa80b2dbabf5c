#![no_main]

#[path = "../../blueprints/tests/setup/mod.rs"]
mod setup;

use forge_blueprints::Target;
use forge_engine::kind::Kinds;

fn kinds(target: Target) -> Kinds {
    match target {
        Target::Aws => forge_modules::aws::kinds().with(setup::AwsItem),
        Target::Hosts => forge_modules::host::kinds(),
        Target::Local => setup::kinds(target),
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| setup::fuzzing::yaml(&kinds, bytes));
