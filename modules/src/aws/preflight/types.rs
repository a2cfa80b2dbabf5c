//! What forge knows of instance types by itself: EC2 DescribeInstanceTypes of May 2026, p6e-gb200 and trn2u by the EC2 User
//! Guide.

/// What matters of an instance type before anything is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) vcpus: u32,
    /// GPUs or Neuron devices.
    pub(super) accelerators: u32,
    /// EFA interfaces at most.
    pub(super) efa: u32,
    /// IPv4 addresses of an interface at most; 0 when that is not known.
    pub(super) addresses: u32,
}

/// Name, vCPUs, accelerators, EFA interfaces, IPv4 addresses of an interface.
const TYPES: &[(&str, u32, u32, u32, u32)] = &[
    ("g5.12xlarge", 48, 4, 1, 50),
    ("g5.16xlarge", 64, 1, 1, 30),
    ("g5.24xlarge", 96, 4, 1, 50),
    ("g5.2xlarge", 8, 1, 0, 15),
    ("g5.48xlarge", 192, 8, 1, 50),
    ("g5.4xlarge", 16, 1, 0, 30),
    ("g5.8xlarge", 32, 1, 1, 30),
    ("g5.xlarge", 4, 1, 0, 15),
    ("g6.12xlarge", 48, 4, 1, 30),
    ("g6.16xlarge", 64, 1, 1, 50),
    ("g6.24xlarge", 96, 4, 1, 50),
    ("g6.2xlarge", 8, 1, 0, 15),
    ("g6.48xlarge", 192, 8, 1, 50),
    ("g6.4xlarge", 16, 1, 0, 30),
    ("g6.8xlarge", 32, 1, 1, 30),
    ("g6.xlarge", 4, 1, 0, 15),
    ("g6e.12xlarge", 48, 4, 1, 30),
    ("g6e.16xlarge", 64, 1, 1, 50),
    ("g6e.24xlarge", 96, 4, 2, 50),
    ("g6e.2xlarge", 8, 1, 0, 15),
    ("g6e.48xlarge", 192, 8, 4, 50),
    ("g6e.4xlarge", 16, 1, 0, 30),
    ("g6e.8xlarge", 32, 1, 1, 30),
    ("g6e.xlarge", 4, 1, 0, 15),
    ("g7e.12xlarge", 48, 2, 1, 64),
    ("g7e.24xlarge", 96, 4, 2, 64),
    ("g7e.2xlarge", 8, 1, 0, 64),
    ("g7e.48xlarge", 192, 8, 4, 64),
    ("g7e.4xlarge", 16, 1, 0, 64),
    ("g7e.8xlarge", 32, 1, 1, 64),
    ("inf2.24xlarge", 96, 6, 0, 50),
    ("inf2.48xlarge", 192, 12, 0, 50),
    ("inf2.8xlarge", 32, 1, 0, 30),
    ("inf2.xlarge", 4, 1, 0, 15),
    ("p4d.24xlarge", 96, 8, 4, 50),
    ("p4de.24xlarge", 96, 8, 4, 50),
    ("p5.48xlarge", 192, 8, 32, 50),
    ("p5.4xlarge", 16, 1, 1, 30),
    ("p5e.48xlarge", 192, 8, 32, 50),
    ("p5en.48xlarge", 192, 8, 16, 50),
    ("p6-b200.48xlarge", 192, 8, 8, 50),
    ("p6-b300.48xlarge", 192, 8, 16, 50),
    ("p6e-gb200.36xlarge", 144, 4, 8, 0),
    ("trn1.2xlarge", 8, 1, 0, 15),
    ("trn1.32xlarge", 128, 16, 8, 50),
    ("trn1n.32xlarge", 128, 16, 16, 50),
    ("trn2.3xlarge", 12, 1, 1, 15),
    ("trn2.48xlarge", 192, 16, 16, 50),
    ("trn2u.48xlarge", 192, 16, 16, 0),
];

/// What is known of a type without asking.
pub(super) fn bundled(name: &str) -> Option<Facts> {
    let known = TYPES.iter().find(|(known, ..)| *known == name);
    if let Some((_, vcpus, accelerators, efa, addresses)) = known {
        return Some(Facts { vcpus: *vcpus, accelerators: *accelerators, efa: *efa, addresses: *addresses });
    }
    None
}
