//! Why a command could not do its work: what, why, and what to do.

use crate::exit::Exit;
use forge_blueprints::Sources;
use forge_engine::apply::chain;
use forge_engine::diag::Diagnostic;
use std::error::Error;

/// A command's failure, to be shown by the one who prints.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// What went wrong, and the causes, outermost first.
    pub(crate) chain: Vec<String>,
    /// What to do.
    pub(crate) help: Option<String>,
    /// Findings in documents, shown with their excerpts.
    pub(crate) findings: Option<Box<(Sources, Vec<Diagnostic>)>>,
}

impl Failure {
    /// Something that the user can fix.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { exit: Exit::Fixable, chain: vec![what.into()], help: None, findings: None }
    }

    /// A command line that cannot be carried out.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, ..Self::new(what) }
    }

    /// Findings of a check.
    pub(crate) fn findings(sources: Sources, findings: Vec<Diagnostic>) -> Self {
        Self { exit: Exit::Fixable, chain: Vec::new(), help: None, findings: Some(Box::new((sources, findings))) }
    }

    /// With its cause.
    pub(crate) fn because(mut self, error: &dyn Error) -> Self {
        self.chain.extend(chain(error));
        self
    }

    /// With what to do.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// With another exit code.
    pub(crate) fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }
}

/// Errors of the libraries say what failed; they need no words of ours.
impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { exit: Exit::Fixable, chain: chain(&error), help: None, findings: None }
    }
}
