//! What the tests expand with: kinds that have the shapes of the real ones and do nothing, and the built-in modules.

#![allow(dead_code)]

use forge_blueprints::{Document, Expanded, Facts, ModuleSource, Override, Request, Sources, Target, expand};
use forge_engine::address::Deployment;
use forge_engine::diag::{Diagnostic, Locate};
use forge_engine::kind::{Effect, Kind, KindError, Kinds, Observed, OnIdentifier, Tags};
use forge_modules::instance_types::InstanceType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) mod fuzzing;
#[path = "../../../cli/src/render.rs"]
pub(crate) mod render;

macro_rules! kind {
    ($kind:ident, $spec:ident, $name:literal, $outputs:expr, { $($field:ident: $type:ty),* }) => {
        #[derive(Debug, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $spec { $(pub(crate) $field: $type),* }

        pub(crate) struct $kind;

        impl Kind for $kind {
            type Spec = $spec;
            const NAME: &'static str = $name;
            const OUTPUTS: &'static [&'static str] = $outputs;

            fn effect(&self, _: &str, _: &$spec, _: &$spec) -> Effect {
                Effect::InPlace
            }

            async fn read(&self, _: &str) -> Result<Option<Observed>, KindError> {
                Ok(None)
            }

            async fn create(&self, _: &$spec, _: &Tags, _: OnIdentifier<'_>) -> Result<Observed, KindError> {
                Err(KindError::terminal("not in tests"))
            }

            async fn update(&self, _: &str, _: Option<&$spec>, _: &$spec, _: &Tags) -> Result<Observed, KindError> {
                Err(KindError::terminal("not in tests"))
            }

            async fn delete(&self, _: &str) -> Result<(), KindError> {
                Ok(())
            }

            async fn list(&self, _: &Deployment) -> Result<Vec<Observed>, KindError> {
                Ok(Vec::new())
            }
        }
    };
}

kind!(Bucket, BucketSpec, "local.bucket", &["id", "url", "path"], {});
kind!(Directory, DirectorySpec, "local.directory", &["path"], { capacity_gib: u64 });
kind!(Fleet, FleetSpec, "local.fleet", &["id", "nodes", "status"], {
    nodes: u32, spares: u32, workers_per_node: u32, bucket: String, scratch: Option<String>
});

kind!(LocalItem, LocalItemSpec, "local.item", &["id", "url"], {
    name: Option<String>, value: Option<Json>, size_gib: Option<u32>, tags: Option<BTreeMap<String, String>>
});
kind!(AwsItem, AwsItemSpec, "aws.item", &["id", "url"], {
    name: Option<String>, value: Option<Json>, size_gib: Option<u32>, tags: Option<BTreeMap<String, String>>
});

pub(crate) fn kinds(target: Target) -> Kinds {
    match target {
        Target::Local => Kinds::default().with(Bucket).with(Directory).with(Fleet).with(LocalItem),
        Target::Aws => Kinds::default().with(AwsItem),
        Target::Hosts => Kinds::default(),
    }
}

macro_rules! module {
    ($name:literal) => {
        ModuleSource {
            name: $name,
            document: concat!("modules/", $name, "/module.yaml"),
            text: include_str!(concat!("../../../modules/", $name, "/module.yaml")),
        }
    };
}

/// What the catalogue knows, and agents for two architectures.
#[derive(Debug)]
struct Known;

impl Facts for Known {
    fn instance_type(&self, name: &str) -> Option<Json> {
        InstanceType::find(name).map(|known| known.facts())
    }

    fn agent_digest(&self, architecture: &str) -> Option<String> {
        let digit = ["x86_64", "arm64"].iter().position(|known| *known == architecture)?;
        Some(digit.to_string().repeat(64))
    }
}

pub(crate) fn facts() -> Arc<dyn Facts> {
    Arc::new(Known)
}

/// The modules that forge ships.
pub(crate) const MODULES: [ModuleSource<'static>; 11] = [
    module!("capacity-block"),
    module!("cpu-nodes"),
    module!("eks"),
    module!("fsx-lustre"),
    module!("gpu-nodes"),
    module!("node-pool"),
    module!("placement"),
    module!("s3"),
    module!("startup"),
    module!("trainium-nodes"),
    module!("vpc"),
];

/// The example of the language's documentation.
pub(crate) const EXAMPLE: &str = include_str!("../example.yaml");

