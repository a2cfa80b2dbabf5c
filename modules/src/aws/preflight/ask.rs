//! What AWS says: every question that a plan raises, all at once.
//!
//! One request answers for everything of its sort, and nothing is asked that no check needs. A question has a deadline in which it
//! is asked again when AWS throttles or stumbles; whatever comes of it, the others go on.

use super::permissions::{self, Judged};
use super::quotas::{self, Held};
use super::wants::Wants;
use super::{addresses, catalogue, instances, offering, zones};
use crate::aws::error::Answer;
use crate::aws::least_privilege::Wanted;
use crate::aws::{Caller, Cloud};
use crate::instance_types::InstanceType;
use forge_engine::kind::{ErrorClass, KindError};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

/// For how long one question is asked. A plan waits for all of them together as long as for the slowest.
const DEADLINE: Duration = Duration::from_secs(10);
/// The first pause after AWS has throttled; each is twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(200);

/// An answer, or why there is none.
pub(super) type Said<T> = Result<T, String>;

/// What AWS says. What was not asked is none.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub(super) region: String,
    /// The zones of the region, by name.
    pub(super) zones: Option<Said<BTreeMap<String, zones::Zone>>>,
    /// In which zones each type is offered.
    pub(super) offerings: Option<Said<BTreeMap<String, BTreeSet<String>>>>,
    /// What EC2 says of the types.
    pub(super) types: Option<Said<BTreeMap<String, InstanceType>>>,
    /// The instances that run, and the places that are reserved for some.
    pub(super) running: Option<Said<Vec<instances::Running>>>,
    pub(super) reserved: Option<Said<Vec<instances::Kept>>>,
    /// Quotas by code.
    pub(super) quotas: BTreeMap<&'static str, Said<f64>>,
    /// What there is, by kind.
    pub(super) held: BTreeMap<&'static str, Said<Held>>,
    /// The subnets of the account, by identifier.
    pub(super) subnets: Option<Said<BTreeMap<String, addresses::Subnet>>>,
    /// What the caller may do.
    pub(super) permissions: Option<Said<Judged>>,
}

/// Asks what the checks need to know.
pub(super) async fn ask(cloud: &Cloud, wants: &Wants, wanted: &Wanted<'_>, caller: Option<&Caller>) -> Answers {
    let types = wants.types();
    let has_types = !types.is_empty();
    let has_zones = !wants.zones.is_empty() || !wants.cluster_zones.is_empty();
    let nats = wants.added.contains_key("aws.nat_gateway");
    let (zones, offerings, types, running, reserved, quotas, held, subnets, permissions) = tokio::join!(
        Box::pin(when(has_zones, || zones::ask(cloud))),
        Box::pin(when(has_types, || offering::ask(cloud, &types))),
        Box::pin(when(has_types, || catalogue::ask(cloud, &types))),
        Box::pin(when(has_types, || instances::running(cloud))),
        Box::pin(when(has_types, || instances::reserved(cloud))),
        Box::pin(quotas::limits(cloud, wants)),
        Box::pin(quotas::held(cloud, wants)),
        Box::pin(when(nats || wants.has_living_places(), || addresses::ask(cloud))),
        Box::pin(permissions(cloud, wanted, caller)),
    );
    let region = wanted.region.unwrap_or("this region").to_owned();
    Answers { region, zones, offerings, types, running, reserved, quotas, held, subnets, permissions }
}

async fn permissions(cloud: &Cloud, wanted: &Wanted<'_>, caller: Option<&Caller>) -> Option<Said<Judged>> {
    // Who it is has been said to be unknown already.
    let caller = caller?;
    Some(permissions::ask(cloud, wanted, caller).await)
}

async fn when<T, F>(needed: bool, question: impl Fn() -> F) -> Option<Said<T>>
where
    F: Future<Output = Result<T, KindError>>,
{
    if needed { Some(patiently(question).await) } else { None }
}

