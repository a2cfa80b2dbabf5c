//! What is known of EC2's instance types, in EC2's own terms, and what follows from it: [`layout`].
//!
//! The catalogue is a table in the binary, [`InstanceType::find`]; it is read one line at a time, when a type is asked for. What is not in it EC2 can be
//! asked for (`aws::Cloud::instance_types`), and then the same rules apply: nothing here depends on the name of a type
//! where EC2 describes what it depends on. Quotas have codes by family, and nothing that describes a type has them.

pub mod layout;

use layout::Layout;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

/// The catalogue; its first lines say where it is from.
const TYPES: &str = include_str!("instance_types/types.tsv");

/// The architecture of a processor, as EC2 and EKS call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Architecture {
    /// Intel and AMD.
    #[serde(rename = "x86_64")]
    X86,
    /// Graviton and Grace.
    #[serde(rename = "arm64")]
    Arm,
}

impl Architecture {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::X86 => "x86_64",
            Self::Arm => "arm64",
        }
    }

    /// The architecture of that name; `aarch64` is as good as `arm64`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "x86_64" => Some(Self::X86),
            "arm64" | "aarch64" => Some(Self::Arm),
            _ => None,
        }
    }
}

/// The accelerators of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Accelerators {
    /// Who makes them, in lower case: `nvidia`, `aws`, `habana`.
    pub vendor: String,
    /// What they are: `H100`, `Trainium2`.
    pub model: String,
    /// How many.
    pub count: u32,
    /// MiB of memory of each.
    pub memory_mib: u64,
}

/// The network of an instance; EC2's `NetworkInfo`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Network {
    /// How many network cards (`MaximumNetworkCards`).
    pub cards: u32,
    /// How many network interfaces on all of them (`MaximumNetworkInterfaces`).
    pub interfaces: Option<u32>,
    /// How many on card 0, which alone gives Kubernetes' pods their addresses.
    pub first_card_interfaces: Option<u32>,
    /// How many IPv4 addresses an interface has (`Ipv4AddressesPerInterface`).
    pub addresses_per_interface: Option<u32>,
    /// How many interfaces can carry EFA (`EfaInfo.MaximumEfaInterfaces`), one of each card that can; often fewer than cards.
    pub efa: u32,
}

/// The local disks of an instance: NVMe, empty at every start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Disks {
    /// How many.
    pub count: u32,
    /// GB of each.
    pub size_gb: u64,
}

/// How a type is sold (EC2's `SupportedUsageClasses`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UsageClass {
    /// At the listed price.
    OnDemand,
    /// As spare capacity.
    Spot,
    /// In capacity blocks.
    CapacityBlock,
}

/// The codes of the quotas (service `ec2`, in vCPUs) that a type counts against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Quotas {
    /// On demand, capacity reservations included.
    pub on_demand: Option<&'static str>,
    /// As spot instances.
    pub spot: Option<&'static str>,
}

/// An instance type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceType {
    /// Its name: `p5.48xlarge`.
    pub name: String,
    /// How many virtual processors (`DefaultVCpus`), which quotas count.
    pub vcpus: u32,
    /// MiB of memory.
    pub memory_mib: u64,
    /// The architecture of its processors.
    pub architecture: Architecture,
    /// Its accelerators.
    pub accelerators: Option<Accelerators>,
    /// Its network.
    pub network: Network,
    /// The generation of Nitro, which EC2 does not describe.
    pub nitro: Option<u8>,
    /// Its local disks.
    pub disks: Option<Disks>,
    /// How it is sold.
    pub usage_classes: Vec<UsageClass>,
    /// The regions that offer it, of one that few do.
    pub regions: Option<Vec<String>>,
}

