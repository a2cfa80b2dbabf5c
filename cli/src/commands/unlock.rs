use super::Setting;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::project::Current;
use crate::site::runtime;
use crate::turn::at_work;
use crate::ui::Ui;
use forge_engine::lock::lease::Place;
use forge_engine::lock::{Lock, LockError};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub(crate) fn run(arguments: Arguments, setting: &Setting) -> Result<Exit, Failure> {
    let ui = setting.ui;
    let current = Current::require(&setting.directory)?;
    let home = current.home(&setting.directory);
    match home.bucket()? {
        Some(bucket) => lease(&Place::new(bucket, ""), arguments.yes, ui),
        None => match Lock::holder(&home) {
            None => Ok(nobody(ui)),
            Some(holder) => {
                let what = LockError::Held(Some(holder.clone())).to_string();
                let help = format!(
                    "There is nothing to take away: the lock is that process's, and goes with it. `kill {}` on {} ends it; \
                     nothing is lost, and the next forge goes on from there.",
                    holder.pid, holder.host
                );
                Err(Failure::new(what).help(help))
            }
        },
    }
}

fn nobody(ui: Ui) -> Exit {
    ui.say("nobody is at work here");
    Exit::Done
}

fn lease(place: &Place, yes: bool, ui: Ui) -> Result<Exit, Failure> {
    let runtime = runtime()?;
    let Some(seen) = runtime.block_on(place.look())? else { return Ok(nobody(ui)) };
    ui.say(at_work(&seen));
    ui.say(format!(
        "if it has died, its lease runs out {:?} after its last beat, and nobody needs this command; if it lives, it will be \
         stopped part-way",
        seen.ttl
    ));
    if !yes && !ui.confirm("Take its lease away?")? {
        ui.say("nothing was done");
        return Ok(Exit::Fixable);
    }
    match runtime.block_on(place.break_open())? {
        Some(seen) => ui.say(format!("the lease of pid {} on {} was taken away", seen.holder.pid, seen.holder.host)),
        None => ui.say("it has just finished by itself"),
    }
    Ok(Exit::Done)
}
