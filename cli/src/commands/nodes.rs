use super::Setting;
use crate::bus::Bus;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::site::runtime;
use crate::ui::{JSON_VERSION, Ui};
use forge_agent::wire::Cluster;
use serde_json::json;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

pub(crate) fn run(_: Arguments, setting: &Setting) -> Result<Exit, Failure> {
    let bus = Bus::of(&setting.directory)?;
    let Some(cluster) = runtime()?.block_on(bus.cluster())? else {
        return Err(Failure::new("no node leads: nobody has written of the nodes for a while")
            .exit(Exit::Unhealthy)
            .help("`forge up` brings back what is gone."));
    };
    if setting.ui.json {
        setting.ui.document(&json!({"v": JSON_VERSION, "cluster": cluster}));
    } else {
        table(setting.ui, &cluster);
    }
    Ok(Exit::Done)
}

/// The nodes as a table.
pub(crate) fn table(ui: Ui, cluster: &Cluster) {
    let head = ["NODE", "STATE", "LEADS", "RUN", "RANKS", "ACCELERATORS", "ADDRESS", "WHY"].map(str::to_owned).to_vec();
    let rows = cluster.nodes.iter().map(|node| {
        let ranks: Vec<_> = node.ranks.iter().map(ToString::to_string).collect();
        vec![
            node.node.0.clone(),
            node.state.clone(),
            if node.node == cluster.leader { "yes".into() } else { String::new() },
            node.run.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
            if ranks.is_empty() { "-".to_owned() } else { ranks.join(",") },
            node.accelerators.to_string(),
            node.address.clone(),
            node.reason.clone(),
        ]
    });
    ui.table(&std::iter::once(head).chain(rows).collect::<Vec<_>>());
}