/// Codes by the letters that a family begins with, the longest first: "Amazon EC2 endpoints and quotas" in the AWS General
/// Reference. No text there names the quota of P6 spot instances.
const QUOTAS: &[(&str, Quotas)] = &[
    ("p6e", Quotas { on_demand: None, spot: None }),
    ("p6", quotas("L-417A185B", None)),
    ("p5", quotas("L-417A185B", Some("L-C4BD4855"))),
    ("p", quotas("L-417A185B", Some("L-7212CCBC"))),
    ("g", quotas("L-DB2E81BA", Some("L-3819A6DF"))),
    ("vt", quotas("L-DB2E81BA", Some("L-3819A6DF"))),
    ("trn", quotas("L-2C3B7624", Some("L-6B0D517C"))),
    ("inf", quotas("L-1945791B", Some("L-B5D1601B"))),
    // Not among the standard ones, for all their letters.
    ("dl", Quotas { on_demand: None, spot: None }),
    ("hpc", Quotas { on_demand: None, spot: None }),
    ("mac", Quotas { on_demand: None, spot: None }),
];

/// Families that count as standard: A, C, D, H, I, M, R, T, Z.
const STANDARD: &str = "acdhimrtz";

const fn quotas(on_demand: &'static str, spot: Option<&'static str>) -> Quotas {
    Quotas { on_demand: Some(on_demand), spot }
}

/// The codes of the quotas that instances of a type count against; none where no source gives one.
#[must_use]
pub fn quotas_of(name: &str) -> Quotas {
    match QUOTAS.iter().find(|(family, _)| name.starts_with(family)) {
        Some((_, quotas)) => *quotas,
        None if name.starts_with(|c| STANDARD.contains(c)) => quotas("L-1216C47A", Some("L-34B43A08")),
        None => Quotas::default(),
    }
}

impl InstanceType {
    /// The type of that name, if the catalogue has it.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        lines().find(|line| line.split('\t').next() == Some(name)).and_then(read)
    }

    /// Every type that the catalogue has, in the order of their names.
    pub fn all() -> impl Iterator<Item = Self> {
        lines().filter_map(read)
    }

    /// How many accelerators it has.
    #[must_use]
    pub fn accelerator_count(&self) -> u32 {
        self.accelerators.as_ref().map_or(0, |accelerators| accelerators.count)
    }

    /// What expressions of modules see of it.
    #[must_use]
    pub fn facts(&self) -> Json {
        let layout = |layout: Layout| layout.interfaces(self).map_or(Json::Null, |interfaces| json!(interfaces));
        let network = &self.network;
        json!({
            "name": self.name,
            "vcpus": self.vcpus,
            "memory_mib": self.memory_mib,
            "architecture": self.architecture,
            "accelerators": self.accelerators,
            "network_cards": network.cards,
            "network_interfaces": network.interfaces,
            "addresses_per_interface": network.addresses_per_interface,
            "efa": layout::efa_cards(self).len(),
            "interfaces": {
                "fewest-addresses": layout(Layout::FewestAddresses),
                "most-bandwidth": layout(Layout::MostBandwidth),
            },
            "max_pods": layout::max_pods(self),
            "max_pods_expression": layout::max_pods_expression(self),
            "lustre_efa": layout::lustre_efa(self),
            "disks": self.disks,
            "usage_classes": self.usage_classes,
            "quotas": quotas_of(&self.name),
            "regions": self.regions,
        })
    }
}

fn lines() -> impl Iterator<Item = &'static str> {
    TYPES.lines().filter(|line| !line.starts_with('#'))
}

/// A line of the catalogue.
fn read(line: &str) -> Option<InstanceType> {
    let mut fields = line.split('\t');
    let mut next = || fields.next();
    Some(InstanceType {
        name: next()?.to_owned(),
        vcpus: next()?.parse().ok()?,
        memory_mib: next()?.parse().ok()?,
        architecture: Architecture::parse(next()?)?,
        accelerators: maybe(next()?, accelerators)?,
        network: Network {
            cards: next()?.parse().ok()?,
            interfaces: maybe(next()?, |text| text.parse().ok())?,
            first_card_interfaces: maybe(next()?, |text| text.parse().ok())?,
            addresses_per_interface: maybe(next()?, |text| text.parse().ok())?,
            efa: next()?.parse().ok()?,
        },
        nitro: maybe(next()?, |text| text.parse().ok())?,
        disks: maybe(next()?, |text| {
            let (count, size) = text.split_once('x')?;
            Some(Disks { count: count.parse().ok()?, size_gb: size.parse().ok()? })
        })?,
        usage_classes: next()?.chars().map(usage_class).collect::<Option<_>>()?,
        regions: maybe(next()?, |text| Some(text.split(',').map(str::to_owned).collect()))?,
    })
}

