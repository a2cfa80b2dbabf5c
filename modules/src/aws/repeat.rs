//! What the SDK may repeat by itself.
//!
//! Repeating is the engine's: it knows which change means the same when it is made twice, and what to look for before it is.
//! But a kind brings a creation about in several calls, and reads what it made in several more; if each of ten calls is refused
//! for a moment one time in four, a creation that begins anew each time never comes to its end. So a single call is repeated a few times
//! where that cannot do harm: when the service said no because there were too many requests, and when the call only reads or
//! sets what it names to a value. Everything else, a lost answer to a creation above all, is the engine's at once.

use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::retries::classifiers::{ClassifyRetry, RetryAction, RetryReason};
use aws_smithy_types::retry::ErrorKind;

/// How often one call is tried.
pub(super) const TRIES: u32 = 5;

/// How the names of actions begin that read, or set what they name to a value: twice is the same as once.
const SAME_TWICE: [&str; 8] = ["Describe", "Get", "List", "Head", "Put", "Attach", "Tag", "ModifyVpcAttribute"];

/// Judges by the request, after the SDK's own judges.
#[derive(Debug)]
pub(super) struct Repeatable;

impl ClassifyRetry for Repeatable {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        self.classify_retry_v2(context, &RetryAction::NoActionIndicated)
    }

    fn classify_retry_v2(&self, context: &InterceptorContext, previous: &RetryAction) -> RetryAction {
        match previous {
            RetryAction::RetryIndicated(RetryReason::RetryableError { kind: ErrorKind::ThrottlingError, .. }) => {
                RetryAction::NoActionIndicated
            }
            RetryAction::RetryIndicated(_) if !is_same_twice(context) => RetryAction::RetryForbidden,
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "forge: what means the same twice"
    }
}

fn is_same_twice(context: &InterceptorContext) -> bool {
    let Some(request) = context.request() else { return false };
    let named = |action: &str| SAME_TWICE.iter().any(|prefix| action.starts_with(prefix));
    if let Some(target) = request.headers().get("x-amz-target") {
        return target.rsplit('.').next().is_some_and(named);
    }
    let body = request.body().bytes().unwrap_or_default();
    if let Some(form) = std::str::from_utf8(body).ok().and_then(|body| body.strip_prefix("Action=")) {
        return form.split('&').next().is_some_and(named);
    }
    match request.method() {
        "GET" | "HEAD" => true,
        // A setting of a bucket; whole objects are written on conditions, which their own success would break.
        "PUT" => request.uri().split_once('?').is_some_and(|(_, query)| !query.starts_with("x-id=")),
        _ => false,
    }
}
