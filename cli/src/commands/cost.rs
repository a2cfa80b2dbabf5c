//! What a blueprint costs while it is up, resource by resource. Nothing of what is up already is looked at.

use super::Setting;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::planning::{Intent, PlanArgs};
use crate::project::{BlueprintArgs, Project};
use crate::site::runtime;
use crate::targets::{self, Account, World};
use crate::ui::JSON_VERSION;
use crate::view::plan::by_month;
use forge_blueprints::Sources;
use forge_engine::bill::{Item, Price, bill};
use forge_engine::observe::Observations;
use forge_engine::state::State;
use serde_json::{Value as Json, json};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    blueprint: BlueprintArgs,
    /// Trust the prices that forge was made with, instead of asking the target for its own
    #[arg(long)]
    offline: bool,
    /// Show what costs nothing too
    #[arg(long)]
    full: bool,
}

pub(crate) fn run(arguments: Arguments, setting: &Setting) -> Result<Exit, Failure> {
    let ui = setting.ui;
    let project = Project::find(&setting.directory, &arguments.blueprint)?;
    // As JSON, data is one document; what was found is not lost to who reads stderr.
    let (sources, expanded) = project.expand_from(ui.as_text())?;
    let (account, home) = (Account::of(&expanded), project.home(&expanded));
    let kinds = targets::kinds(expanded.target, &account, &home);
    let intent = Intent::of(&project, (&sources, &expanded), &State::default(), &PlanArgs::default())?;
    let plan = intent
        .plan(&State::default(), &Observations::default(), &kinds)
        .map_err(|findings| Failure::findings(Sources::default(), findings))?;
    let (world, runtime) = (World::of(expanded.target, &account), runtime()?);
    let asked = !arguments.offline && world.can_be_asked(&runtime);
    let prices = runtime.block_on(world.prices(&kinds, &plan, asked));
    let items = bill(&plan, &*prices.tariff);
    if ui.json {
        ui.document(&json!({"v": JSON_VERSION, "cost": document(&items, prices.source.as_deref())}));
        return Ok(Exit::Done);
    }
    ui.table(&table(&items, arguments.full));
    if let Some(source) = &prices.source {
        ui.say(format!("by {source}; disks, traffic and requests are not in it"));
    }
    Ok(Exit::Done)
}

fn total(items: &[Item<'_>]) -> f64 {
    // From nothing: an empty sum of floating-point numbers is negative zero.
    items.iter().filter_map(|item| item.after.usd_per_hour()).fold(0.0, |sum, price| sum + price)
}

fn unknown<'i>(items: &'i [Item<'_>]) -> impl Iterator<Item = &'i str> {
    items.iter().filter(|item| item.after == Price::Unknown).map(|item| item.step.address.as_str())
}

fn table(items: &[Item<'_>], full: bool) -> Vec<Vec<String>> {
    let row = |cells: [&str; 4]| cells.map(str::to_owned).to_vec();
    let mut rows = vec![row(["RESOURCE", "KIND", "USD/HOUR", "USD/MONTH"])];
    for item in items.iter().filter(|item| full || item.after != Price::Known(0.0)) {
        let (hour, month) = match item.after.usd_per_hour() {
            Some(price) => (format!("{price:.4}"), format!("{:.2}", by_month(price))),
            None => ("not known".to_owned(), "not known".to_owned()),
        };
        rows.push(row([item.step.address.as_str(), &item.step.kind, &hour, &month]));
    }
    let sum = total(items);
    let without = match unknown(items).count() {
        0 => String::new(),
        n => format!("without the {n} not known"),
    };
    rows.push(row(["in all", &without, &format!("{sum:.4}"), &format!("{:.2}", by_month(sum))]));
    rows
}

fn document(items: &[Item<'_>], source: Option<&str>) -> Json {
    let resource = |item: &Item<'_>| {
        let hour = item.after.usd_per_hour();
        json!({
            "address": item.step.address, "kind": item.step.kind, "usd_per_hour": hour,
            "usd_per_month": hour.map(by_month),
        })
    };
    let sum = total(items);
    json!({
        "resources": items.iter().map(resource).collect::<Vec<_>>(), "usd_per_hour": sum,
        "usd_per_month": by_month(sum), "unknown": unknown(items).collect::<Vec<_>>(), "prices": source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use forge_engine::address::Address;
    use forge_engine::plan::{Action, Step};

    #[test]
    fn a_bill_as_a_table_and_as_json() {
        let step = |address: &str, kind| Step::new(&Address::new(address), kind, Action::Create);
        let steps = [
            (step("network.vpc", "aws.vpc"), Price::Known(0.0)),
            (step("network.nat[0]", "aws.nat_gateway"), Price::Known(0.045)),
            (step("gpus.pool.group[0]", "aws.eks_nodegroup"), Price::Known(43.915284)),
            (step("data.bucket", "aws.s3_bucket"), Price::Unknown),
        ];
        let items: Vec<Item<'_>> =
            steps.iter().map(|(step, after)| Item { step, before: Price::Absent, after: *after }).collect();
        let rows: Vec<String> = table(&items, false).iter().map(|row| row.join(" | ")).collect();
        let json = serde_json::to_string_pretty(&document(&items, Some("a list"))).unwrap();
        insta::assert_snapshot!([rows.join("\n"), json].join("\n"));
        assert_eq!(table(&items, true).len(), table(&items, false).len() + 1);
        assert_eq!(total(&[]).to_bits(), 0.0f64.to_bits());
    }
}
