//! Which network interfaces a node has, and what follows for its pods.
//!
//! The rule ("Maximize network bandwidth on Amazon EC2 instances with multiple network cards" in the EC2 User Guide,
//! efa-acc-inst-types): card 0 has a plain interface at device 0; where card 0 carries EFA, an EFA-only interface
//! is beside it at device 1; every further card that carries EFA has an EFA-only interface at device 0. An EFA-only interface
//! has no address, so a node takes one address from its subnet, however many cards it has. How many cards carry
//! EFA is `EfaInfo.MaximumEfaInterfaces`, and not the number of cards; when that is fewer than there are cards, card
//! 0 is for IP alone and the others share the rest evenly.

use super::InstanceType;
use serde::Serialize;

/// A network interface, or several that are alike on different network cards; as `aws.launch_template` has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// The network cards that have one, counted from 0.
    pub cards: Vec<u32>,
    /// Its device index on each.
    pub device: u32,
    /// What it carries.
    pub carries: Carries,
}

/// What a network interface carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Carries {
    /// IP, over ENA (`interface`).
    Ip,
    /// EFA without an address of its own (`efa-only`).
    EfaOnly,
}

/// What a layout is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One address for each node, for subnets to last.
    FewestAddresses,
    /// All the bandwidth for IP that a node has, for an address for each interface.
    MostBandwidth,
}

/// How many pods a node can have when each has an address of the network (without prefix delegation).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MaxPods {
    /// What EKS's images work out: they count every interface of card 0 (awslabs/amazon-eks-ami, nodeadm).
    pub nodeadm: u32,
    /// What holds: an EFA-only interface has no addresses to give.
    pub real: u32,
}

/// Cards that carry EFA where AWS documents others than the rule gives. p6e-gb200: of cards 1 to 16 two share a network
/// adapter of 400 Gbit/s, and four accelerators need one each; eight of 200 Gbit/s would be no faster.
const EFA_CARDS: &[(&str, &[u32])] = &[("p6e-gb200.36xlarge", &[1, 5, 9, 13])];

/// Cards with a plain interface at device 1 besides, in the layout with the most bandwidth, for types of which AWS
/// documents one.
const IP_CARDS: &[(&str, &[u32])] = &[
    ("p5.48xlarge", &[4, 8, 12, 16, 20, 24, 28]),
    ("p5e.48xlarge", &[4, 8, 12, 16, 20, 24, 28]),
    ("p6-b200.48xlarge", &[1, 2, 3, 4, 5, 6, 7]),
    ("p6-b300.48xlarge", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]),
];

/// Types with which FSx's own script uses eight interfaces for Lustre (FSx for Lustre Guide, configure-efa-clients);
/// with others it uses two, or the only one.
const EIGHT_FOR_LUSTRE: &[&str] =
    &["p5.48xlarge", "p5e.48xlarge", "p5en.48xlarge", "p6-b200.48xlarge", "p6e-gb200.36xlarge"];

/// The first generation of Nitro that reaches FSx for Lustre over EFA (FSx for Lustre Guide, efa-file-systems).
const NITRO_OF_LUSTRE: u8 = 4;

/// What cannot reach FSx for Lustre over EFA for all that (the same page).
const NO_LUSTRE: &str = "Trainium2";

/// What nodeadm works out with one interface less (its CEL names).
const MAX_PODS_EXPRESSION: &str = "(default_enis - 1) * (ips_per_eni - 1) + 2";

/// The network cards that carry EFA, in order.
#[must_use]
pub fn efa_cards(of: &InstanceType) -> Vec<u32> {
    let (cards, efa) = (of.network.cards, of.network.efa);
    if let Some((_, documented)) = EFA_CARDS.iter().find(|(name, _)| *name == of.name) {
        return documented.to_vec();
    }
    if efa == 0 || cards == 0 {
        return Vec::new();
    }
    if efa >= cards {
        return (0..cards).collect();
    }
    // At least 1, because there are at least as many cards without the first.
    let step = (cards - 1) / efa;
    (0..efa).map(|index| 1 + index * step).collect()
}

