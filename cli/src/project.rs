//! Which blueprint, and where its deployment's files are.
//!
//! Everything that forge writes for a blueprint lies in `.forge/` beside it. `.forge/current.json` says what was put up
//! last, so that `forge train` and `forge destroy` need no argument in that directory.

use crate::facts::Known;
use crate::failure::Failure;
use crate::file;
use crate::home::Home;
use crate::targets::{self, Account};
use crate::ui::Ui;
use forge_blueprints::{Document, Expanded, Facts, ModuleSource, Override, Request, Sources, Target, expand_after};
use forge_engine::address::Deployment;
use forge_engine::diag::{Diagnostic, has_errors};
use forge_engine::kind::Kinds;
use forge_engine::value::Value;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The directory beside a blueprint that holds all that forge writes.
pub(crate) const OWN: &str = ".forge";
/// The blueprint that is meant when none is named.
pub(crate) const DEFAULT_BLUEPRINT: &str = "blueprint.yaml";
/// Ends the names of files that are not whole yet.
const DRAFT: &str = "new";
/// What to do without a blueprint.
const BEGIN: &str = "`forge init` writes a blueprint to begin with.";
const VARIABLE_PREFIX: &str = "FORGE_VAR_";

/// What was put up last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Current {
    /// Version of this document.
    pub(crate) v: u32,
    /// File name of the blueprint.
    pub(crate) blueprint: String,
    /// Name of the deployment.
    pub(crate) deployment: String,
    /// Where it runs.
    pub(crate) target: String,
    /// Which part of the target's world it is in.
    #[serde(default, skip_serializing_if = "Account::is_default")]
    pub(crate) account: Account,
    /// Variables that the command line set.
    pub(crate) vars: BTreeMap<String, String>,
    /// Variables that the environment set, but for sensitive ones.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) environment: BTreeMap<String, String>,
    /// Files that set variables, weakest first; relative ones are relative to the blueprint's directory.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) var_files: Vec<PathBuf>,
    /// How often modules found no capacity for what they wanted, by address; what they want now follows from it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) attempts: BTreeMap<String, u32>,
    /// Address of the bucket that holds the state; none when it lies here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<String>,
    /// Address of the bucket, once there is one.
    pub(crate) bucket: Option<String>,
}

/// Arguments that say which blueprint is meant and change it.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct BlueprintArgs {
    /// The blueprint [default: the one that is up here, else blueprint.yaml]
    pub(crate) blueprint: Option<PathBuf>,
    /// Run it on another target: aws, hosts or local
    #[arg(long)]
    pub(crate) target: Option<String>,
    #[command(flatten)]
    pub(crate) variables: VariableArgs,
}

/// Arguments that set variables.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct VariableArgs {
    /// Set a variable
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = parse_variable)]
    vars: Vec<(String, String)>,
    /// Set variables from a YAML or JSON file of names and values; of several the last wins, and --var wins over all
    #[arg(long = "var-file", value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// The files that set variables: those that are given, else those that did when the deployment was put up.
fn var_files(
    directory: &Path,
    home: &Path,
    remembered: Vec<PathBuf>,
    given: &[PathBuf],
) -> Result<Vec<VarFile>, Failure> {
    if given.is_empty() {
        let file = |path: PathBuf| VarFile { shown: path.clone(), path, remembered: true };
        return Ok(remembered.into_iter().map(file).collect());
    }
    let file = |shown: &PathBuf| {
        let full = directory.join(shown).canonicalize().map_err(|error| file::unreadable(shown, &error))?;
        let path = full.strip_prefix(home).map_or_else(|_| full.clone(), Path::to_owned);
        Ok(VarFile { path, shown: shown.clone(), remembered: false })
    };
    given.iter().map(file).collect()
}

