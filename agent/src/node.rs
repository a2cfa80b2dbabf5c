//! The hardware seam: everything that checks may know of a machine.
//!
//! Checks and supervision never touch the system by other ways, so that the same code judges a real machine, a recorded
//! one, and the simulated one of target `local`.

use std::path::PathBuf;

/// One accelerator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accelerator {
    /// Its index on the node, from 0.
    pub index: u32,
    /// What it calls itself.
    pub name: String,
    /// What its driver reports against it; none = nothing.
    pub fault: Option<String>,
}

/// A machine's hardware.
pub trait Node: Send + Sync {
    /// The accelerators that the driver lists at this moment. `Err` when it cannot be asked.
    ///
    /// # Errors
    /// The driver's words.
    fn accelerators(&self) -> Result<Vec<Accelerator>, String>;
}

/// A machine whose accelerators exist on paper. Faults are brought about by a file with one line each: `<index> <fault>`,
/// or `<index> lost`.
#[derive(Debug, Clone)]
pub struct Simulated {
    /// Number of accelerators.
    pub accelerators: u32,
    /// The file of faults; its absence means none.
    pub faults: PathBuf,
}

impl Node for Simulated {
    fn accelerators(&self) -> Result<Vec<Accelerator>, String> {
        let faults = match std::fs::read_to_string(&self.faults) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(format!("{}: {error}", self.faults.display())),
        };
        let fault_of = |index: u32| {
            faults.lines().find_map(|line| {
                let (at, fault) = line.split_once(' ')?;
                (at.parse() == Ok(index)).then(|| fault.trim().to_owned())
            })
        };
        Ok((0..self.accelerators)
            .map(|index| Accelerator { index, name: "simulated".into(), fault: fault_of(index) })
            .filter(|accelerator| accelerator.fault.as_deref() != Some("lost"))
            .collect())
    }
}
