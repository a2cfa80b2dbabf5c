//! The two programs, each with a stack in a directory of its own, and nothing but the emulated AWS in sight.

use crate::stacks::Stack;
use forge_tests::{Ran, Site};
use serde_json::Value as Json;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What is done with a stack, in order.
pub(crate) const PHASES: [&str; 4] = ["plan", "apply", "no-op plan", "destroy"];
pub(crate) const NO_OP: usize = 2;

/// Where Terraform looks for providers by itself (CLI configuration, implied local mirrors), and where images of it keep them.
const MIRRORS: [&str; 4] =
    ["/usr/local/share/terraform/plugins", "/usr/share/terraform/plugins", "/opt/tf-plugins", "/opt/terraform/plugins"];
const PROVIDER: &str = "registry.terraform.io/hashicorp/aws";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
    Forge,
    Terraform,
}

/// What both are found by.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) forge: PathBuf,
    /// What both lay into the bucket for nodes to start with: the agent that lies beside forge, else any file.
    pub(crate) agent: PathBuf,
    /// The directory that the provider lies in.
    pub(crate) mirror: Result<PathBuf, String>,
    /// Where the emulated AWS answers.
    pub(crate) endpoint: String,
}

/// A stack in a directory.
pub(crate) struct Place<'a> {
    tools: &'a Tools,
    tool: Tool,
    site: Site,
    variables: Vec<(&'static str, String)>,
}

impl Tools {
    pub(crate) fn find(endpoint: String) -> Self {
        let forge =
            std::env::var_os("FORGE_BENCH_BINARY").map_or_else(|| forge_tests::forge().to_owned(), PathBuf::from);
        let beside = forge.with_file_name("forge-agent");
        let agent = if beside.is_file() { beside } else { forge_tests::repository().join("LICENSE") };
        Self { forge, agent, mirror: mirror(), endpoint }
    }

    /// A place for a stack, ready to plan in.
    pub(crate) fn place(&self, tool: Tool, stack: Stack) -> Result<Place<'_>, String> {
        if tool == Tool::Forge {
            return Ok(Place { tools: self, tool, site: stack.for_forge(), variables: vec![] });
        }
        let mirror = self.mirror.as_ref().map_err(Clone::clone)?;
        let (site, variables) = stack.for_terraform();
        // There is no other way of installation in it: nothing is downloaded.
        let method = format!("filesystem_mirror {{ path = \"{}\" }}", mirror.display());
        site.write("terraformrc", &format!("disable_checkpoint = true\nprovider_installation {{\n  {method}\n}}\n"));
        let place = Place { tools: self, tool, site, variables };
        let ran = run(place.command(&["init", "-input=false", "-no-color"]))?;
        if ran.code != 0 {
            let text = format!("{}{}", ran.stdout, ran.stderr);
            return Err(format!("terraform init: {}", text.trim().lines().last().unwrap_or("it failed")));
        }
        Ok(place)
    }

    pub(crate) fn forge_version(&self) -> String {
        run(Command::new(&self.forge).arg("--version")).map_or_else(|error| error, |ran| ran.stdout.trim().to_owned())
    }
}

impl Place<'_> {
    /// What does a phase, and the code that it ends with when all is well; of a plan without changes, one that no other has.
    pub(crate) fn phase(&self, phase: usize) -> (Command, i32) {
        let arguments: &[&str] = match (self.tool, phase) {
            (Tool::Forge, 0) => &["plan"],
            (Tool::Forge, 1) => &["up", "--yes"],
            (Tool::Forge, NO_OP) => &["plan", "--check"],
            (Tool::Forge, _) => &["destroy", "--yes", "--delete-data"],
            (Tool::Terraform, 0) => &["plan", "-input=false", "-no-color"],
            (Tool::Terraform, 1) => &["apply", "-auto-approve", "-input=false", "-no-color"],
            (Tool::Terraform, NO_OP) => &["plan", "-detailed-exitcode", "-input=false", "-no-color"],
            (Tool::Terraform, _) => &["destroy", "-auto-approve", "-input=false", "-no-color"],
        };
        (self.command(arguments), 0)
    }

    /// `terraform` and the provider, with their versions.
    pub(crate) fn versions(&self) -> String {
        let ran = run(self.command(&["version", "-json"]));
        let json: Json = ran.ok().and_then(|ran| serde_json::from_str(&ran.stdout).ok()).unwrap_or_default();
        let text = |value: &Json| value.as_str().unwrap_or("?").to_owned();
        let provider = &json["provider_selections"][PROVIDER];
        format!("Terraform {} with AWS provider {}", text(&json["terraform_version"]), text(provider))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let program = match self.tool {
            Tool::Forge => self.tools.forge.as_path(),
            Tool::Terraform => Path::new("terraform"),
        };
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            let leads_elsewhere = ["AWS_", "TF_", "FORGE_"].iter().any(|prefix| text.starts_with(prefix));
            if leads_elsewhere || text.to_lowercase().ends_with("_proxy") {
                command.env_remove(&name);
            }
        }
        let nothing = self.site.path().join("there-is-no-such-file");
        command
            .args(arguments)
            .current_dir(self.site.path())
            .env("AWS_ENDPOINT_URL", &self.tools.endpoint)
            .env("AWS_ACCESS_KEY_ID", "AKIAFORGETEST0000000")
            .env("AWS_SECRET_ACCESS_KEY", "this-is-not-a-secret")
            .env("AWS_REGION", "us-west-2")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_CONFIG_FILE", &nothing)
            .env("AWS_SHARED_CREDENTIALS_FILE", &nothing)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        if self.tool == Tool::Forge {
            command.env("FORGE_AGENT_X86_64", &self.tools.agent);
        } else {
            command
                .env("TF_CLI_CONFIG_FILE", self.site.path().join("terraformrc"))
                .env("TF_IN_AUTOMATION", "1")
                .env("CHECKPOINT_DISABLE", "1")
                .env("TF_VAR_endpoint", &self.tools.endpoint)
                .env("TF_VAR_agent", &self.tools.agent)
                .envs(self.variables.iter().map(|(name, value)| (format!("TF_VAR_{name}"), value)));
        }
        command
    }
}

fn run(mut command: impl std::borrow::BorrowMut<Command>) -> Result<Ran, String> {
    let command = command.borrow_mut();
    let program = command.get_program().to_string_lossy().into_owned();
    command.output().map(Ran::from).map_err(|error| format!("{program}: {error}"))
}

/// Where the provider is, or why Terraform cannot be measured.
fn mirror() -> Result<PathBuf, String> {
    run(Command::new("terraform").arg("version").stdin(Stdio::null()))?;
    let named = std::env::var_os("FORGE_TERRAFORM_PLUGINS").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let homes = home
        .iter()
        .flat_map(|home| [".terraform.d/plugins", ".local/share/terraform/plugins"].map(|one| home.join(one)));
    let mut places = named.into_iter().chain(homes).chain(MIRRORS.iter().map(PathBuf::from));
    places.find(|place| place.join(PROVIDER).is_dir()).ok_or_else(|| {
        format!(
            "its AWS provider is in none of ~/.terraform.d/plugins, {}: name its directory in FORGE_TERRAFORM_PLUGINS",
            MIRRORS.join(", ")
        )
    })
}
