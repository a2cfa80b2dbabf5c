//! What each action may be limited to. The resource types and condition keys are those of the Service Authorization Reference
//! ("Actions, resources, and condition keys for Amazon EC2", and so on).

use super::{Wanted, mark};
use crate::aws::{Market, eks_cluster, eks_nodegroup, iam_role, s3_bucket};
use forge_engine::value::{Output, Value};
use serde::de::DeserializeOwned;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// What a group of actions has in common. A creation within something of ours is allowed by two statements: one for what it
/// makes, one for what it makes it in; EC2 asks for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    /// Cannot be limited, or is not known here: everything.
    All,
    /// Makes something of EC2, which gets our tag in the same call.
    Born,
    /// Makes something of EC2 within something of ours.
    Within,
    /// Changes or deletes what carries our tag in EC2.
    Own,
    /// Tags what is being made in EC2.
    TagsAtBirth,
    /// Deletes network interfaces that Kubernetes left behind; they carry no tag of ours.
    LeftBehind,
    /// Makes network interfaces for others: FSx does it in the caller's name.
    Interfaces,
    /// Starts instances by a launch template of ours: EKS and Auto Scaling do it in the caller's name.
    Nodes,
    /// Spends money at once.
    Purchase,
    /// Roles under the deployment's path.
    Roles,
    /// Handing those roles to services.
    PassRoles,
    /// Roles that services make for themselves.
    ServiceRoles,
    /// What EKS, FSx and others need to set those up.
    ServiceRolePolicies,
    /// Instance profiles under the deployment's path.
    Profiles,
    /// Issuers of EKS clusters.
    Issuers,
    /// The blueprint's buckets.
    Buckets,
    /// What is in them.
    Objects,
    /// The blueprint's clusters, and what is in them.
    Clusters,
    /// Makes a file system, which gets our tag in the same call.
    FileSystemBorn,
    /// Changes or deletes file systems that carry our tag.
    FileSystems,
    /// What FSx lets be limited by type only.
    FileSystemParts,
    /// The blueprint's auto-scaling groups.
    Groups,
    /// AWS's own public parameters.
    Parameters,
    /// Encryption keys.
    Keys,
}

/// Creations of EC2: the action, the type of what it makes, and the types of what it makes it in.
const BORN: &[(&str, &str, &[&str])] = &[
    ("ec2:CreateVpc", "vpc", &[]),
    ("ec2:CreateSubnet", "subnet", &["vpc"]),
    ("ec2:CreateInternetGateway", "internet-gateway", &[]),
    ("ec2:AllocateAddress", "elastic-ip", &[]),
    ("ec2:CreateNatGateway", "natgateway", &["subnet", "elastic-ip"]),
    ("ec2:CreateRouteTable", "route-table", &["vpc"]),
    ("ec2:CreateSecurityGroup", "security-group", &["vpc"]),
    ("ec2:CreateVpcEndpoint", "vpc-endpoint", &["vpc", "subnet", "security-group", "route-table"]),
    ("ec2:CreatePlacementGroup", "placement-group", &[]),
    ("ec2:CreateLaunchTemplate", "launch-template", &[]),
    ("ec2:CreateCapacityReservation", "capacity-reservation", &[]),
];

/// Changes and deletions of EC2 that can be limited by the tag of what they are about.
const OWN: &[&str] = &[
    "ec2:DeleteVpc",
    "ec2:ModifyVpcAttribute",
    "ec2:AssociateVpcCidrBlock",
    "ec2:DeleteSubnet",
    "ec2:ModifySubnetAttribute",
    "ec2:AttachInternetGateway",
    "ec2:DetachInternetGateway",
    "ec2:DeleteInternetGateway",
    "ec2:ReleaseAddress",
    "ec2:DeleteNatGateway",
    "ec2:DeleteRouteTable",
    "ec2:CreateRoute",
    "ec2:ReplaceRoute",
    "ec2:DeleteRoute",
    "ec2:AssociateRouteTable",
    "ec2:DisassociateRouteTable",
    "ec2:ReplaceRouteTableAssociation",
    "ec2:ModifyVpcEndpoint",
    "ec2:DeleteVpcEndpoints",
    "ec2:DeleteSecurityGroup",
    "ec2:AuthorizeSecurityGroupIngress",
    "ec2:AuthorizeSecurityGroupEgress",
    "ec2:RevokeSecurityGroupIngress",
    "ec2:RevokeSecurityGroupEgress",
    "ec2:ModifySecurityGroupRules",
    "ec2:UpdateSecurityGroupRuleDescriptionsIngress",
    "ec2:UpdateSecurityGroupRuleDescriptionsEgress",
    "ec2:DeletePlacementGroup",
    "ec2:CreateLaunchTemplateVersion",
    "ec2:ModifyLaunchTemplate",
    "ec2:DeleteLaunchTemplate",
    "ec2:DeleteLaunchTemplateVersions",
    "ec2:ModifyCapacityReservation",
    "ec2:CancelCapacityReservation",
    "ec2:DeleteTags",
];