/// Asks until there is an answer, AWS refuses, or the time is over.
pub(super) async fn patiently<T, F>(question: impl Fn() -> F) -> Said<T>
where
    F: Future<Output = Result<T, KindError>>,
{
    let last = RefCell::new(None);
    let tries = async {
        let mut pause = PAUSE;
        loop {
            match question().await {
                Ok(answer) => return Ok(answer),
                Err(error) if passes(&error) => {
                    *last.borrow_mut() = Some(chain(&error));
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                Err(error) => return Err(chain(&error)),
            }
        }
    };
    let over = |_| {
        let last = last.borrow().as_ref().map(|last: &String| format!(": {last}")).unwrap_or_default();
        Err(format!("no answer within {} seconds{last}", DEADLINE.as_secs()))
    };
    tokio::time::timeout(DEADLINE, tries).await.unwrap_or_else(over)
}

/// True of what may go better in a moment. A service that lacks the call, as one that stands in for AWS may, never answers.
fn passes(error: &KindError) -> bool {
    let lacks = error.message.contains("HTTP 501") || error.message.contains("NotImplemented");
    matches!(error.class, ErrorClass::Throttled | ErrorClass::Transient) && !lacks
}

fn chain(error: &KindError) -> String {
    forge_engine::apply::chain(error).join(": ")
}

/// A number that AWS gives as a signed one.
pub(super) fn number(number: Option<i32>) -> u32 {
    number.and_then(|number| u32::try_from(number).ok()).unwrap_or(0)
}

/// Quotas of Service Quotas, with the code for which AWS has none of the account's own.
pub(super) async fn quota(cloud: &Cloud, service: &str, code: &str) -> Result<f64, KindError> {
    const CALL: &str = "servicequotas:GetServiceQuota";
    const DEFAULT: &str = "servicequotas:GetAWSDefaultServiceQuota";
    let client = cloud.quotas().await;
    let own = client.get_service_quota().service_code(service).quota_code(code).send().await;
    let own = own.unless(&["NoSuchResourceException"], cloud, CALL)?.and_then(|answer| answer.quota);
    if let Some(value) = own.and_then(|quota| quota.value) {
        return Ok(value);
    }
    let usual = client.get_aws_default_service_quota().service_code(service).quota_code(code).send().await;
    let usual = usual.of(cloud, DEFAULT)?.quota.and_then(|quota| quota.value);
    usual.ok_or_else(|| crate::aws::cloud::empty(DEFAULT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn error(class: ErrorClass, message: &str) -> KindError {
        KindError { class, ..KindError::terminal(message) }
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_is_asked_again_while_that_can_help_and_not_for_ever() {
        let asked = Cell::new(0);
        let twice = patiently(|| async {
            asked.set(asked.get() + 1);
            if asked.get() < 3 { Err(error(ErrorClass::Throttled, "slow down")) } else { Ok(7) }
        });
        assert_eq!(twice.await, Ok(7));
        asked.set(0);
        let refused = patiently(|| async {
            asked.set(asked.get() + 1);
            Err::<(), _>(error(ErrorClass::Terminal, "no"))
        });
        assert_eq!((refused.await, asked.get()), (Err("no".to_owned()), 1));
        let never = patiently(|| async { Err::<(), _>(error(ErrorClass::Transient, "ec2:X: no answer")) });
        assert_eq!(never.await, Err("no answer within 10 seconds: ec2:X: no answer".to_owned()));
        let lacks = patiently(|| async { Err::<(), _>(error(ErrorClass::Transient, "ec2:X: an answer of HTTP 501")) });
        assert_eq!(lacks.await, Err("ec2:X: an answer of HTTP 501".to_owned()));
        let silent = patiently(std::future::pending::<Result<(), KindError>>);
        assert_eq!(silent.await, Err("no answer within 10 seconds".to_owned()));
    }
}