impl Layout {
    /// The interfaces of a type in this layout, the first one first. Without EFA there is nothing to say; none where AWS
    /// documents no such layout.
    #[must_use]
    pub fn interfaces(self, of: &InstanceType) -> Option<Vec<Interface>> {
        let efa = efa_cards(of);
        let more = IP_CARDS.iter().find(|(name, _)| *name == of.name).map(|(_, cards)| cards.to_vec());
        if self == Self::MostBandwidth && more.is_none() {
            return None;
        }
        if efa.is_empty() {
            return Some(Vec::new());
        }
        let (first, others): (Vec<u32>, Vec<u32>) = efa.into_iter().partition(|card| *card == 0);
        let mut interfaces = vec![Interface { cards: vec![0], device: 0, carries: Carries::Ip }];
        if !first.is_empty() {
            interfaces.push(Interface { cards: first, device: 1, carries: Carries::EfaOnly });
        }
        if !others.is_empty() {
            interfaces.push(Interface { cards: others, device: 0, carries: Carries::EfaOnly });
        }
        if let Some(cards) = more.filter(|_| self == Self::MostBandwidth) {
            interfaces.push(Interface { cards, device: 1, carries: Carries::Ip });
        }
        Some(interfaces)
    }
}

/// How many pods a node has room for; none where its interfaces are not known.
#[must_use]
pub fn max_pods(of: &InstanceType) -> Option<MaxPods> {
    let interfaces = of.network.first_card_interfaces?;
    // One address is the interface's own; two pods have the node's.
    let addresses = of.network.addresses_per_interface?.checked_sub(1)?;
    let without_address = u32::from(efa_cards(of).contains(&0));
    let real = interfaces.checked_sub(without_address)? * addresses + 2;
    Some(MaxPods { nodeadm: interfaces * addresses + 2, real })
}

/// What nodeadm must be told to work out, where its own is wrong.
#[must_use]
pub fn max_pods_expression(of: &InstanceType) -> Option<&'static str> {
    efa_cards(of).contains(&0).then_some(MAX_PODS_EXPRESSION)
}

/// How many interfaces reach FSx for Lustre over EFA; none of a type that reaches it over TCP alone. A type whose generation
/// of Nitro nobody says is newer than those that are too old.
#[must_use]
pub fn lustre_efa(of: &InstanceType) -> u32 {
    let excluded = of.accelerators.as_ref().is_some_and(|accelerators| accelerators.model == NO_LUSTRE);
    if excluded || of.nitro.is_some_and(|nitro| nitro < NITRO_OF_LUSTRE) {
        return 0;
    }
    match efa_cards(of).len() {
        0 => 0,
        1 => 1,
        _ if EIGHT_FOR_LUSTRE.contains(&of.name.as_str()) => 8,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Network;
    use super::*;

    fn unheard_of(cards: u32, efa: u32) -> InstanceType {
        let known = InstanceType::find("p5.48xlarge").expect("it is there");
        let network = Network { cards, efa, ..known.network };
        InstanceType { name: "p9.48xlarge".to_owned(), network, nitro: None, ..known }
    }

    #[test]
    fn a_type_that_aws_ships_tomorrow_has_its_interfaces_by_the_rule() {
        assert_eq!(efa_cards(&unheard_of(1, 0)), [0; 0]);
        assert_eq!(efa_cards(&unheard_of(0, 3)), [0; 0]);
        assert_eq!(efa_cards(&unheard_of(1, 1)), [0]);
        assert_eq!(efa_cards(&unheard_of(4, 4)), [0, 1, 2, 3]);
        assert_eq!(efa_cards(&unheard_of(9, 8)), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(efa_cards(&unheard_of(17, 8)), [1, 3, 5, 7, 9, 11, 13, 15]);
        assert_eq!(efa_cards(&unheard_of(8, 5)), [1, 2, 3, 4, 5]);
        assert_eq!(efa_cards(&unheard_of(2, 9)), [0, 1]);
        assert_eq!(lustre_efa(&unheard_of(16, 16)), 2);
        assert_eq!(Layout::MostBandwidth.interfaces(&unheard_of(4, 4)), None);
        let interfaces = Layout::FewestAddresses.interfaces(&unheard_of(3, 3));
        let wanted = [(vec![0], 0, Carries::Ip), (vec![0], 1, Carries::EfaOnly), (vec![1, 2], 0, Carries::EfaOnly)];
        let wanted = wanted.map(|(cards, device, carries)| Interface { cards, device, carries });
        assert_eq!(interfaces.as_deref(), Some(wanted.as_slice()));
    }

    #[test]
    fn lustre_is_reached_over_efa_by_what_fsx_says_can() {
        let of = |name| InstanceType::find(name).map(|known| lustre_efa(&known));
        for (name, interfaces) in [
            ("p5.48xlarge", 8),
            ("p6-b300.48xlarge", 2),
            ("p6e-gb200.36xlarge", 8),
            ("p5.4xlarge", 1),
            ("trn1.32xlarge", 2),
            ("trn2.48xlarge", 0),
            ("p4d.24xlarge", 0),
            ("g5.48xlarge", 0),
            ("g6e.xlarge", 0),
        ] {
            assert_eq!(of(name), Some(interfaces), "{name}");
        }
    }
}
