//! What AWS says when a call fails, and what follows from it.
//!
//! AWS names each failure with a code. The tables here sort codes into the engine's classes ([`ErrorClass`]), which decide
//! whether a call is repeated, and give the advice that a user sees. The codes are those of the service models (botocore
//! 1.43.106), EC2's page "Error codes for the Amazon EC2 API", and what eksctl, Karpenter and Terraform have had to learn
//! about roles that are not known everywhere yet.
//!
//! Two traps: IAM's `LimitExceeded` is a quota while others' `LimitExceededException` is a throttle; and
//! `InsufficientReservedInstanceCapacity` speaks of Reserved Instances, not of capacity reservations.

use super::cloud::Cloud;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ec2::config::http::HttpResponse;
use aws_sdk_ec2::error::{BuildError, ProvideErrorMetadata, SdkError};
use forge_engine::kind::{ErrorClass, KindError};
use std::error::Error;

/// Slow down.
const THROTTLED: &[&str] = &[
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottledException",
    "RequestThrottled",
    "TooManyRequestsException",
    "ProvisionedThroughputExceededException",
    "TransactionInProgressException",
    "RequestLimitExceeded",
    "BandwidthLimitExceeded",
    "SlowDown",
    "PriorRequestNotComplete",
    "EC2ThrottledException",
    "LimitExceededException",
];

/// A fault of the service that passes.
const TRANSIENT: &[&str] = &[
    "RequestTimeout",
    "RequestTimeoutException",
    "ConcurrentTagAccess",
    "InternalError",
    "InternalFailure",
    "ServerInternal",
    "Unavailable",
    "ServiceUnavailable",
    "ServerException",
    "ServiceUnavailableException",
    "InternalServerError",
    "ConditionalRequestConflict",
    "OperationAborted",
    "ConcurrentModification",
    "ResourceContention",
];

/// No capacity here and now.
const CAPACITY: &[&str] = &[
    "InsufficientInstanceCapacity",
    "UnfulfillableCapacity",
    "InsufficientFreeAddressesInSubnet",
    "MaxFleetCountExceeded",
    "ReservationCapacityExceeded",
    "InsufficientHostCapacity",
    "InsufficientCapacity",
    "InsufficientAddressCapacity",
    "InsufficientVolumeCapacity",
    "SpotMaxPriceTooLow",
    "Unsupported",
];

/// A quota of the account is used up.
const QUOTA: &[&str] = &[
    "VcpuLimitExceeded",
    "InstanceLimitExceeded",
    "VpcLimitExceeded",
    "AddressLimitExceeded",
    "SubnetLimitExceeded",
    "NetworkInterfaceLimitExceeded",
    "PlacementGroupLimitExceeded",
    "NatGatewayLimitExceeded",
    "RouteTableLimitExceeded",
    "InternetGatewayLimitExceeded",
    "VpcEndpointLimitExceeded",
    "SecurityGroupLimitExceeded",
    "RulesPerSecurityGroupLimitExceeded",
    "MaxTemplateLimitExceeded",
    "MaxTemplateVersionLimitExceeded",
    "MaxSpotInstanceCountExceeded",
    "SecurityGroupsPerInterfaceLimitExceeded",
    "ResourceLimitExceededException",
    "ResourceLimitExceeded",
    "ServiceLimitExceeded",
    "ServiceQuotaExceededException",
    "TooManyBuckets",
    "LimitExceeded",
];

/// A bucket of another region than the one that was asked.
const ELSEWHERE: &[&str] = &["PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"];

/// Somebody still needs it: its users are on their way out, and their last traces take a while to go.
const IN_USE: &[&str] = &[
    "DependencyViolation",
    "InvalidGroup.InUse",
    "InvalidNetworkInterface.InUse",
    "ResourceInUse",
    "ResourceInUseException",
    "ResourceInUseFault",
    "DeleteConflict",
    "InvalidPlacementGroup.InUse",
    "InvalidIPAddress.InUse",
    "BucketNotEmpty",
    "ScalingActivityInProgress",
    "EntityTemporarilyUnmodifiable",
];

/// What a call was given a moment ago is past its time. Nothing was bought: the next try chooses anew.
const STALE: &[&str] = &["InvalidCapacityBlockOfferingIdExpired", "InvalidCapacityBlockOfferingIdNotFound"];

