//! Every accelerator that the node should have is there, and its driver reports nothing against it.

use super::{Health, Verdict};
use crate::node::Node;

pub(super) fn run(node: &dyn Node, expected: u32) -> Verdict {
    let verdict = |health, reason: String, evidence: String| Verdict { health, reason, evidence };
    let found = match node.accelerators() {
        Ok(found) => found,
        Err(error) => return verdict(Health::Unknown, "the driver cannot be asked".into(), error),
    };
    let indices: Vec<_> = found.iter().map(|accelerator| accelerator.index.to_string()).collect();
    let evidence = format!("driver lists: {}", indices.join(" "));
    if (found.len() as u32) < expected {
        return verdict(Health::Unhealthy, format!("{} of {expected} accelerators", found.len()), evidence);
    }
    match found.into_iter().find_map(|accelerator| Some((accelerator.index, accelerator.fault?))) {
        Some((index, fault)) => verdict(Health::Unhealthy, format!("accelerator {index}: {fault}"), evidence),
        None => verdict(Health::Healthy, format!("{expected} accelerators"), evidence),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::unfit;
    use crate::node::Simulated;

    #[test]
    fn only_a_complete_and_faultless_node_is_fit() {
        let directory = tempfile::tempdir().unwrap();
        let node = Simulated { accelerators: 2, faults: directory.path().join("faults") };
        assert_eq!(unfit(&node, 2), None);
        assert_eq!(unfit(&node, 3).unwrap(), "accelerators: 2 of 3 accelerators (driver lists: 0 1)");
        std::fs::write(&node.faults, "1 lost\n").unwrap();
        assert_eq!(unfit(&node, 2).unwrap(), "accelerators: 1 of 2 accelerators (driver lists: 0)");
        std::fs::write(&node.faults, "0 double-bit ECC error\n").unwrap();
        assert_eq!(unfit(&node, 2).unwrap(), "accelerators: accelerator 0: double-bit ECC error (driver lists: 0 1)");
        std::fs::remove_file(&node.faults).unwrap();
        std::fs::create_dir(&node.faults).unwrap();
        assert_eq!(run(&node, 2).health, Health::Unknown);
        assert!(unfit(&node, 2).unwrap().contains("cannot be asked"));
    }
}
