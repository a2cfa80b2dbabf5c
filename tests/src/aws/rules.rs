//! What the proxy does to which requests.
//!
//! Rules are asked in their order. Delays add up; the first other rule that is for a request decides its fate. Whether a rule
//! with a chance is for a request depends on the seed, the rule, and how many requests for the same operation came before, and
//! on nothing else: two runs that send the same operations in other orders meet the same faults.

use super::operation::Operation;
use super::refusal::Refusal;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// When something strikes a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Moment {
    /// Before it is forwarded: it has no effect.
    Before,
    /// When its answer has come and nobody has seen it yet: it has had its effect.
    After,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Before => "before",
            Self::After => "after",
        })
    }
}

/// How a connection ends that is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// As by a peer that is gone: TCP's RST.
    Reset,
    /// As by a peer that is done: TCP's FIN.
    Close,
}

/// Ends the program whose request this is, and returns when it can do nothing more.
#[derive(Clone)]
pub struct Killer(pub Arc<dyn Fn() + Send + Sync>);

impl fmt::Debug for Killer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Killer")
    }
}

/// What becomes of a request.
#[derive(Debug, Clone)]
pub enum Fate {
    /// It waits this long first.
    Delay(Duration),
    /// Its service says that there are too many, and does nothing.
    Throttle,
    /// Its service says that it has failed, before or after it did what was asked.
    Fail(Moment),
    /// The connection ends without an answer.
    Drop(Moment, Ending),
    /// Its service answers with this error, and does nothing.
    Answer(Refusal),
    /// Its service says that the credentials have expired, and does nothing.
    Expire,
    /// The program that sent it is killed and its connection dropped. Whatever it sends after that is dropped too, until
    /// there are new rules.
    Kill(Moment, Killer),
}

impl Fate {
    /// Its name in the record.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Delay(_) => "delayed".to_owned(),
            Self::Throttle => "throttled".to_owned(),
            Self::Fail(moment) => format!("failed {moment}"),
            Self::Drop(moment, Ending::Reset) => format!("reset {moment}"),
            Self::Drop(moment, Ending::Close) => format!("closed {moment}"),
            Self::Answer(refusal) => format!("answered {}", refusal.code),
            Self::Expire => "expired".to_owned(),
            Self::Kill(moment, _) => format!("killed {moment}"),
        }
    }
}

/// Which requests a rule is for: those that are all of this.
#[derive(Debug, Clone, Default)]
pub struct Which {
    /// Of this service only.
    pub service: Option<String>,
    /// Of this action only; `Create*` is every action that begins so.
    pub action: Option<String>,
    /// Only those that may change something.
    pub mutating: bool,
    /// Only these, by number from 1: among those that may change something if only those are meant, else among all.
    pub numbers: Option<RangeInclusive<usize>>,
}

impl Which {
    /// Every request.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Every request that may change something.
    #[must_use]
    pub fn mutating() -> Self {
        Self { mutating: true, ..Self::default() }
    }

    /// Every request of a service.
    #[must_use]
    pub fn service(service: &str) -> Self {
        Self { service: Some(service.to_owned()), ..Self::default() }
    }

    /// Every request for an action of a service; `Create*` is every action that begins so.
    #[must_use]
    pub fn action(service: &str, action: &str) -> Self {
        Self { action: Some(action.to_owned()), ..Self::service(service) }
    }

    /// Only these of them, by number from 1.
    #[must_use]
    pub fn numbers(self, numbers: RangeInclusive<usize>) -> Self {
        Self { numbers: Some(numbers), ..self }
    }