/// There is no such thing, said in another way than `…NotFound…`.
const ABSENT: &[&str] = &[
    "NoSuchEntity",
    "NoSuchBucket",
    "NoSuchKey",
    "NoSuchTagSet",
    "InvalidPlacementGroup.Unknown",
    "NoSuchBucketPolicy",
    "NoSuchLifecycleConfiguration",
    "NoSuchPublicAccessBlockConfiguration",
    "ServerSideEncryptionConfigurationNotFoundError",
    "404",
    "NotFound",
];

/// There is one already, where a kind did not expect it: what it does expect it deals with itself.
const EXISTS: &[&str] = &[
    "EntityAlreadyExists",
    "InvalidGroup.Duplicate",
    "InvalidPermission.Duplicate",
    "InvalidKeyPair.Duplicate",
    "InvalidPlacementGroup.Duplicate",
    "RouteAlreadyExists",
    "Resource.AlreadyAssociated",
    "InvalidLaunchTemplateName.AlreadyExistsException",
    "BucketAlreadyOwnedByYou",
    "AlreadyExists",
    "ConflictException",
];

/// The credentials are past their time.
const EXPIRED: &[&str] = &["ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"];

/// True when a code says that the credentials are past their time.
pub(super) fn is_expired(code: &str) -> bool {
    EXPIRED.contains(&code)
}

/// The account may not do it.
const FORBIDDEN: &[&str] = &[
    "UnauthorizedOperation",
    "AccessDenied",
    "AccessDeniedException",
    "UnauthorizedAccess",
    "NotAuthorized",
    "OptInRequired",
];

/// The credentials are not accepted at all.
const UNKNOWN_CALLER: &[&str] = &[
    "AuthFailure",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "SignatureDoesNotMatch",
    "InvalidAccessKeyId",
    "IncompleteSignature",
];

/// What Auto Scaling says while it does not yet know a launch template that EC2 has just made ("You must use a valid
/// fully-formed launch template. The specified launch template … does not exist.").
const TEMPLATE_NOT_KNOWN_YET: &str = "The specified launch template";

/// What a service says while it does not yet know a role that IAM has just made: service prefix of the call, code, part of
/// the message (terraform-provider-aws, Karpenter).
const ROLE_NOT_KNOWN_YET: &[(&str, &str, &str)] = &[
    ("ec2", "InvalidParameterValue", "Invalid IAM Instance Profile"),
    ("autoscaling", "ValidationError", "Invalid IAM Instance Profile"),
    ("eks", "InvalidParameterException", "does not exist"),
    ("eks", "InvalidParameterException", "Error in role params"),
    ("eks", "InvalidParameterException", "Role could not be assumed because the trusted entity is not correct"),
    ("eks", "InvalidParameterException", "The provided role doesn't have the Amazon EKS Managed Policies"),
    ("eks", "InvalidParameterException", "IAM role's policy must include"),
    ("eks", "InvalidRequestException", "does not exist"),
    ("iam", "MalformedPolicyDocument", "Invalid principal"),
    ("", "", "cannot be assumed"),
];

/// True when a code says that there is no such thing.
pub(super) fn is_absent(code: &str) -> bool {
    ABSENT.contains(&code) || code.contains("NotFound") && code != "InvalidInternetGatewayID.NotFoundInVpc"
}

