//! What the resources of a plan cost, before it and after it. Pure.
//!
//! A kind knows what one of its resources costs by its specification alone ([`crate::kind::Kind::hourly`]). Where that is not enough,
//! because the price follows from another resource that it refers to or from a list that was asked for, a [`Tariff`] of the
//! caller's says it.

use crate::address::Address;
use crate::kind::{Hourly, Kinds};
use crate::plan::{Action, Plan, Step};
use crate::value::{Output, Value};
use serde_json::{Value as Json, json};
use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashMap;

/// What resources cost.
pub trait Tariff {
    /// What a resource of this kind with this specification costs while it exists; none when that is not known.
    fn hourly(&self, kind: &str, spec: &Value, links: &Links<'_>) -> Option<Hourly>;
}

/// By its specification alone.
impl Tariff for Kinds {
    fn hourly(&self, kind: &str, spec: &Value, _links: &Links<'_>) -> Option<Hourly> {
        // What is not known yet is rarely what something is paid by.
        let stand_in = |_: &Output| Some(json!("(known after apply)"));
        self.get(kind)?.hourly(&spec.resolve(&stand_in).ok()?)
    }
}

/// On which side of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// As it is now.
    Before,
    /// As it will be.
    After,
}

/// Which resources the values of a plan refer to.
pub struct Links<'p> {
    plan: &'p Plan,
    side: Side,
    steps: OnceCell<Steps<'p>>,
}

/// By address; and by kind and the text of an output that is known.
struct Steps<'p> {
    addresses: HashMap<&'p Address, &'p Step>,
    outputs: HashMap<(&'p str, &'p str), &'p Step>,
}

impl<'p> Links<'p> {
    /// Those of a plan.
    #[must_use]
    pub fn of(plan: &'p Plan, side: Side) -> Self {
        Self { plan, side, steps: OnceCell::new() }
    }

    /// The step of the resource of this kind of which the value is an output, known or not.
    #[must_use]
    pub fn follow(&self, value: &Value, kind: &str) -> Option<&'p Step> {
        let steps = self.steps.get_or_init(|| Steps::of(self.plan));
        match value {
            Value::Output(output) => steps.addresses.get(&output.address).copied().filter(|step| step.kind == kind),
            Value::String(text) => steps.outputs.get(&(kind, text.as_str())).copied(),
            _ => None,
        }
    }

    /// The specification of that resource.
    #[must_use]
    pub fn spec(&self, value: &Value, kind: &str) -> Option<Cow<'p, Value>> {
        specification(self.follow(value, kind)?, self.side)
    }
}

impl<'p> Steps<'p> {
    fn of(plan: &'p Plan) -> Self {
        let (mut addresses, mut outputs) = (HashMap::new(), HashMap::new());
        // Beside the step of a resource there may be deletions of what stood there before it; they come last.
        for step in plan.steps.iter().rev() {
            addresses.insert(&step.address, step);
            for text in step.outputs.values().filter_map(Json::as_str) {
                outputs.insert((step.kind.as_str(), text), step);
            }
        }
        Self { addresses, outputs }
    }
}

/// The specification of a step's resource on one side of a plan.
#[must_use]
pub fn specification(step: &Step, side: Side) -> Option<Cow<'_, Value>> {
    let stays = matches!(step.action, Action::NoOp | Action::Adopt);
    match (side, &step.desired) {
        (Side::After, Some(desired)) => Some(Cow::Borrowed(desired)),
        (Side::Before, Some(desired)) if stays => Some(Cow::Borrowed(desired)),
        // What stays as it is may be known by its record alone.
        _ => step.before.as_deref().map(|before| Cow::Owned(Value::from(before.clone()))),
    }
}

/// What a resource costs: not at all because it is not there, so much, or nobody knows.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Price {
    /// It is not there.
    #[default]
    Absent,
    /// US dollars per hour.
    Known(f64),
    /// It costs something that is not known.
    Unknown,
}

impl Price {
    fn of(hourly: Option<Hourly>) -> Self {
        hourly.map_or(Self::Unknown, |hourly| Self::Known(hourly.0))
    }

    /// US dollars per hour; nothing for what is not there, none when it is not known.
    #[must_use]
    pub fn usd_per_hour(self) -> Option<f64> {
        match self {
            Self::Absent => Some(0.0),
            Self::Known(price) => Some(price),
            Self::Unknown => None,
        }
    }
}