/// Actions of services that answer about everything, or about nothing in particular.
const ALL: &[&str] = &[
    "autoscaling:Describe",
    "ec2:Describe",
    "ec2:Get",
    "eks:DescribeAddonConfiguration",
    "eks:DescribeAddonVersions",
    "eks:ListClusters",
    "fsx:Describe",
    "iam:ListInstanceProfiles",
    "iam:ListOpenIDConnectProviders",
    "iam:ListRoles",
    "iam:SimulatePrincipalPolicy",
    "s3:ListAllMyBuckets",
];

/// What an action may be limited to. All of these must hold somewhere in the policy.
pub(super) fn scope(action: &str) -> &'static [Scope] {
    use Scope as S;
    // `iam:ListInstanceProfilesForRole` is about a role.
    if ALL.iter().any(|all| action.starts_with(all)) && !action.ends_with("ForRole") {
        return &[S::All];
    }
    if let Some((_, _, within)) = BORN.iter().find(|(born, ..)| *born == action) {
        return if within.is_empty() { &[S::Born] } else { &[S::Born, S::Within] };
    }
    let (service, verb) = action.split_once(':').unwrap_or((action, ""));
    match (service, verb) {
        ("ec2", "CreateTags") => &[S::Own, S::TagsAtBirth],
        ("ec2", "DeleteNetworkInterface" | "DetachNetworkInterface") => &[S::LeftBehind],
        ("ec2", "CreateNetworkInterface") => &[S::Interfaces],
        ("ec2", "RunInstances") => &[S::Nodes],
        ("ec2", "PurchaseCapacityBlock" | "PurchaseCapacityBlockExtension") => &[S::Purchase],
        ("ec2", _) if OWN.contains(&action) => &[S::Own],
        ("iam", "PassRole") => &[S::PassRoles],
        ("iam", "CreateServiceLinkedRole") => &[S::ServiceRoles],
        ("iam", "AttachRolePolicy" | "PutRolePolicy") => &[S::Roles, S::ServiceRolePolicies],
        ("iam", "ListInstanceProfilesForRole") => &[S::Roles],
        ("iam", verb) if verb.contains("InstanceProfile") => &[S::Profiles],
        ("iam", verb) if verb.contains("OpenIDConnect") => &[S::Issuers],
        ("iam", verb) if verb.contains("Role") => &[S::Roles],
        ("s3", verb)
            if verb.contains("Object") || verb.contains("MultipartUpload") && verb != "ListBucketMultipartUploads" =>
        {
            &[S::Objects]
        }
        ("s3", _) => &[S::Buckets],
        ("eks", _) => &[S::Clusters],
        ("fsx", "CreateFileSystem") => &[S::FileSystemBorn],
        ("fsx", "UpdateFileSystem" | "DeleteFileSystem" | "UntagResource") => &[S::FileSystems],
        ("fsx", _) => &[S::FileSystemParts],
        ("autoscaling", _) => &[S::Groups],
        ("ssm", "GetParameter" | "GetParameters") => &[S::Parameters],
        ("kms", _) => &[S::Keys],
        _ => &[S::All],
    }
}

/// What a blueprint says that a policy can be limited to.
pub(super) struct Known {
    /// Of the region: `aws`, `aws-cn`, `aws-us-gov`, `aws-eusc`.
    pub(super) partition: &'static str,
    region: String,
    deployment: String,
    /// The tag's value.
    mark: String,
    clusters: BTreeSet<String>,
    /// Names of buckets; those of which only the beginning is known end in `*`.
    buckets: BTreeSet<String>,
    groups: BTreeSet<String>,
    /// ARNs of keys.
    keys: BTreeSet<String>,
    /// The services to which roles are handed, and those that make a role for themselves.
    passed_to: BTreeSet<String>,
    linked: BTreeSet<&'static str>,
}

/// The specification with a text in place of what only apply knows.
fn typed<S: DeserializeOwned>(spec: &Value) -> Option<S> {
    S::deserialize(spec.resolve(&|_: &Output| Some(json!("*"))).ok()?).ok()
}

