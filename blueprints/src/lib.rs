//! The blueprint language: one YAML file in, every resource and job it asks for out.
//!
//! [`expand`] is pure. It reads bytes that the caller has read, knows of no file, environment or clock, and prints
//! nothing. What is wrong comes back as [`forge_engine::diag::Diagnostic`]s, all of it at once, and [`Sources`] turns
//! their places into text.
//!
//! How it works, in the order of the pipeline: `yaml` (bytes to nodes that know where they stand) · `blueprint`, `module`
//! (shapes) · `vars` and `rule` (types and ranges) · `scan`, `expr`, `unknown` (expressions, and values that only apply
//! will know) · `order` and `check/` (graph, cycles, inputs, specifications) · `instance` (one use of a module) · `job` ·
//! `expand` (all of it). Beside it: `format` (one layout for the text), `shipped` (blueprints to begin with).

mod blueprint;
mod check;
mod expand;
mod expr;
pub mod format;
mod instance;
mod job;
mod language;
mod module;
mod order;
mod rule;
mod scan;
pub mod schema;
mod shape;
pub mod shipped;
mod sources;
mod suggest;
mod target;
mod unknown;
mod vars;
pub mod yaml;

pub use expand::{Expanded, Override, Request, expand};
pub use job::{Checkpoint, Job, Keep, Restarts};
pub use module::ModuleSource;
pub use sources::Sources;
pub use target::Target;
