use super::Setting;
use crate::bus::Bus;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::follow::{Follower, Ranks};
use crate::site::runtime;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The run [default: the newest]
    run: Option<String>,
    /// Go on until the run ends
    #[arg(short, long)]
    follow: bool,
    /// Whose output: a rank, or all
    #[arg(long, default_value = "all")]
    rank: Ranks,
}

pub(crate) fn run(arguments: Arguments, setting: &Setting) -> Result<Exit, Failure> {
    let bus = Bus::of(&setting.directory)?;
    runtime()?.block_on(async {
        let run = bus.pick(arguments.run.as_deref()).await?.spec.run;
        let mut follower = Follower::new(&bus, setting.ui, run, Some(arguments.rank), false);
        if !arguments.follow {
            follower.look().await?;
            follower.finish();
            return Ok(Exit::Done);
        }
        Ok(follower.until_over().await?.map_or(Exit::Interrupted, |_| Exit::Done))
    })
}