/// How a code is to be dealt with, and what to do about it.
///
/// `call` is the IAM action: `ec2:CreateVpc`. `status` is that of HTTP, where there was an answer.
#[must_use]
pub(super) fn classify(call: &str, code: &str, message: &str, status: Option<u16>) -> (ErrorClass, Option<String>) {
    let service = call.split(':').next().unwrap_or_default();
    let is = |table: &[&str]| table.contains(&code);
    let role = ROLE_NOT_KNOWN_YET.iter().any(|(of, with, part)| {
        (of.is_empty() || *of == service) && (with.is_empty() || *with == code) && message.contains(part)
    });
    let again = "Run the same command again: it goes on from here.";
    if is(QUOTA) {
        let service = if matches!(service, "ec2" | "autoscaling")
            && is(&["VcpuLimitExceeded", "InstanceLimitExceeded", "MaxSpotInstanceCountExceeded"])
        {
            "ec2"
        } else {
            service
        };
        let help = format!(
            "A quota of the account is used up. Ask for a higher one in Service Quotas (service {service}), or delete what is not needed any more. {again}"
        );
        return (ErrorClass::Terminal, Some(help));
    }
    if is(THROTTLED) || status == Some(429) {
        return (ErrorClass::Throttled, None);
    }
    if is(EXPIRED) {
        let help = format!(
            "The credentials have expired. Renew them (`aws sso login`, or new ones in the environment). {again}"
        );
        return (ErrorClass::NotYetVisible, Some(help));
    }
    if is(UNKNOWN_CALLER) {
        let help = "AWS does not accept these credentials. Look at AWS_PROFILE, AWS_ACCESS_KEY_ID and the region.";
        return (ErrorClass::Terminal, Some(help.to_owned()));
    }
    if is(FORBIDDEN) {
        let help = format!(
            "Allow {call} to who runs forge; `forge up --print-policy` prints all that this blueprint needs. {again}"
        );
        return (ErrorClass::Terminal, Some(help));
    }
    if is(CAPACITY) {
        let help = match code {
            "InsufficientFreeAddressesInSubnet" => {
                "The subnet has no free addresses left: give the network a larger CIDR, or fewer nodes a place in it."
            }
            "InsufficientAddressCapacity" => {
                "AWS has no public addresses to give in this region now: try again later, or take another region."
            }
            "ReservationCapacityExceeded" => {
                "The reservation or capacity block is full: end what runs in it, or ask for fewer nodes."
            }
            "Unsupported" => {
                "This is not offered there: another zone, another type, or another way of paying (`capacity`)."
            }
            _ => {
                "AWS has none to give there now: list more in `capacity`, let it choose another zone, or reserve some."
            }
        };
        return (ErrorClass::Capacity, Some(help.to_owned()));
    }
    if is(STALE) {
        let help = "What was chosen is not there any more: it is chosen anew when this is tried again.";
        return (ErrorClass::NotYetVisible, Some(help.to_owned()));
    }
    if code == "InvalidCapacityReservationState.PendingActivation" {
        let help = "The capacity block has not begun yet; it begins at the time that `forge plan` shows.";
        return (ErrorClass::NotYetVisible, Some(help.to_owned()));
    }
    let template = service == "autoscaling" && code == "ValidationError" && message.contains(TEMPLATE_NOT_KNOWN_YET);
    if role || template || is_absent(code) || is(IN_USE) {
        let help = if is(IN_USE) {
            "Something still needs it. If it is not forge's own, delete it, then run the same command again."
        } else if role {
            "AWS still does not know the role, which takes it two minutes at most. Look whether it is there and whom it trusts."
        } else {
            "What it refers to is not there any more: `forge plan` shows what has changed."
        };
        return (ErrorClass::NotYetVisible, Some(help.to_owned()));
    }
    if is(ELSEWHERE) {
        let help = "The bucket is in another region than the one of the blueprint (`aws: { region: … }`).";
        return (ErrorClass::Terminal, Some(help.to_owned()));
    }
    if code == "BucketAlreadyExists" {
        let help = "Names of buckets are unique in the world, and somebody else has this one: choose another `name`.";
        return (ErrorClass::Terminal, Some(help.to_owned()));
    }
    if is(TRANSIENT) || status.is_some_and(|status| status >= 500) {
        return (ErrorClass::Transient, None);
    }
    let help = match code {
        "InvalidSubnet.Conflict" => {
            "Its addresses are another subnet's already: give the network another CIDR, or delete the other subnet if \
             nobody needs it."
        }
        "InvalidLaunchTargets" => {
            "Look whether the reservation or capacity block is there, has begun, and has places left for this type."
        }
        "IdempotentInstanceTerminated" => {
            "The instance that this call has made is gone again. Run the same command again: it makes another one."
        }
        _ if is(EXISTS) => {
            "There is one already, and it is not this deployment's: rename one of them, or delete the other one if \
             nobody needs it."
        }
        _ => "AWS does not take this as it is: change what it names in the blueprint, then run the same command again.",
    };
    (ErrorClass::Terminal, Some(help.to_owned()))
}

/// True of a text in which AWS says, long after a call, that there is no capacity: a node group and an auto-scaling group
/// tell so in their health and in their activities, with the code of EC2 in the words.
#[must_use]
pub fn lacks_capacity(told: &str) -> bool {
    CAPACITY.iter().filter(|code| **code != "Unsupported").any(|code| told.contains(code))
}

