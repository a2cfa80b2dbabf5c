//! Ctrl-C while no plan is being carried out.
//!
//! A process that nobody told otherwise dies of it, and that is right for as long as nothing is under way. Whoever has
//! asked the runtime for interrupts once gets them for the rest of the process's life; so from the first wait on they are
//! answered here, with the documented exit code, except while an apply answers them itself.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use tokio::signal::unix::{SignalKind, signal};

static APPLYING: AtomicBool = AtomicBool::new(false);

/// While it lives, interrupts are somebody else's.
pub(crate) struct Applying(());

impl Applying {
    pub(crate) fn begin() -> Self {
        APPLYING.store(true, Ordering::SeqCst);
        Self(())
    }
}

impl Drop for Applying {
    fn drop(&mut self) {
        APPLYING.store(false, Ordering::SeqCst);
    }
}

/// From the return of this on an interrupt ends the process with a word and its exit code.
pub(crate) fn ends_this(ui: Ui) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (ready, listening) = mpsc::channel();
    std::thread::Builder::new().name("interrupts".to_owned()).spawn(move || {
        runtime.block_on(async {
            let mut interrupts = match signal(SignalKind::interrupt()) {
                Ok(interrupts) => interrupts,
                Err(error) => return drop(ready.send(Err(error))),
            };
            let _ = ready.send(Ok(()));
            while interrupts.recv().await.is_some() {
                if !APPLYING.load(Ordering::SeqCst) {
                    ui.say("interrupted; nothing was done");
                    std::process::exit(i32::from(Exit::Interrupted as u8));
                }
            }
        });
    })?;
    listening.recv()??;
    Ok(())
}