    /// Whether a request is one of them; `n` is its number among all, `nth_mutation` its number among those that may change
    /// something, if it is one.
    #[must_use]
    pub fn holds(&self, operation: &Operation, n: usize, nth_mutation: Option<usize>) -> bool {
        let service = self.service.as_ref().is_none_or(|service| *service == operation.service);
        let action = self.action.as_ref().is_none_or(|action| match action.strip_suffix('*') {
            Some(start) => operation.action.starts_with(start),
            None => *action == operation.action,
        });
        let number = if self.mutating { nth_mutation } else { Some(n) };
        let numbers = self.numbers.as_ref();
        service && action && number.is_some_and(|number| numbers.is_none_or(|numbers| numbers.contains(&number)))
    }
}

/// What becomes of some requests.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Which may be struck.
    pub which: Which,
    /// Only the first so many of those that it is for; without a number all of them.
    pub times: Option<usize>,
    /// How likely it is for one of them, 0 to 1.
    pub chance: f64,
    /// What happens then.
    pub fate: Fate,
}

impl Rule {
    /// This, always.
    #[must_use]
    pub fn new(which: Which, fate: Fate) -> Self {
        Self { which, times: None, chance: 1.0, fate }
    }

    /// Only the first so many times.
    #[must_use]
    pub fn times(self, times: usize) -> Self {
        Self { times: Some(times), ..self }
    }

    /// Only so often, 0 to 1.
    #[must_use]
    pub fn chance(self, chance: f64) -> Self {
        Self { chance, ..self }
    }
}

/// What the proxy does. Without rules it forwards and records.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Where chance comes from.
    pub seed: u64,
    /// The rules, in the order in which they are asked.
    pub rules: Vec<Rule>,
}

impl Rules {
    /// None: everything is forwarded.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// The same with chance from this seed.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// The same with one more rule.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// These requests wait.
    #[must_use]
    pub fn delay(self, which: Which, delay: Duration) -> Self {
        self.rule(Rule::new(which, Fate::Delay(delay)))
    }

    /// The first `times` of these are throttled.
    #[must_use]
    pub fn throttle(self, which: Which, times: usize) -> Self {
        self.rule(Rule::new(which, Fate::Throttle).times(times))
    }

    /// The first `times` of these fail with status 500.
    #[must_use]
    pub fn fail(self, which: Which, moment: Moment, times: usize) -> Self {
        self.rule(Rule::new(which, Fate::Fail(moment)).times(times))
    }

    /// The connections of the first `times` of these are dropped.
    #[must_use]
    pub fn drop(self, which: Which, moment: Moment, ending: Ending, times: usize) -> Self {
        self.rule(Rule::new(which, Fate::Drop(moment, ending)).times(times))
    }

    /// All of these are answered with an error; make it a [`Rule`] of its own to answer the first few so.
    #[must_use]
    pub fn answer(self, which: Which, refusal: Refusal) -> Self {
        self.rule(Rule::new(which, Fate::Answer(refusal)))
    }

    /// The credentials have expired for the requests with these numbers, of all.
    #[must_use]
    pub fn expire(self, numbers: RangeInclusive<usize>) -> Self {
        self.rule(Rule::new(Which::all().numbers(numbers), Fate::Expire))
    }

    /// The first of these kills whoever sent it.
    #[must_use]
    pub fn kill(self, which: Which, moment: Moment, killer: impl Fn() + Send + Sync + 'static) -> Self {
        let killer = Killer(Arc::new(killer));
        self.rule(Rule::new(which, Fate::Kill(moment, killer)).times(1))
    }
}

/// A number from 0 to 1 for a seed and text, the same for the same.
pub(super) fn chance(seed: u64, text: &str) -> f64 {
    // 53 bits are what a `f64` between 0 and 1 can tell apart.
    (mixed(seed, text) >> 11) as f64 / (1_u64 << 53) as f64
}

/// A number for a seed and text: Fowler, Noll and Vo's hash, stirred as in Steele, Lea and Flood's SplitMix64.
pub(super) fn mixed(seed: u64, text: &str) -> u64 {
    let start = 0xCBF2_9CE4_8422_2325_u64 ^ seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let hash = text.bytes().fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3));
    let mut mixed = hash.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
