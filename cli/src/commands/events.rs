use super::Setting;
use crate::bus::Bus;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::follow::Follower;
use crate::site::runtime;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The run [default: the newest]
    run: Option<String>,
    /// Go on until the run ends
    #[arg(short, long)]
    follow: bool,
}

pub(crate) fn run(arguments: Arguments, setting: &Setting) -> Result<Exit, Failure> {
    let bus = Bus::of(&setting.directory)?;
    runtime()?.block_on(async {
        let run = bus.pick(arguments.run.as_deref()).await?.spec.run;
        let mut follower = Follower::new(&bus, setting.ui, run, None, true);
        if !arguments.follow {
            follower.look().await?;
            return Ok(Exit::Done);
        }
        Ok(follower.until_over().await?.map_or(Exit::Interrupted, |_| Exit::Done))
    })
}