fn parse_variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("a variable is set as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// A blueprint and how it is to be read.
#[derive(Debug, Clone)]
pub(crate) struct Project {
    /// Where the blueprint lies, and with it everything of forge.
    pub(crate) directory: PathBuf,
    /// The blueprint as the user named it, for findings.
    shown: PathBuf,
    file: String,
    target: Option<String>,
    /// What the command line sets, and what it set when this was put up.
    vars: BTreeMap<String, String>,
    remembered: BTreeMap<String, String>,
    /// What the environment set when this was put up; weaker than what it sets now.
    environment: BTreeMap<String, String>,
    var_files: Vec<VarFile>,
    /// How often modules have found no capacity, by address.
    attempts: BTreeMap<String, u32>,
}

/// A file that sets variables.
#[derive(Debug, Clone)]
struct VarFile {
    /// Where it is: relative to the blueprint's directory when it lies in it, so that the two can be moved together.
    path: PathBuf,
    /// As the user named it, for findings.
    shown: PathBuf,
    /// It was given when the deployment was put up, not now.
    remembered: bool,
}

/// How the agent's command line is reached from this program.
pub(crate) fn agent_program() -> Vec<OsString> {
    let path = std::env::current_exe().ok().filter(|path| path.exists());
    vec![path.unwrap_or_else(|| PathBuf::from("/proc/self/exe")).into(), "agent".into()]
}

impl Current {
    fn path(directory: &Path) -> PathBuf {
        directory.join(OWN).join("current.json")
    }

    /// What is up in a directory.
    pub(crate) fn load(directory: &Path) -> Result<Option<Self>, Failure> {
        let path = Self::path(directory);
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| {
                Failure::new(format!("{} cannot be understood", path.display())).because(&error).help(
                    "It only remembers what was put up last: delete it and run `forge up` with the blueprint again.",
                )
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::new(format!("{} cannot be read", path.display())).because(&error)),
        }
    }

    /// What is up in a directory; a failure that says what to do when nothing is.
    pub(crate) fn require(directory: &Path) -> Result<Self, Failure> {
        Self::load(directory)?.ok_or_else(|| {
            Failure::new(format!("nothing is up in {}", directory.display()))
                .help("Run `forge up blueprint.yaml` here first, or name the directory with -C.")
        })
    }

    /// Remembers it.
    pub(crate) fn save(&self, directory: &Path) -> Result<(), Failure> {
        let path = Self::path(directory);
        let write = || {
            std::fs::create_dir_all(directory.join(OWN))?;
            // Its own for each process: of two that begin at once, neither takes the other's away.
            let temporary = path.with_extension(format!("{}.{DRAFT}", std::process::id()));
            std::fs::write(&temporary, serde_json::to_vec(self)?)?;
            std::fs::rename(temporary, &path)
        };
        write().map_err(|error| Failure::new(format!("{} cannot be written", path.display())).because(&error))
    }

    /// Forgets what was up in a directory, once nothing of it is left.
    pub(crate) fn forget(directory: &Path) -> Result<(), Failure> {
        let path = Self::path(directory);
        std::fs::remove_file(&path)
            .map_err(|error| Failure::new(format!("{} cannot be deleted", path.display())).because(&error))?;
        Self::clear_away(directory);
        Ok(())
    }

    /// Removes what a forge that was killed while it wrote left in a directory in which nothing is up.
    pub(crate) fn clear_away(directory: &Path) {
        let own = directory.join(OWN);
        for entry in std::fs::read_dir(&own).into_iter().flatten().flatten() {
            let draft = entry.path();
            if draft.extension().is_some_and(|extension| extension == DRAFT) {
                let _ = std::fs::remove_file(draft);
            }
        }
        // Not empty when a second forge has begun here in this moment.
        let _ = std::fs::remove_dir(own);
    }

    /// The kinds of its target, for work.
    pub(crate) fn kinds(&self, home: &Path) -> Result<Kinds, Failure> {
        let target = target(&self.target)?;
        targets::is_built_in(target)?;
        Ok(targets::live_kinds(target, &self.account, home))
    }

    /// Where the deployment's own files are.
    pub(crate) fn home(&self, directory: &Path) -> Home {
        home(directory, &self.deployment, self.state.as_deref())
    }
}

/// The target of that name.
pub(crate) fn target(name: &str) -> Result<Target, Failure> {
    Target::parse(name).ok_or_else(|| {
        Failure::new(format!("this forge does not know target {name}")).help("Use the forge that put it up.")
    })
}

fn home(directory: &Path, deployment: &str, state: Option<&str>) -> Home {
    Home::new(directory.join(OWN).join(deployment), deployment, state)
}

/// What came of checking a blueprint: its documents, what it comes to when nothing is wrong, and what is.
pub(crate) type Checked = (Sources, Option<Expanded>, Vec<Diagnostic>);

/// The modules that forge ships.
pub(crate) fn modules() -> Vec<ModuleSource<'static>> {
    let source = |module: &forge_modules::Embedded| ModuleSource {
        name: module.name,
        document: module.document,
        text: module.text,
    };
    forge_modules::MODULES.iter().map(source).collect()
}

