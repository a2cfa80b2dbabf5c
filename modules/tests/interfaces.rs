//! The network interfaces and the room for pods of every type with EFA, against what AWS documents.

use forge_modules::instance_types::InstanceType;
use forge_modules::instance_types::layout::{Carries, Interface, Layout, max_pods};

const DOCUMENTED: &str = include_str!("data/interfaces.tsv");

/// As the table writes them.
fn written(interfaces: &[Interface]) -> String {
    let text = |interface: &Interface| {
        let carries = match interface.carries {
            Carries::Ip => "interface",
            Carries::EfaOnly => "efa-only",
        };
        format!("NC{}/DI{}:{carries}", ranges(&interface.cards), interface.device)
    };
    interfaces.iter().map(text).collect::<Vec<_>>().join(" ")
}

/// `1-3,5`.
fn ranges(cards: &[u32]) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for &card in cards {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == card => *last = card,
            _ => runs.push((card, card)),
        }
    }
    let run = |(first, last): &(u32, u32)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    runs.iter().map(run).collect::<Vec<_>>().join(",")
}

#[test]
fn every_type_with_efa_has_the_interfaces_that_aws_documents() {
    let mut count = 0;
    for line in DOCUMENTED.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, fewest, most, nodeadm, real] = fields[..] else { panic!("{line}") };
        let known = InstanceType::find(name).unwrap_or_else(|| panic!("{name} is not in the catalogue"));
        let layout = |layout: Layout| layout.interfaces(&known).map_or_else(|| "-".to_owned(), |found| written(&found));
        assert_eq!(layout(Layout::FewestAddresses), fewest, "{name}");
        assert_eq!(layout(Layout::MostBandwidth), most, "{name}");
        let pods = max_pods(&known).map(|pods| (pods.nodeadm.to_string(), pods.real.to_string()));
        if nodeadm != "-" {
            assert_eq!(pods, Some((nodeadm.to_owned(), real.to_owned())), "{name}");
        }
        // AWS says of no type that it has fewer than it can; of p6e-gb200 half as many at twice the speed are as good.
        let efa: usize = Layout::FewestAddresses
            .interfaces(&known)
            .iter()
            .flatten()
            .filter(|interface| interface.carries == Carries::EfaOnly)
            .map(|interface| interface.cards.len())
            .sum();
        let most = known.network.efa as usize;
        assert_eq!(efa, if name == "p6e-gb200.36xlarge" { most / 2 } else { most }, "{name}");
        count += 1;
    }
    assert_eq!(count, 33);
}

#[test]
fn every_accelerated_type_with_efa_is_documented() {
    // Types that no module of forge is for.
    let others = ["g4dn.", "gr6.", "inf1.", "dl1."];
    let silent: Vec<String> = InstanceType::all()
        .filter(|known| known.network.efa > 0 && known.accelerators.is_some())
        .map(|known| known.name)
        .filter(|name| !others.iter().any(|family| name.starts_with(family)))
        .filter(|name| !DOCUMENTED.contains(&format!("\n{name}\t")))
        .collect();
    assert_eq!(silent, [""; 0]);
}

#[test]
fn no_layout_has_more_interfaces_than_the_type() {
    for known in InstanceType::all() {
        for layout in [Layout::FewestAddresses, Layout::MostBandwidth] {
            let interfaces = layout.interfaces(&known).unwrap_or_default();
            let mut places: Vec<(u32, u32)> =
                interfaces.iter().flat_map(|found| found.cards.iter().map(|card| (*card, found.device))).collect();
            let count = places.len();
            places.sort_unstable();
            places.dedup();
            assert_eq!(places.len(), count, "{}: two in one place", known.name);
            assert!(places.iter().all(|(card, _)| *card < known.network.cards), "{}", known.name);
            let most = known.network.interfaces.unwrap_or(u32::MAX) as usize;
            assert!(count <= most, "{}: {count} of {most}", known.name);
            if count > 0 {
                assert_eq!(
                    interfaces[0],
                    Interface { cards: vec![0], device: 0, carries: Carries::Ip },
                    "{}",
                    known.name
                );
            }
        }
    }
}
