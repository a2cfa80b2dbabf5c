//! What a user reads when AWS refuses: for each class of errors what, where in the blueprint, why, and what to do.
//!
//! The real `forge` and the AWS SDK against the emulated AWS; the proxy answers one call with an error, in the words of AWS. Where
//! forge would try for minutes, `FORGE_RETRY_BUDGET` makes it give up after a second. Afterwards AWS is as it was, and the same
//! command goes on to the end.

use forge_tests::aws::{Emulator, Refusal, Rules, Site, Which};
use insta::assert_snapshot;
use serde_json::json;
use std::sync::Arc;

/// A bucket and a network.
const SMALL: &str = "\
forge: v1
name: small
target: aws
aws: { region: us-west-2 }
modules:
  data: { use: s3, with: { name: small-data } }
  network: { use: vpc, with: { cidr: 10.0.0.0/16, zones: 1 } }
";

/// Kubernetes in it.
const CLUSTER: &str = "\
forge: v1
name: small
target: aws
aws: { region: us-west-2 }
modules:
  data: { use: s3, with: { name: small-data } }
  network: { use: vpc, with: { cidr: 10.0.0.0/16, zones: 2 } }
  cluster: { use: eks, with: { network: \"${network}\", bucket: \"${data}\" } }
";

fn site(blueprint: &str) -> Site {
    let emulator = Emulator::start();
    emulator.settings(&json!({ "speed": 0.001 }));
    Site::new(blueprint, Arc::new(emulator))
}

/// Runs a command while AWS answers a call with an error; what is said of the failure.
fn told(site: &Site, arguments: &[&str], which: Which, refusal: Refusal) -> String {
    site.proxy.play(Rules::none().answer(which, refusal));
    let mut command = site.command(arguments);
    command.env("FORGE_RETRY_BUDGET", "1s");
    let ran = site.run_as(command);
    site.proxy.play(Rules::none());
    // What is found before anything is begun stands above the error.
    let found = ran.stdout.lines().chain(ran.stderr.lines()).skip_while(|line| !line.starts_with("  refused"));
    let found = found.take_while(|line| line.starts_with("  ")).filter(|line| !line.starts_with("  unknown"));
    let from = ran.stderr.lines().skip_while(|line| !line.starts_with("error"));
    // What follows is the course of the run, in the order in which things happened.
    let from = from.take_while(|line| !line.contains("not done; what is done is written down"));
    let told: Vec<&str> = found.chain(from).collect();
    format!("{}\nexit code: {}", unnumbered(&told.join("\n")), ran.code)
}

/// Without what is another one each time: identifiers end in hexadecimal digits.
fn unnumbered(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(dash) = rest.find('-') {
        let (before, after) = rest.split_at(dash + 1);
        let digits = after.bytes().take_while(u8::is_ascii_hexdigit).count();
        plain.push_str(before);
        plain.push_str(if digits >= 8 { "…" } else { &after[..digits] });
        rest = &after[digits..];
    }
    plain + rest
}

/// An `up` that is refused at one call, and then goes on to its end and is taken down.
fn up(blueprint: &str, service: &str, action: &str, refusal: Refusal) -> String {
    let site = site(blueprint);
    let told = told(&site, &["up", "--yes"], Which::action(service, action), refusal);
    site.up().with_code(0);
    site.destroy().with_code(0);
    assert_eq!(site.emulator.dump(), []);
    told
}

/// Each is a test: with this blueprint this call of `up` is refused, with status, code and words.
macro_rules! refusals {
    ($($name:ident: $blueprint:ident, $service:literal, $action:literal, $status:literal, $code:literal, $words:literal;)*) => {
        $(#[test]
        fn $name() {
            let refusal = Refusal::new($status, $code, $words);
            assert_snapshot!(stringify!($name), up($blueprint, $service, $action, refusal));
        })*
    };
}

refusals! {
    there_is_no_capacity: SMALL, "ec2", "AllocateAddress", 500, "InsufficientAddressCapacity",
        "Insufficient capacity to satisfy your address request.";
    a_quota_is_used_up: SMALL, "ec2", "CreateVpc", 400, "VpcLimitExceeded",
        "The maximum number of VPCs has been reached.";
    // The same word with "Exception" at its end is a throttle in other services.
    a_quota_of_iam_is_used_up: CLUSTER, "iam", "CreateRole", 409, "LimitExceeded",
        "Cannot exceed quota for RolesPerAccount: 1000";
    there_are_too_many_requests_for_as_long_as_forge_tries: SMALL, "ec2", "CreateNatGateway", 503, "RequestLimitExceeded",
        "Request limit exceeded.";
    a_service_fails_for_as_long_as_forge_tries: SMALL, "ec2", "CreateNatGateway", 500, "InternalError",
        "An internal error has occurred";
    what_was_made_is_not_known_yet_for_as_long_as_forge_tries: SMALL, "ec2", "CreateNatGateway", 400, "InvalidSubnetID.NotFound",
        "The subnet ID 'subnet-0123456789abcdef0' does not exist";
    a_role_is_not_known_yet_for_as_long_as_forge_tries: CLUSTER, "eks", "CreateCluster", 400, "InvalidParameterException",
        "Role with arn: arn:aws:iam::123456789012:role/forge/small/small-cluster, does not exist";
    a_name_is_somebody_elses: SMALL, "s3", "CreateBucket", 409, "BucketAlreadyExists",
        "The requested bucket name is not available. The bucket namespace is shared by all users of the system.";
    a_bucket_is_in_another_region: SMALL, "s3", "CreateBucket", 400, "IllegalLocationConstraintException",
        "The us-west-2 location constraint is incompatible for the region specific endpoint this request was sent to.";
    it_is_not_allowed: SMALL, "ec2", "CreateVpc", 403, "UnauthorizedOperation",
        "You are not authorized to perform this operation. User: arn:aws:iam::123456789012:user/ml is not authorized to \
         perform: ec2:CreateVpc because no identity-based policy allows the ec2:CreateVpc action.";
    nobody_knows_the_caller: SMALL, "sts", "GetCallerIdentity", 403, "InvalidClientTokenId",
        "The security token included in the request is invalid.";
    the_credentials_are_past_their_time: SMALL, "ec2", "CreateSubnet", 400, "RequestExpired",
        "Request has expired.";
    // What no table knows is told as it is.
    a_call_is_refused_for_a_reason_of_its_own: SMALL, "ec2", "CreateVpc", 400, "InvalidVpc.Range",
        "The CIDR '10.0.0.0/12' is invalid.";
}

#[test]
fn a_name_is_taken_in_the_account() {
    let site = site(SMALL);
    // Somebody has made it by hand: it carries none of forge's tags.
    site.emulator.make_bucket("small-data");
    let nothing = Which::action("nobody", "Nothing");
    assert_snapshot!(told(&site, &["up", "--yes"], nothing, Refusal::new(400, "", "")));
    site.destroy().with_code(0);
    let left: Vec<String> = site.emulator.dump().into_iter().map(|held| held.id).collect();
    assert_eq!(left, ["arn:aws:s3:::small-data"], "what is not forge's stays");
}

#[test]
fn something_still_needs_what_is_to_go() {
    let site = site(SMALL);
    site.up().with_code(0);
    let words = "The vpc 'vpc-0123456789abcdef0' has dependencies and cannot be deleted.";
    let refusal = Refusal::new(400, "DependencyViolation", words);
    let destroy = ["destroy", "--yes", "--delete-data"];
    assert_snapshot!(told(&site, &destroy, Which::action("ec2", "DeleteVpc"), refusal));
    site.destroy().with_code(0);
    assert_eq!(site.emulator.dump(), []);
}