fn text(spec: &Value, field: &str) -> Option<String> {
    match spec {
        Value::Map(fields) => match fields.get(field) {
            Some(Value::String(text)) => Some(text.clone()),
            _ => None,
        },
        _ => None,
    }
}

fn partition(region: &str) -> &'static str {
    match region.split('-').next() {
        Some("cn") => "aws-cn",
        Some("eusc") => "aws-eusc",
        Some("us") if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

impl Known {
    pub(super) fn of(wanted: &Wanted<'_>) -> Self {
        let region = wanted.region.unwrap_or("*").to_owned();
        let mut known = Self {
            partition: partition(&region),
            region,
            deployment: wanted.deployment.0.clone(),
            mark: mark(wanted.deployment),
            clusters: BTreeSet::new(),
            buckets: BTreeSet::new(),
            groups: BTreeSet::new(),
            keys: BTreeSet::new(),
            passed_to: BTreeSet::new(),
            linked: BTreeSet::new(),
        };
        for (kind, spec) in wanted.resources {
            known.learn(kind, spec);
        }
        known
    }

    fn learn(&mut self, kind: &str, spec: &Value) {
        self.keys.extend(text(spec, "kms_key").filter(|key| key.starts_with("arn:")));
        match kind {
            "aws.iam_role" => {
                if let Some(role) = typed::<iam_role::Spec>(spec) {
                    self.passed_to.extend(role.trusts);
                }
            }
            "aws.eks_cluster" => {
                self.clusters.extend(typed::<eks_cluster::Spec>(spec).map(|cluster| cluster.name));
                self.passed_to.insert("eks.amazonaws.com".to_owned());
                self.linked.insert("eks.amazonaws.com");
            }
            "aws.eks_nodegroup" => {
                // Which of the two EKS names for the nodes' role is not documented.
                self.passed_to.extend(["eks.amazonaws.com", "ec2.amazonaws.com"].map(str::to_owned));
                self.linked.extend(["eks-nodegroup.amazonaws.com", "autoscaling.amazonaws.com"]);
                if typed::<eks_nodegroup::Spec>(spec).is_some_and(|group| group.market == Market::Spot) {
                    self.linked.insert("spot.amazonaws.com");
                }
            }
            "aws.autoscaling_group" => {
                self.groups.extend(text(spec, "name"));
                self.linked.insert("autoscaling.amazonaws.com");
            }
            "aws.launch_template" if text(spec, "market").as_deref() == Some("spot") => {
                self.linked.insert("spot.amazonaws.com");
            }
            "aws.fsx_lustre" => {
                self.linked.insert("fsx.amazonaws.com");
            }
            "aws.fsx_association" => {
                self.linked.insert("s3.data-source.lustre.fsx.amazonaws.com");
            }
            "aws.s3_bucket" => {
                if let Some(bucket) = typed::<s3_bucket::Spec>(spec) {
                    self.buckets.extend(bucket.name);
                    self.buckets.extend(bucket.prefix.map(|prefix| format!("{prefix}-*")));
                }
            }
            _ => {}
        }
    }

    fn arn(&self, service: &str, resource: &str) -> String {
        format!("arn:{}:{service}:{}:*:{resource}", self.partition, self.region)
    }

    /// Of what is of the account and in no region.
    fn global(&self, resource: &str) -> String {
        format!("arn:{}:iam::*:{resource}", self.partition)
    }

    fn each(&self, names: &BTreeSet<String>, arn: impl Fn(&str) -> String) -> Vec<String> {
        if names.is_empty() { vec![arn("*")] } else { names.iter().map(|name| arn(name)).collect() }
    }
}

/// What a scope comes to for a blueprint.
pub(super) struct Limits {
    pub(super) sid: &'static str,
    /// Without any, there is nothing to allow.
    pub(super) resources: Vec<String>,
    pub(super) conditions: BTreeMap<&'static str, Vec<String>>,
}

impl Limits {
    fn new(sid: &'static str, resources: Vec<String>) -> Self {
        Self { sid, resources, conditions: BTreeMap::new() }
    }

    fn when(mut self, key: &'static str, values: impl IntoIterator<Item = String>) -> Self {
        self.conditions.insert(key, values.into_iter().collect());
        self
    }

    /// Only what carries the deployment's tag.
    fn tagged(self, known: &Known) -> Self {
        self.when("aws:ResourceTag/forge:deployment", [known.mark.clone()])
    }

    /// Only what gets the deployment's tag in the same call.
    fn tagging(self, known: &Known) -> Self {
        self.when("aws:RequestTag/forge:deployment", [known.mark.clone()])
    }
}

pub(super) fn limits(scope: Scope, actions: &BTreeSet<&'static str>, known: &Known) -> Limits {
    let ec2 = |types: BTreeSet<&str>| types.into_iter().map(|of| known.arn("ec2", &format!("{of}/*"))).collect();
    let any = || vec![known.arn("ec2", "*/*")];
    let born = || BORN.iter().filter(|(action, ..)| actions.contains(action));
    let path = &known.deployment;
    match scope {
        Scope::All => Limits::new("Unrestricted", vec!["*".to_owned()]),
        Scope::Born => Limits::new("Create", ec2(born().map(|(_, made, _)| *made).collect())).tagging(known),
        Scope::Within => {
            let within = born().flat_map(|(_, _, within)| within.iter().copied()).collect();
            Limits::new("CreateWithin", ec2(within)).tagged(known)
        }
        Scope::Own => Limits::new("Change", any()).tagged(known),
        Scope::TagsAtBirth => {
            let by = BORN.iter().map(|(action, ..)| *action).chain(["ec2:RunInstances"]);
            let by = by.filter_map(|action| action.strip_prefix("ec2:")).map(str::to_owned);
            Limits::new("TagAtCreation", any()).when("ec2:CreateAction", by)
        }
        Scope::LeftBehind => Limits::new("LeftBehind", ec2(["network-interface"].into())),
        Scope::Interfaces => Limits::new("Interfaces", ec2(["network-interface", "security-group", "subnet"].into())),
        Scope::Nodes => Limits::new("Nodes", any()),
        Scope::Purchase => Limits::new("BuyCapacity", vec!["*".to_owned()]),
        Scope::Roles => Limits::new("Roles", vec![known.global(&format!("role/forge/{path}/*"))]),
        Scope::PassRoles => Limits::new("PassRoles", vec![known.global(&format!("role/forge/{path}/*"))])
            .when("iam:PassedToService", known.passed_to.iter().cloned()),
        Scope::ServiceRoles if known.linked.is_empty() => Limits::new("ServiceRoles", Vec::new()),
        Scope::ServiceRoles => Limits::new("ServiceRoles", vec![known.global("role/aws-service-role/*")])
            .when("iam:AWSServiceName", known.linked.iter().map(|name| (*name).to_owned())),
        // The role of data repository associations is the one that its maker has to give a policy.
        Scope::ServiceRolePolicies => {
            let name = "s3.data-source.lustre.fsx.amazonaws.com";
            let roles = known.linked.get(name).map(|name| known.global(&format!("role/aws-service-role/{name}/*")));
            Limits::new("ServiceRolePolicies", roles.into_iter().collect())
        }
        Scope::Profiles => Limits::new("Profiles", vec![known.global(&format!("instance-profile/forge/{path}/*"))]),
        Scope::Issuers => {
            Limits::new("Issuers", vec![known.global(&format!("oidc-provider/oidc.eks.{}.*", known.region))])
        }
        Scope::Buckets => {
            Limits::new("Buckets", known.each(&known.buckets, |name| format!("arn:{}:s3:::{name}", known.partition)))
        }
        Scope::Objects => {
            Limits::new("Objects", known.each(&known.buckets, |name| format!("arn:{}:s3:::{name}/*", known.partition)))
        }
        Scope::Clusters => {
            let parts =
                ["cluster/{}", "nodegroup/{}/*/*", "addon/{}/*/*", "access-entry/{}/*", "podidentityassociation/{}/*"];
            let arns = parts
                .iter()
                .flat_map(|part| known.each(&known.clusters, |name| known.arn("eks", &part.replace("{}", name))));
            Limits::new("Clusters", arns.collect())
        }
        Scope::FileSystemBorn => {
            Limits::new("CreateFileSystem", vec![known.arn("fsx", "file-system/*")]).tagging(known)
        }
        Scope::FileSystems => Limits::new("FileSystems", vec![known.arn("fsx", "file-system/*")]).tagged(known),
        Scope::FileSystemParts => {
            Limits::new("FileSystemParts", vec![known.arn("fsx", "association/*"), known.arn("fsx", "file-system/*")])
        }
        Scope::Groups => {
            let arn = |name: &str| known.arn("autoscaling", &format!("autoScalingGroup:*:autoScalingGroupName/{name}"));
            Limits::new("Groups", known.each(&known.groups, arn))
        }
        Scope::Parameters => Limits::new("Parameters", vec![known.arn("ssm", "parameter/aws/service/*")]),
        Scope::Keys => {
            // AWS's own keys need no permission of the caller's.
            Limits::new("Keys", known.keys.iter().cloned().collect())
        }
    }
}