impl Project {
    /// The blueprint that the arguments mean; without one what is up in `directory`, else its `blueprint.yaml`.
    pub(crate) fn find(directory: &Path, arguments: &BlueprintArgs) -> Result<Self, Failure> {
        let (home, shown, file, earlier) = match &arguments.blueprint {
            Some(shown) => {
                let full = directory
                    .join(shown)
                    .canonicalize()
                    .map_err(|error| file::unreadable(shown, &error).help(BEGIN))?;
                let (Some(parent), Some(file)) = (full.parent(), full.file_name().and_then(|name| name.to_str()))
                else {
                    return Err(Failure::new(format!("{} is not a file that can be a blueprint", shown.display())));
                };
                // What was set for it when it was put up still holds, unless it is said anew.
                let earlier = Current::load(parent)?.filter(|current| current.blueprint == file);
                (parent.to_owned(), shown.clone(), file.to_owned(), earlier)
            }
            None => {
                let earlier = Current::load(directory)?;
                let file =
                    earlier.as_ref().map_or_else(|| DEFAULT_BLUEPRINT.to_owned(), |current| current.blueprint.clone());
                (directory.to_owned(), PathBuf::from(&file), file, earlier)
            }
        };
        let attempts = earlier.as_ref().map(|earlier| earlier.attempts.clone()).unwrap_or_default();
        let (target, remembered, environment, files) = match earlier {
            Some(current) => (Some(current.target), current.vars, current.environment, current.var_files),
            None => Default::default(),
        };
        let vars: BTreeMap<String, String> = arguments.variables.vars.iter().cloned().collect();
        let target = arguments.target.clone().or(target);
        let var_files = var_files(directory, &home, files, &arguments.variables.files)?;
        Ok(Self { directory: home, shown, file, target, vars, remembered, environment, var_files, attempts })
    }

    /// The same blueprint after these modules have found no capacity once more.
    pub(crate) fn after(&self, modules: &BTreeSet<String>) -> Self {
        let mut next = self.clone();
        for module in modules {
            *next.attempts.entry(module.clone()).or_default() += 1;
        }
        next
    }

    /// Reads and checks the blueprint; warnings are shown.
    pub(crate) fn expand(&self, ui: Ui) -> Result<Expanded, Failure> {
        self.expand_from(ui).map(|(_, expanded)| expanded)
    }

    /// The same, with the documents that it came from.
    pub(crate) fn expand_from(&self, ui: Ui) -> Result<(Sources, Expanded), Failure> {
        match self.check()? {
            (sources, Some(expanded), findings) => {
                ui.findings(&sources, &findings);
                Ok((sources, expanded))
            }
            (sources, None, findings) => Err(Failure::findings(sources, findings)),
        }
    }

    /// Reads and checks the blueprint. Of instance types that forge does not know, the provider is asked once.
    pub(crate) fn check(&self) -> Result<Checked, Failure> {
        let known = Arc::new(Known::default());
        let (place, mut checked) = self.check_with(&known)?;
        let unknown = known.unknown();
        let Some((target, account)) = place.filter(|_| !unknown.is_empty()) else { return Ok(checked) };
        match targets::describe_types(target, &account, &unknown) {
            Ok(Some(described)) if !described.is_empty() => {
                self.check_with(&Arc::new(Known::with(described))).map(|(_, checked)| checked)
            }
            Ok(_) => Ok(checked),
            Err(failure) => {
                let summary = format!("nobody knows what {} is", unknown.join(", "));
                let mut finding = Diagnostic::warning("instance-type-not-asked", summary);
                finding.why = Some(format!(
                    "It is newer than this forge, and EC2 could not be asked: {}.",
                    failure.chain.join(": ")
                ));
                finding.help = failure.help;
                checked.2.push(finding);
                Ok(checked)
            }
        }
    }

