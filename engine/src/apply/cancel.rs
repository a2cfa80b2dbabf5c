//! Stopping a run from outside.

use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    None,
    Soft,
    Hard,
}

/// Stops a run: softly (nothing new is begun, what is in flight is finished) or at once. Clones stop the same run.
#[derive(Debug, Clone)]
pub struct Cancel(watch::Sender<Level>);

impl Default for Cancel {
    fn default() -> Self {
        Self(watch::Sender::new(Level::None))
    }
}

impl Cancel {
    /// One that has not been raised.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for a soft stop.
    pub fn soft(&self) {
        self.to(Level::Soft);
    }

    /// Stops at once.
    pub fn hard(&self) {
        self.to(Level::Hard);
    }

    /// Softly the first time, at once the second: what Ctrl-C does.
    pub fn raise(&self) {
        self.0.send_modify(|level| *level = if *level == Level::None { Level::Soft } else { Level::Hard });
    }

    /// True once a stop was asked for.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        *self.0.borrow() >= Level::Soft
    }

    /// Returns once a stop was asked for.
    pub async fn raised(&self) {
        self.reaches(Level::Soft).await;
    }

    /// Returns once everything is to stop at once.
    pub async fn now(&self) {
        self.reaches(Level::Hard).await;
    }

    fn to(&self, at_least: Level) {
        self.0.send_modify(|level| *level = at_least.max(*level));
    }

    async fn reaches(&self, at_least: Level) {
        // It cannot close: this very sender is alive.
        let _ = self.0.subscribe().wait_for(|level| *level >= at_least).await;
    }
}