/// What AWS says of a failure, classified.
pub(super) fn said(call: &str, code: &str, message: &str, status: Option<u16>) -> KindError {
    let (class, help) = classify(call, code, message, status);
    KindError { class, message: format!("{call}: {message} ({code})"), help, source: None }
}

/// What came of a call.
pub(super) trait Answer<T> {
    /// The answer.
    ///
    /// # Errors
    /// Classified, in AWS's own words.
    fn of(self, cloud: &Cloud, call: &'static str) -> Result<T, KindError>;

    /// The answer; none when what the call is about is not there.
    ///
    /// # Errors
    /// Classified, in AWS's own words.
    fn of_present(self, cloud: &Cloud, call: &'static str) -> Result<Option<T>, KindError>;

    /// The answer; none when the call failed with one of these codes.
    ///
    /// # Errors
    /// Classified, in AWS's own words.
    fn unless(self, codes: &[&str], cloud: &Cloud, call: &'static str) -> Result<Option<T>, KindError>;
}

impl<T, E> Answer<T> for Result<T, SdkError<E, HttpResponse>>
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    fn of(self, cloud: &Cloud, call: &'static str) -> Result<T, KindError> {
        self.map_err(|error| failed(cloud, call, error))
    }

    fn of_present(self, cloud: &Cloud, call: &'static str) -> Result<Option<T>, KindError> {
        match self {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.code().is_some_and(is_absent) => Ok(None),
            Err(error) => Err(failed(cloud, call, error)),
        }
    }

    fn unless(self, codes: &[&str], cloud: &Cloud, call: &'static str) -> Result<Option<T>, KindError> {
        match self {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.code().is_some_and(|code| codes.contains(&code)) => Ok(None),
            Err(error) => Err(failed(cloud, call, error)),
        }
    }
}

fn failed<E>(cloud: &Cloud, call: &'static str, error: SdkError<E, HttpResponse>) -> KindError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let status = error.raw_response().map(|response| response.status().as_u16());
    match (error.code(), &error) {
        (Some(code), _) => {
            let message = error.message().unwrap_or("no reason given").trim();
            cloud.notice(code);
            said(call, code, message, status)
        }
        // Neither a request that was never sent nor one without an answer has a code.
        (None, SdkError::ConstructionFailure(_)) => {
            KindError::caused(format!("{call} cannot be asked"), Chain(chain(&error)))
        }
        (None, _) => match without_credentials(&error) {
            Some(why) => {
                KindError::caused(format!("{call}: there are no AWS credentials"), Chain(why)).help(CREDENTIALS)
            }
            None => {
                let message = match status {
                    Some(status) => format!("{call}: an answer of HTTP {status} that cannot be understood"),
                    None => format!("{call}: no answer"),
                };
                let source = Some(Box::new(Chain(chain(&error))) as _);
                KindError { class: ErrorClass::Transient, message, help: None, source }
            }
        },
    }
}

/// What to do without credentials.
pub(super) const CREDENTIALS: &str = "Run `aws sso login`, name a profile (`aws: { profile: … }` in the blueprint, or AWS_PROFILE), or set \
     AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.";

/// Why there are no credentials, when it is for that that a call failed.
pub(super) fn without_credentials(error: &(dyn Error + 'static)) -> Option<String> {
    causes(error).find_map(|error| error.downcast_ref::<CredentialsError>()).map(|error| chain(error))
}

fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

/// An error and its causes in one line, none of them twice.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    for error in causes(error) {
        let text = error.to_string();
        if texts.iter().all(|earlier| !earlier.contains(&text)) {
            texts.push(text);
        }
    }
    texts.join(": ")
}

/// A request that lacks what it must have; none of the kinds makes one.
pub(super) fn unbuilt(error: BuildError) -> KindError {
    KindError::caused("a request to AWS lacks what it must have", error)
}

/// An SDK's error in one line; its types differ by call and the chain is all that matters of it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Chain(String);

#[cfg(test)]
mod tests {
    use super::*;
    use ErrorClass::{Capacity, NotYetVisible, Terminal, Throttled, Transient};