/// A field that may be empty; the outer none is one that cannot be read.
fn maybe<T>(text: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<Option<T>> {
    if text == "-" { Some(None) } else { read(text).map(Some) }
}

fn accelerators(text: &str) -> Option<Accelerators> {
    let mut parts = text.split(':');
    Some(Accelerators {
        vendor: parts.next()?.to_owned(),
        model: parts.next()?.replace('_', " "),
        count: parts.next()?.parse().ok()?,
        memory_mib: parts.next()?.parse().ok()?,
    })
}

fn usage_class(letter: char) -> Option<UsageClass> {
    match letter {
        'o' => Some(UsageClass::OnDemand),
        's' => Some(UsageClass::Spot),
        'b' => Some(UsageClass::CapacityBlock),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_catalogue_can_be_read_and_found() {
        let all: Vec<InstanceType> = InstanceType::all().collect();
        assert_eq!(all.len(), lines().count());
        assert!(all.len() > 200, "{}", all.len());
        assert!(all.windows(2).all(|pair| pair[0].name < pair[1].name), "in order, each once");
        for known in &all {
            assert_eq!(InstanceType::find(&known.name).as_ref(), Some(known));
        }
        for absent in ["", "p5", "p5.48xlarge ", "p9.48xlarge", "# type", "p5.48xlarge\t192"] {
            assert_eq!(InstanceType::find(absent), None, "{absent}");
        }
    }

    #[test]
    fn a_type_has_what_ec2_says_of_it() {
        let p5 = InstanceType::find("p5.48xlarge").expect("it is there");
        let accelerators =
            Accelerators { vendor: "nvidia".to_owned(), model: "H100".to_owned(), count: 8, memory_mib: 81_920 };
        assert_eq!((p5.vcpus, p5.memory_mib, p5.architecture), (192, 2 << 20, Architecture::X86));
        assert_eq!(p5.accelerators, Some(accelerators));
        assert_eq!(p5.disks, Some(Disks { count: 8, size_gb: 3800 }));
        assert_eq!(p5.usage_classes, [UsageClass::OnDemand, UsageClass::Spot, UsageClass::CapacityBlock]);
        let cpu = InstanceType::find("m5.xlarge").expect("it is there");
        assert_eq!((cpu.accelerators, cpu.network.efa, cpu.disks), (None, 0, None));
    }

    #[test]
    fn memory_of_trainium2_is_what_the_chips_have_and_not_what_ec2_says() {
        let total = |name| {
            InstanceType::find(name).and_then(|found| found.accelerators).map(|a| a.memory_mib * u64::from(a.count))
        };
        assert_eq!(total("trn2.48xlarge"), Some(1536 << 10));
        assert_eq!(total("trn1.32xlarge"), Some(512 << 10));
    }

    #[test]
    fn quotas_go_by_family() {
        let codes = |name: &str| (quotas_of(name).on_demand, quotas_of(name).spot);
        for (name, on_demand, spot) in [
            ("p4d.24xlarge", Some("L-417A185B"), Some("L-7212CCBC")),
            ("p5en.48xlarge", Some("L-417A185B"), Some("L-C4BD4855")),
            ("p6-b300.48xlarge", Some("L-417A185B"), None),
            ("p6e-gb200.36xlarge", None, None),
            ("g6e.48xlarge", Some("L-DB2E81BA"), Some("L-3819A6DF")),
            ("trn2.48xlarge", Some("L-2C3B7624"), Some("L-6B0D517C")),
            ("inf2.48xlarge", Some("L-1945791B"), Some("L-B5D1601B")),
            ("m5.xlarge", Some("L-1216C47A"), Some("L-34B43A08")),
            ("dl1.24xlarge", None, None),
            ("u-6tb1.metal", None, None),
        ] {
            assert_eq!(codes(name), (on_demand, spot), "{name}");
        }
    }
}
