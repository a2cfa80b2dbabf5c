//! The blueprint language: one YAML file in, every resource and job it asks for out.
//!
//! [`expand`] is pure. It reads bytes that the caller has read, knows of no file, environment or clock, and prints
//! nothing. What is wrong comes back as [`forge_engine::diag::Diagnostic`]s, all of it at once, and [`Sources`] turns
//! their places into text.
//!
//! How it works, in the order of the pipeline: `yaml` (bytes to nodes that know where they stand) · `library` (the modules
//! that are used) · `blueprint`, `uses`, `module` (shapes) · `vars` and `rule` (types and ranges) · `scan`, `mentions`, `expr`,
//! `filters`, `facts`, `unknown` (expressions, and values that only apply will know) · `order` and `check/` (graph, cycles, inputs,
//! specifications, what nobody uses) · `body` (what a blueprint or a module declares) · `job` · `expand` (all of it).
//!
//! Beside the pipeline: `format` (one layout for the text), `language`, `schema` and `reference` (what there is to write, for editors and readers),
//! `shipped` (blueprints to begin with).

mod blueprint;
mod body;
mod check;
mod emit;
mod expand;
mod expr;
mod facts;
mod filters;
pub mod format;
mod job;
mod language;
mod library;
mod mentions;
mod module;
mod moved;
mod order;
pub mod reference;
pub mod resolved;
mod rule;
mod scan;
pub mod schema;
mod scope;
mod shape;
pub mod shipped;
mod sources;
mod suggest;
mod target;
mod unknown;
mod uses;
mod vars;
pub mod yaml;

pub use expand::{Document, Expanded, Override, Request, Variable, expand, expand_after};
pub use facts::Facts;
pub use job::{Checkpoint, Job, Keep, Restarts};
pub use module::ModuleSource;
pub use moved::is_address;
pub use sources::Sources;
pub use suggest::help as did_you_mean;
pub use target::Target;
