use super::Setting;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::project::modules;
use forge_blueprints::schema;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Of which file
    #[arg(value_enum, default_value_t = Document::Blueprint)]
    document: Document,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Document {
    /// A blueprint, with all modules that forge ships
    Blueprint,
    /// module.yaml
    Module,
}

pub(crate) fn run(arguments: Arguments, setting: &Setting) -> Result<Exit, Failure> {
    let schema = match arguments.document {
        Document::Blueprint => schema::blueprint(&modules()),
        Document::Module => schema::module(&modules()),
    };
    if setting.ui.json {
        setting.ui.document(&schema);
    } else {
        setting.ui.data(serde_json::to_string_pretty(&schema)?);
    }
    Ok(Exit::Done)
}