    /// Call, codes, how it is dealt with, and what the advice has in it.
    type Sort = (&'static str, &'static [&'static str], ErrorClass, Option<&'static str>);

    const SORTS: &[Sort] = &[
        (
            "ec2:RunInstances",
            &[
                "InsufficientInstanceCapacity",
                "UnfulfillableCapacity",
                "MaxFleetCountExceeded",
                "InsufficientHostCapacity",
                "InsufficientCapacity",
                "InsufficientVolumeCapacity",
                "SpotMaxPriceTooLow",
            ],
            Capacity,
            Some("list more in `capacity`"),
        ),
        ("ec2:RunInstances", &["Unsupported"], Capacity, Some("not offered there")),
        ("ec2:RunInstances", &["InsufficientFreeAddressesInSubnet"], Capacity, Some("larger CIDR")),
        ("ec2:RunInstances", &["ReservationCapacityExceeded"], Capacity, Some("reservation or capacity block is full")),
        ("ec2:AllocateAddress", &["InsufficientAddressCapacity"], Capacity, Some("another region")),
        (
            "ec2:RunInstances",
            &[
                "VcpuLimitExceeded",
                "InstanceLimitExceeded",
                "VpcLimitExceeded",
                "AddressLimitExceeded",
                "NetworkInterfaceLimitExceeded",
                "PlacementGroupLimitExceeded",
                "NatGatewayLimitExceeded",
                "InternetGatewayLimitExceeded",
                "VpcEndpointLimitExceeded",
                "MaxTemplateLimitExceeded",
                "MaxTemplateVersionLimitExceeded",
                "MaxSpotInstanceCountExceeded",
            ],
            Terminal,
            Some("Service Quotas (service ec2)"),
        ),
        ("eks:CreateCluster", &["ResourceLimitExceededException"], Terminal, Some("Service Quotas (service eks)")),
        ("fsx:CreateFileSystem", &["ServiceLimitExceeded"], Terminal, Some("Service Quotas (service fsx)")),
        ("fsx:CreateFileSystem", &["ServiceQuotaExceededException"], Terminal, Some("Service Quotas")),
        // The trap: with and without "Exception".
        ("iam:CreateRole", &["LimitExceeded"], Terminal, Some("Service Quotas (service iam)")),
        (
            "ec2:CreateVpc",
            &[
                "Throttling",
                "ThrottlingException",
                "ThrottledException",
                "RequestThrottledException",
                "RequestThrottled",
                "TooManyRequestsException",
                "ProvisionedThroughputExceededException",
                "TransactionInProgressException",
                "RequestLimitExceeded",
                "BandwidthLimitExceeded",
                "SlowDown",
                "PriorRequestNotComplete",
                "EC2ThrottledException",
                "LimitExceededException",
            ],
            Throttled,
            None,
        ),
        (
            "ec2:CreateVpc",
            &[
                "RequestTimeout",
                "RequestTimeoutException",
                "ConcurrentTagAccess",
                "InternalError",
                "InternalFailure",
                "ServerInternal",
                "Unavailable",
                "ServiceUnavailable",
                "ServerException",
                "ServiceUnavailableException",
                "ConcurrentModification",
                "ResourceContention",
            ],
            Transient,
            None,
        ),
        (
            "ec2:CreateRoute",
            &[
                "InvalidVpcID.NotFound",
                "InvalidSubnetID.NotFound",
                "InvalidGroup.NotFound",
                "InvalidRouteTableID.NotFound",
                "InvalidInternetGatewayID.NotFound",
                "InvalidAllocationID.NotFound",
                "NatGatewayNotFound",
                "InvalidNatGatewayID.NotFound",
                "InvalidSecurityGroupID.NotFound",
                "InvalidVpcEndpointId.NotFound",
                "InvalidNetworkInterfaceID.NotFound",
                "InvalidLaunchTemplateId.NotFound",
                "InvalidLaunchTemplateName.NotFoundException",
                "InvalidInstanceID.NotFound",
                "InvalidPlacementGroup.Unknown",
                "InvalidCapacityReservationId.NotFound",
                "NoSuchEntity",
                "ResourceNotFoundException",
                "FileSystemNotFound",
                "NoSuchBucket",
            ],
            NotYetVisible,
            Some("not there any more"),
        ),
        (
            "ec2:DeleteVpc",
            &[
                "DependencyViolation",
                "InvalidGroup.InUse",
                "InvalidNetworkInterface.InUse",
                "ResourceInUse",
                "ResourceInUseException",
                "DeleteConflict",
                "InvalidPlacementGroup.InUse",
                "InvalidIPAddress.InUse",
                "BucketNotEmpty",
                "EntityTemporarilyUnmodifiable",
                "ScalingActivityInProgress",
            ],
            NotYetVisible,
            Some("Something still needs it"),
        ),
        ("ec2:CreateSubnet", &["InvalidSubnet.Conflict"], Terminal, Some("another CIDR")),
        (
            "ec2:AuthorizeSecurityGroupIngress",
            &[
                "EntityAlreadyExists",
                "InvalidGroup.Duplicate",
                "InvalidPermission.Duplicate",
                "InvalidKeyPair.Duplicate",
                "InvalidPlacementGroup.Duplicate",
                "RouteAlreadyExists",
                "Resource.AlreadyAssociated",
                "InvalidLaunchTemplateName.AlreadyExistsException",
                "BucketAlreadyOwnedByYou",
                "AlreadyExists",
                "ConflictException",
            ],
            Terminal,
            Some("rename one of them"),
        ),
        (
            "ec2:PurchaseCapacityBlock",
            &["InvalidCapacityBlockOfferingIdExpired", "InvalidCapacityBlockOfferingIdNotFound"],
            NotYetVisible,
            Some("chosen anew"),
        ),
        (
            "ec2:RunInstances",
            &["InvalidCapacityReservationState.PendingActivation"],
            NotYetVisible,
            Some("has not begun yet"),
        ),
        ("ec2:RunInstances", &["InvalidLaunchTargets"], Terminal, Some("has begun, and has places left")),
        ("ec2:RunInstances", &["IdempotentInstanceTerminated"], Terminal, Some("it makes another one")),
        ("ec2:CreateVpc", &["RequestExpired", "ExpiredToken"], NotYetVisible, Some("`aws sso login`")),
        ("ec2:CreateVpc", &["UnauthorizedOperation", "AccessDenied"], Terminal, Some("Allow ec2:CreateVpc")),
        ("ec2:CreateVpc", &["AuthFailure", "InvalidClientTokenId"], Terminal, Some("AWS_PROFILE")),
        ("s3:CreateBucket", &["PermanentRedirect"], Terminal, Some("in another region")),
        ("s3:CreateBucket", &["BucketAlreadyExists"], Terminal, Some("choose another `name`")),
        ("ec2:CreateVpc", &["InvalidParameterValue"], Terminal, Some("in the blueprint")),
    ];

    #[test]
    fn every_code_has_its_class_and_its_advice() {
        for (call, codes, class, advice) in SORTS {
            for code in *codes {
                let (found, help) = classify(call, code, "", Some(400));
                assert_eq!(found, *class, "{code}");
                let advises = |advice: &str| help.as_deref().is_some_and(|help| help.contains(advice));
                assert!(advice.map_or(help.is_none(), advises), "{code}: {help:?}");
            }
        }
        for status in [500, 502, 503, 504] {
            assert_eq!(classify("ec2:CreateVpc", "Whatever", "", Some(status)).0, Transient);
        }
        assert_eq!(classify("eks:CreateCluster", "Whatever", "", Some(429)).0, Throttled);
    }

    #[test]
    fn a_role_that_is_not_known_yet_is_told_by_the_words() {
        for (call, code, words) in [
            (
                "ec2:RunInstances",
                "InvalidParameterValue",
                "Value (x) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name",
            ),
            ("eks:CreateCluster", "InvalidParameterException", "Role with arn: x, does not exist"),
            ("eks:CreateCluster", "InvalidParameterException", "Error in role params"),
            (
                "eks:CreateNodegroup",
                "InvalidParameterException",
                "Role could not be assumed because the trusted entity is not correct",
            ),
            (
                "eks:CreateCluster",
                "InvalidParameterException",
                "The provided role doesn't have the Amazon EKS Managed Policies associated with it",
            ),
            ("eks:CreateCluster", "InvalidParameterException", "IAM role's policy must include x"),
            ("iam:PutRolePolicy", "MalformedPolicyDocument", "Invalid principal in policy"),
            ("fsx:CreateFileSystem", "BadRequest", "the role cannot be assumed"),
        ] {
            let (class, help) = classify(call, code, words, Some(400));
            assert_eq!(class, NotYetVisible, "{words}");
            assert!(help.is_some_and(|help| help.contains("whom it trusts")), "{words}");
        }
    }
}