    /// Reads and checks the blueprint with what is known, and says where it would run.
    fn check_with(&self, known: &Arc<Known>) -> Result<(Option<(Target, Account)>, Checked), Failure> {
        let path = self.directory.join(&self.file);
        let bytes = file::read(&path, &self.shown).map_err(|failure| failure.help(BEGIN))?;
        let var_files = self.read_var_files()?;
        let var_files: Vec<_> = var_files.iter().map(|(name, bytes)| Document { name, bytes }).collect();
        let environment = environment();
        let set = |name, text, origin| Override { name, text, origin, remembered: false };
        let earlier = |name, text, origin| Override { name, text, origin, remembered: true };
        let remembered = self.environment.iter().map(|(name, text)| earlier(name, text, "FORGE_VAR_ at the last up"));
        let now = environment.iter().map(|(name, text, origin)| set(name, text, origin));
        let environment: Vec<Override<'_>> = remembered.chain(now).collect();
        let now = self.vars.iter().map(|(name, text)| set(name, text, "--var"));
        let overrides: Vec<Override<'_>> =
            self.remembered.iter().map(|(name, text)| earlier(name, text, "--var at the last up")).chain(now).collect();
        // Checking specifications needs no place; the one for work is made when the deployment's name is known.
        let place = RefCell::new(None);
        let nowhere = |target, settings: &BTreeMap<String, Value>| {
            let account = Account::said(settings);
            let kinds = targets::kinds(target, &account, Path::new(OWN));
            place.replace(Some((target, account)));
            kinds
        };
        let facts: Arc<dyn Facts> = Arc::<Known>::clone(known);
        let request = Request {
            name: &self.shown.to_string_lossy(),
            bytes: &bytes,
            environment: &environment,
            var_files: &var_files,
            overrides: &overrides,
            target: self.target.as_deref(),
            modules: &modules(),
            files: &|path| file::bytes(&self.directory.join(path)).map_err(|error| error.to_string()),
            kinds: &nowhere,
            facts: &facts,
        };
        let (sources, expanded, findings) = expand_after(&request, &self.attempts);
        let place = place.into_inner();
        if let Some((target, _)) = &place {
            targets::is_built_in(*target)?;
        }
        debug_assert!(expanded.is_some() || has_errors(&findings));
        Ok((place, (sources, expanded, findings)))
    }

    /// The files that set variables, weakest first: their names in findings, and their bytes.
    fn read_var_files(&self) -> Result<Vec<(String, Vec<u8>)>, Failure> {
        let read = |file: &VarFile| {
            let bytes = file::read(&self.directory.join(&file.path), &file.shown).map_err(|failure| {
                let help = "It set variables when this was put up. Put it back, or name others with --var-file.";
                if file.remembered { failure.help(help) } else { failure }
            })?;
            Ok((file.shown.to_string_lossy().into_owned(), bytes))
        };
        self.var_files.iter().map(read).collect()
    }

    /// What to remember of a deployment of this blueprint.
    pub(crate) fn current(&self, expanded: &Expanded) -> Current {
        Current {
            v: 1,
            blueprint: self.file.clone(),
            deployment: expanded.name.clone(),
            target: expanded.target.name().to_owned(),
            account: Account::of(expanded),
            vars: self.vars_of(expanded),
            environment: self.environment_of(expanded),
            var_files: self.var_files.iter().map(|file| file.path.clone()).collect(),
            attempts: self.attempts.clone(),
            state: expanded.state.clone(),
            bucket: None,
        }
    }

    /// What the command line sets of the blueprint's variables, now or earlier.
    fn vars_of(&self, expanded: &Expanded) -> BTreeMap<String, String> {
        let mut set = self.remembered.clone();
        set.extend(self.vars.clone());
        set.retain(|name, _| expanded.variables.iter().any(|known| known.name == *name));
        set
    }

    /// What the environment sets of the blueprint's variables. Of a sensitive one only its name counts, which is in the
    /// blueprint; its value is never written anywhere.
    fn environment_of(&self, expanded: &Expanded) -> BTreeMap<String, String> {
        let mut set = self.environment.clone();
        set.extend(environment().into_iter().map(|(name, text, _)| (name, text)));
        let known = |name: &str| expanded.variables.iter().any(|known| known.name == name && !known.sensitive);
        set.retain(|name, _| known(name));
        set
    }

    /// Where the deployment's own files are.
    pub(crate) fn home(&self, expanded: &Expanded) -> Home {
        home(&self.directory, &expanded.name, expanded.state.as_deref())
    }
}

/// The variables that the environment sets: name, value, and the name of the environment variable.
fn environment() -> Vec<(String, String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter_map(|(name, value)| Some((name.strip_prefix(VARIABLE_PREFIX)?.to_owned(), value, name.clone())))
        .collect()
}

/// The deployment of that name.
pub(crate) fn deployment(name: &str) -> Deployment {
    Deployment(name.to_owned())
}
