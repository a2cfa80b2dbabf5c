//! What is made: the same for forge and for Terraform.

use forge_tests::Site;

/// Something to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stack {
    /// The reference cluster.
    Reference,
    /// The same without what Terraform's provider waits for by the clock: the file system, its association with the bucket,
    /// and the bucket's lifecycle rules. forge keeps these rules: its buckets always have some.
    WithoutWaits,
    /// So many security groups in one network.
    Groups(usize),
}

const REFERENCE: &str = r#"forge: v1
name: train
target: aws
tags: { project: train }
aws: { region: us-west-2 }
modules:
  network: { use: vpc, with: { cidr: 10.0.0.0/16, zones: 2 } }
  data: { use: s3 }
  cluster: { use: eks, with: { network: "${network}", bucket: "${data}", oidc: true } }
  cpu: { use: cpu-nodes, with: { cluster: "${cluster}", instance_type: m5.xlarge, count: 2 } }
  gpu: { use: gpu-nodes, with: { cluster: "${cluster}", instance_type: p4d.24xlarge, count: 2 } }
  trn: { use: trainium-nodes, with: { cluster: "${cluster}", instance_type: trn1.32xlarge, count: 2 } }
"#;

const SCRATCH: &str = r#"  scratch:
    use: fsx-lustre
    with: { network: "${network}", capacity_gib: 1200, throughput: 250, bucket: "${data}" }
"#;

const GROUPS: &str = r"forge: v1
name: many
target: aws
aws: { region: us-west-2 }
modules:
  many: { use: ./groups, with: { count: COUNT } }
";

const GROUPS_MODULE: &str = r"module: groups
description: Security groups in a network of their own
inputs:
  count: { type: int, min: 1, description: How many }
targets:
  aws:
    resources:
      vpc: { kind: aws.vpc, with: { cidr: 10.0.0.0/16 } }
      group:
        kind: aws.security_group
        for_each: ${range(inputs.count)}
        with:
          name: many-${each.key}
          description: One of many
          vpc: ${vpc.id}
          ingress: [{ peer: { cidr: 10.0.0.0/16 }, protocol: tcp, ports: { from: 443, to: 443 } }]
          egress: [{ peer: { cidr: 10.0.0.0/16 } }]
";

impl Stack {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Reference => "reference cluster".into(),
            Self::WithoutWaits => "without waits".into(),
            Self::Groups(count) => format!("{count} groups"),
        }
    }

    /// A directory with it for forge.
    pub(crate) fn for_forge(self) -> Site {
        match self {
            Self::Reference => Site::with(&[("blueprint.yaml", &format!("{REFERENCE}{SCRATCH}"))]),
            Self::WithoutWaits => Site::with(&[("blueprint.yaml", REFERENCE)]),
            Self::Groups(count) => Site::with(&[
                ("blueprint.yaml", &GROUPS.replace("COUNT", &count.to_string())),
                ("groups/module.yaml", GROUPS_MODULE),
            ]),
        }
    }

    /// A directory with it for Terraform, and its variables.
    pub(crate) fn for_terraform(self) -> (Site, Vec<(&'static str, String)>) {
        let text = match self {
            Self::Groups(_) => include_str!("../../terraform/groups/main.tf"),
            Self::Reference | Self::WithoutWaits => include_str!("../../terraform/main.tf"),
        };
        let variables = match self {
            Self::Groups(count) => vec![("groups", count.to_string())],
            Self::Reference => vec![("waits", "true".into())],
            Self::WithoutWaits => vec![("waits", "false".into())],
        };
        (Site::with(&[("main.tf", text)]), variables)
    }
}