/// What one resource costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Item<'p> {
    /// What happens to it.
    pub step: &'p Step,
    /// Before the plan.
    pub before: Price,
    /// After it.
    pub after: Price,
}

/// What every resource of a plan costs, in the plan's order.
#[must_use]
pub fn bill<'p>(plan: &'p Plan, tariff: &dyn Tariff) -> Vec<Item<'p>> {
    let (before, after) = (Links::of(plan, Side::Before), Links::of(plan, Side::After));
    let price = |step: &Step, side, links: &Links<'_>| {
        Price::of(specification(step, side).and_then(|spec| tariff.hourly(&step.kind, &spec, links)))
    };
    let item = |step: &'p Step| {
        let was = || price(step, Side::Before, &before);
        let will = || price(step, Side::After, &after);
        let (before, after) = match step.action {
            Action::NoOp | Action::Adopt => {
                let stays = will();
                (stays, stays)
            }
            Action::Create => (Price::Absent, will()),
            Action::Update | Action::ReplaceCreateFirst | Action::ReplaceDeleteFirst => (was(), will()),
            Action::Delete => (was(), Price::Absent),
            Action::Forget => (Price::Absent, Price::Absent),
        };
        Item { step, before, after }
    };
    plan.steps.iter().map(item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Deployment;
    use crate::plan::{Purpose, SCHEMA};
    use std::collections::BTreeSet;

    /// Pods cost what the template that they name says.
    struct ByTemplate;

    impl Tariff for ByTemplate {
        fn hourly(&self, kind: &str, spec: &Value, links: &Links<'_>) -> Option<Hourly> {
            let Value::Map(fields) = spec else { return None };
            let number = |fields: &std::collections::BTreeMap<String, Value>| match fields.get("price") {
                Some(Value::Number(price)) => price.as_f64().map(Hourly),
                _ => None,
            };
            match kind {
                "test.template" => Some(Hourly(0.0)),
                _ => match links.spec(fields.get("template")?, "test.template")?.as_ref() {
                    Value::Map(template) => number(template),
                    _ => None,
                },
            }
        }
    }

    fn step(address: &str, kind: &str, action: Action, desired: Option<Value>, before: Option<Json>) -> Step {
        Step { desired, before: before.map(Into::into), ..Step::new(&Address::new(address), kind, action) }
    }

    #[test]
    fn a_price_follows_from_what_is_referred_to_before_and_after() {
        let template = Value::from(json!({"price": 3}));
        let mut changed =
            step("a.template", "test.template", Action::Update, Some(template), Some(json!({"price": 2})));
        changed.outputs = std::collections::BTreeMap::from([("id".to_owned(), json!("t-1"))]).into();
        let unknown = Value::Output(Output { address: Address::new("a.template"), name: "id".to_owned() });
        let refers = |to: Value| Some(Value::Map([("template".to_owned(), to)].into()));
        let known = || refers(Value::String("t-1".to_owned()));
        let steps = vec![
            changed,
            step("new", "test.pod", Action::Create, refers(unknown), None),
            step("same", "test.pod", Action::NoOp, known(), None),
            step("grown", "test.pod", Action::Update, known(), Some(json!({"template": "t-1"}))),
            step("gone", "test.pod", Action::Delete, None, Some(json!({"template": "t-1"}))),
            step("lost", "test.pod", Action::Create, refers(Value::String("t-2".to_owned())), None),
            step("forgotten", "test.pod", Action::Forget, None, None),
        ];
        let plan = Plan {
            schema: SCHEMA,
            deployment: Deployment("llama".to_owned()),
            purpose: Purpose::Up,
            serial: 0,
            steps,
            operations: Vec::new(),
            never_happened: Vec::new(),
            undecided: Vec::new(),
            kept: Vec::new(),
            left_out: BTreeSet::new(),
        };
        let bill = bill(&plan, &ByTemplate);
        let prices: Vec<_> = bill.iter().map(|item| (item.before, item.after)).collect();
        let (two, three) = (Price::Known(2.0), Price::Known(3.0));
        let free = Price::Known(0.0);
        assert_eq!(
            prices,
            [
                (free, free),
                (Price::Absent, three),
                (three, three),
                (two, three),
                (two, Price::Absent),
                (Price::Absent, Price::Unknown),
                (Price::Absent, Price::Absent),
            ]
        );
    }
}
