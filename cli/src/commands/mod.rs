//! One command, one file. One more is a file here and a line in the list below.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;
use std::path::PathBuf;

/// What every command is given.
pub(crate) struct Setting {
    /// Where to print.
    pub(crate) ui: Ui,
    /// The directory that the command is about.
    pub(crate) directory: PathBuf,
}

macro_rules! commands {
    ($($(#[$doc:meta])* $variant:ident = $module:ident),* $(,)?) => {
        $(mod $module;)*

        /// The commands.
        #[derive(Debug, clap::Subcommand)]
        pub(crate) enum Command {
            $($(#[$doc])* $variant($module::Arguments)),*
        }

        impl Command {
            /// Does what the command line asks for.
            pub(crate) fn run(self, setting: &Setting) -> Result<Exit, Failure> {
                match self {
                    $(Self::$variant(arguments) => $module::run(arguments, setting)),*
                }
            }
        }
    };
}

commands! {
    /// Write a blueprint to begin with
    Init = init,
    /// Check a blueprint, touching nothing
    Validate = validate,
    /// Print a blueprint with everything worked out: inputs, defaults, repetition
    Expand = expand,
    /// Lay blueprints and modules out in the one way, comments kept
    Fmt = fmt,
    /// Describe the modules: what each takes, gives and makes
    Docs = docs,
    /// Print the JSON Schema of blueprints or of module.yaml, for editors
    Schema = schema,
    /// Draw what stands on what, for Graphviz or Mermaid
    Graph = graph,
    /// Show what `up` would do
    Plan = plan,
    /// Show what a blueprint costs, by resource, hour and month
    Cost = cost,
    /// Make the world as the blueprint says
    Up = up,
    /// Show what is up and how it is
    Status = status,
    /// Run a job and follow it; Ctrl-C detaches, the run goes on
    Train = train,
    /// List runs
    Runs = runs,
    /// Show the output of a run
    Logs = logs,
    /// Show what happened to a run
    Events = events,
    /// End a run
    Cancel = cancel,
    /// List, verify or export the checkpoints of a run
    Checkpoints = checkpoints,
    /// List the nodes and how they are
    Nodes = nodes,
    /// Bring about a failure, to see that training survives it
    Inject = inject,
    /// Look at what is recorded, and correct it
    State = state,
    /// Delete what `up` has made
    Destroy = destroy,
    /// Show who is at work on what is up here, and take a lease away from one that is dead
    Unlock = unlock,
    /// Print a script that completes commands in a shell
    Completions = completions,
}
