use super::{Setting, nodes, runs};
use crate::bus::Bus;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::project::Current;
use crate::site::{read_state, runtime};
use crate::turn::holder;
use crate::ui::JSON_VERSION;
use serde_json::json;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

pub(crate) fn run(_: Arguments, setting: &Setting) -> Result<Exit, Failure> {
    let ui = setting.ui;
    let current = Current::require(&setting.directory)?;
    let home = current.home(&setting.directory);
    let at_work = holder(&home)?;
    let state = read_state(&home, &current.deployment)?;
    let bus = Bus::of(&setting.directory).ok();
    let has_fleet = state.records.values().any(|record| record.spec.get("nodes").is_some());
    let (cluster, runs) = runtime()?.block_on(async {
        match &bus {
            // What the leader of a fleet that was deleted wrote last is no news.
            Some(bus) => Ok::<_, Failure>((bus.cluster().await?.filter(|_| has_fleet), bus.runs().await?)),
            None => Ok((None, Vec::new())),
        }
    })?;
    let lost = cluster.iter().flat_map(|cluster| &cluster.nodes).any(|node| node.state == "quarantined");
    let healthy = state.pending.is_empty() && !lost && (cluster.is_some() || !has_fleet);
    if ui.json {
        ui.document(&json!({"v": JSON_VERSION, "status": {
            "deployment": current.deployment, "target": current.target, "healthy": healthy,
            "resources": state.records, "cut_off": state.pending.len(), "at_work": at_work, "cluster": cluster, "runs": runs,
        }}));
        return Ok(if healthy { Exit::Done } else { Exit::Unhealthy });
    }
    ui.data(format!("{} on target {}", current.deployment, current.target));
    if let Some(holder) = &at_work {
        let (command, pid, host, since) = (&holder.command, holder.pid, &holder.host, holder.since);
        ui.data(format!("  at work: {command}, pid {pid} on {host}, since {since:.0}"));
    }
    let rows = state.records.iter().map(|(address, record)| {
        vec![format!("  {address}"), record.kind.clone(), record.id.clone()]
    });
    ui.table(&rows.collect::<Vec<_>>());
    // What somebody is doing at this moment is not cut off.
    for pending in state.pending.values().filter(|_| at_work.is_none()) {
        ui.data(format!("  {}: cut off while {:?}; run the same command again", pending.begin.address, pending.begin.call));
    }
    match &cluster {
        Some(cluster) => {
            ui.data("");
            nodes::table(ui, cluster);
        }
        None if has_fleet => ui.data("no node leads; `forge up` brings back what is gone"),
        None => {}
    }
    if !runs.is_empty() {
        ui.data("");
        runs::table(ui, &runs);
    }
    Ok(if healthy { Exit::Done } else { Exit::Unhealthy })
}
