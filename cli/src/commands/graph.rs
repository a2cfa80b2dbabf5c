//! What stands on what, drawn by others: Graphviz or Mermaid.

use super::Setting;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::project::{BlueprintArgs, Project};
use crate::ui::JSON_VERSION;
use forge_blueprints::Expanded;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    blueprint: BlueprintArgs,
    /// In which language: dot (Graphviz) or mermaid
    #[arg(long, value_name = "LANGUAGE", default_value = "dot", hide_default_value = true, hide_possible_values = true)]
    format: Language,
    /// Modules only, without the resources in them
    #[arg(long)]
    modules: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Language {
    Dot,
    Mermaid,
}

pub(crate) fn run(arguments: Arguments, setting: &Setting) -> Result<Exit, Failure> {
    let ui = setting.ui;
    let expanded = Project::find(&setting.directory, &arguments.blueprint)?.expand(ui)?;
    let graph = if arguments.modules { Graph::of_modules(&expanded) } else { Graph::of_resources(&expanded) };
    match (ui.json, arguments.format) {
        (true, _) => ui.document(&json!({"v": JSON_VERSION, "graph": graph.json()})),
        (false, Language::Dot) => ui.text(&graph.dot()),
        (false, Language::Mermaid) => ui.text(&graph.mermaid()),
    }
    Ok(Exit::Done)
}

/// Nodes by name, and which of them stand on which.
struct Graph {
    name: String,
    nodes: Vec<Node>,
    /// Who stands on whom, by positions.
    edges: Vec<(usize, usize)>,
}

struct Node {
    name: String,
    /// The kind of a resource; nothing of a module.
    kind: String,
    /// The module that a resource is in.
    module: String,
}

impl Graph {
    fn of_resources(expanded: &Expanded) -> Self {
        let resources = &expanded.desired.resources;
        let nodes = resources.iter().map(|resource| Node {
            name: resource.address.to_string(),
            kind: resource.kind.clone(),
            module: resource.address.module().to_owned(),
        });
        let positions: BTreeMap<_, usize> = resources.iter().map(|resource| &resource.address).zip(0..).collect();
        let edges = resources.iter().zip(0..).flat_map(|(resource, above)| {
            let below = resource.dependencies();
            below.iter().filter_map(|below| Some((above, *positions.get(below)?))).collect::<Vec<_>>()
        });
        Self { name: expanded.name.clone(), nodes: nodes.collect(), edges: edges.collect() }
    }

    fn of_modules(expanded: &Expanded) -> Self {
        let names: Vec<&String> = expanded.edges.keys().collect();
        let positions: BTreeMap<&String, usize> = names.iter().copied().zip(0..).collect();
        let edges = expanded.edges.iter().flat_map(|(above, below)| {
            below.iter().filter_map(|below| Some((positions[above], *positions.get(below)?))).collect::<Vec<_>>()
        });
        let edges = edges.collect();
        let node = |name: &&String| Node { name: (*name).clone(), kind: String::new(), module: String::new() };
        Self { name: expanded.name.clone(), nodes: names.iter().map(node).collect(), edges }
    }

    /// The positions of the nodes of each module.
    fn modules(&self) -> BTreeMap<&str, Vec<usize>> {
        let mut modules: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (position, node) in self.nodes.iter().enumerate() {
            modules.entry(&node.module).or_default().push(position);
        }
        modules
    }

    fn json(&self) -> serde_json::Value {
        let nodes = self.nodes.iter().map(|node| match node.kind.as_str() {
            "" => json!({"name": node.name}),
            kind => json!({"name": node.name, "kind": kind}),
        });
        let edge = |(above, below): &(usize, usize)| {
            json!({"from": self.nodes[*above].name, "to": self.nodes[*below].name})
        };
        json!({"nodes": nodes.collect::<Vec<_>>(), "edges": self.edges.iter().map(edge).collect::<Vec<_>>()})
    }

    fn dot(&self) -> String {
        let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let mut out = format!("digraph {} {{\n  rankdir=BT\n  node [shape=box]\n", quoted(&self.name));
        for (module, members) in self.modules() {
            let indent = if module.is_empty() { "  " } else { "    " };
            if !module.is_empty() {
                let _ = writeln!(out, "  subgraph {} {{\n    label={}", quoted(&format!("cluster_{module}")), quoted(module));
            }
            for node in members.into_iter().map(|position| &self.nodes[position]) {
                let label = if node.kind.is_empty() { String::new() } else { format!(" [tooltip={}]", quoted(&node.kind)) };
                let _ = writeln!(out, "{indent}{}{label}", quoted(&node.name));
            }
            if !module.is_empty() {
                out.push_str("  }\n");
            }
        }
        for (above, below) in &self.edges {
            let _ = writeln!(out, "  {} -> {}", quoted(&self.nodes[*above].name), quoted(&self.nodes[*below].name));
        }
        out + "}\n"
    }

    fn mermaid(&self) -> String {
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "#quot;"));
        let mut out = "graph BT\n".to_owned();
        for (module, members) in self.modules() {
            let indent = if module.is_empty() { "  " } else { "    " };
            if !module.is_empty() {
                let _ = writeln!(out, "  subgraph {}", quoted(module));
            }
            for position in members {
                let _ = writeln!(out, "{indent}n{position}[{}]", quoted(&self.nodes[position].name));
            }
            if !module.is_empty() {
                out.push_str("  end\n");
            }
        }
        for (above, below) in &self.edges {
            let _ = writeln!(out, "  n{above} --> n{below}");
        }
        out
    }
}
