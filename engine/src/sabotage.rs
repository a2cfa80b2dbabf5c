//! Ways in which the engine can be broken on purpose, to see that simulation notices.
//!
//! Each is a question at the place that it breaks: `if broken(Sabotage::…)`. Outside tests the answer is a constant, and
//! nothing of this remains.

/// One way. Each is a mistake that somebody has made, in this field or in this engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// A call is made although its announcement is not durable.
    BeginsNotDurably,
    /// What is not seen at once is taken for never made.
    NoVisibilityWindow,
    /// An owner acts and writes although its lease has run out and somebody else has it.
    NoFencing,
    /// What something stands on is deleted before it.
    DeletesInCreationOrder,
    /// A creation is repeated under another token.
    NewTokenForEachTry,
    /// The identifier is not written down when the provider returns it, and nothing is looked for by its tags.
    ForgetsIdentifiers,
    /// Whatever a provider lists is taken for ours.
    AdoptsForeign,
    /// Data counts as nothing that needs consent.
    DeletesDataUnasked,
    /// The old half of a replacement is forgotten when its successor is there.
    ForgetsTheOldHalf,
    /// What a creation that stopped part-way has made is taken for all of it.
    TakesPartForWhole,
    /// An update that returned is taken for done.
    TrustsUpdates,
}

#[cfg(test)]
thread_local! {
    static ACTIVE: std::cell::Cell<Option<Sabotage>> = const { std::cell::Cell::new(None) };
}

/// Breaks whatever runs on this thread from now on, or mends it.
#[cfg(test)]
pub(crate) fn sabotage(by: Option<Sabotage>) {
    ACTIVE.set(by);
}

/// Whether the engine is broken in this way.
#[cfg(test)]
pub(crate) fn broken(by: Sabotage) -> bool {
    ACTIVE.get() == Some(by)
}

/// It is not.
#[cfg(not(test))]
pub(crate) const fn broken(_by: Sabotage) -> bool {
    false
}