pub(crate) struct Outcome {
    pub(crate) sources: Sources,
    pub(crate) expanded: Option<Expanded>,
    pub(crate) findings: Vec<Diagnostic>,
}

impl Outcome {
    /// What `forge expand` prints.
    pub(crate) fn resolved(&self) -> String {
        let text = |expanded| forge_blueprints::resolved::yaml(expanded, &self.sources, false);
        self.expanded.as_ref().map(text).unwrap_or_default()
    }

    /// The findings as users see them.
    pub(crate) fn text(&self) -> String {
        render::render(&self.findings, &self.sources, false)
    }
}

/// A blueprint's outcome on this machine with files beside it.
pub(crate) fn with_files(text: &str, files: &[(&str, &str)]) -> Outcome {
    let read = |path: &str| {
        let found = files.iter().find(|(name, _)| *name == path).map(|(_, text)| text.as_bytes().to_vec());
        found.ok_or_else(|| format!("there is no file {path}"))
    };
    outcome_of(&Request {
        name: "blueprint.yaml",
        bytes: text.as_bytes(),
        environment: &[],
        var_files: &[],
        overrides: &[],
        target: Some("local"),
        modules: &MODULES,
        files: &read,
        kinds: &|target, _| kinds(target),
        facts: &facts(),
    })
}

pub(crate) fn outcome_of(request: &Request<'_>) -> Outcome {
    let (sources, expanded, findings) = expand(request);
    Outcome { sources, expanded, findings }
}

pub(crate) fn outcome(
    bytes: &[u8],
    overrides: &[Override<'_>],
    target: Option<&str>,
    extra: &[ModuleSource<'_>],
) -> Outcome {
    let modules: Vec<ModuleSource<'_>> = MODULES.iter().chain(extra).copied().collect();
    let request = Request {
        name: "blueprint.yaml",
        bytes,
        environment: &[],
        var_files: &[],
        overrides,
        target,
        modules: &modules,
        files: &|path| Err(format!("there is no file {path}")),
        kinds: &|target, _| kinds(target),
        facts: &facts(),
    };
    outcome_of(&request)
}

/// A blueprint's outcome on this machine.
pub(crate) fn local(text: &str) -> Outcome {
    outcome(text.as_bytes(), &[], Some("local"), &[])
}

/// A blueprint's outcome with documents beside it: files of modules by their path, and files of values. A value set by an
/// origin other than `--var` comes from the environment.
pub(crate) fn outcome_beside(
    bytes: &[u8],
    set: &[(&str, &str, &str)],
    target: Option<&str>,
    files: &[(&str, &[u8])],
    values: &[(&str, &[u8])],
) -> Outcome {
    outcome_among(&kinds, bytes, set, target, files, values)
}

/// The same with kinds of the caller's.
pub(crate) fn outcome_among(
    kinds: &dyn Fn(Target) -> Kinds,
    bytes: &[u8],
    set: &[(&str, &str, &str)],
    target: Option<&str>,
    files: &[(&str, &[u8])],
    values: &[(&str, &[u8])],
) -> Outcome {
    let of = |command_line: bool| -> Vec<Override<'_>> {
        let set = set.iter().filter(|(_, _, origin)| (*origin == "--var") == command_line);
        set.map(|(name, text, origin)| Override { name, text, origin, remembered: false }).collect()
    };
    let var_files: Vec<Document<'_>> = values.iter().map(|(name, bytes)| Document { name, bytes }).collect();
    let read = |path: &str| {
        let found = files.iter().find(|(name, _)| *name == path).map(|(_, bytes)| bytes.to_vec());
        found.ok_or_else(|| format!("there is no file {path}"))
    };
    outcome_of(&Request {
        name: "blueprint.yaml",
        bytes,
        environment: &of(false),
        var_files: &var_files,
        overrides: &of(true),
        target,
        modules: &MODULES,
        files: &read,
        kinds: &|target, _| kinds(target),
        facts: &facts(),
    })
}

/// `file:line:column` of what a finding points at, lines and columns from 1, columns in characters.
pub(crate) fn place(finding: &Diagnostic, locate: &dyn Locate) -> Option<String> {
    let located = locate.locate(&finding.primary.as_ref()?.at)?;
    let before = &located.text[..located.range.start];
    let line = before.rfind('\n').map_or(0, |newline| newline + 1);
    Some(format!("{}:{}:{}", located.name, before.matches('\n').count() + 1, before[line..].chars().count() + 1))
}
