//! What a blueprint can ask for: modules in YAML, and the kinds behind them in Rust.
//!
//! A module is a directory with a `module.yaml`; those here are embedded in the binary ([`MODULES`]). Kinds are grouped by
//! target, one file each: one more kind is a file and a line in its target's `kinds`.

pub mod agent_binary;
#[cfg(feature = "aws")]
pub mod aws;
pub mod host;
pub mod instance_types;
pub mod local;
pub mod planned;
pub mod preflight;

/// A module that is embedded in the binary.
#[derive(Debug, Clone, Copy)]
pub struct Embedded {
    /// What `use:` says.
    pub name: &'static str,
    /// The name of its document in findings.
    pub document: &'static str,
    /// Its `module.yaml`.
    pub text: &'static str,
}

macro_rules! modules {
    ($($name:literal),* $(,)?) => {
        /// The modules that forge ships.
        pub const MODULES: &[Embedded] =
            &[$(Embedded { name: $name, document: concat!("modules/", $name, "/module.yaml"), text: include_str!(concat!("../", $name, "/module.yaml")) }),*];
    };
}

modules![
    "capacity-block",
    "cpu-nodes",
    "eks",
    "fsx-lustre",
    "gpu-nodes",
    "node-pool",
    "placement",
    "s3",
    "startup",
    "trainium-nodes",
    "vpc",
];
