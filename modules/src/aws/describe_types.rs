//! Instance types that the catalogue does not have, asked of EC2 (DescribeInstanceTypes).

use super::cloud::Cloud;
use super::ec2::{FILTER_VALUES, filter};
use super::error::Answer;
use crate::instance_types::{Accelerators, Architecture, Disks, InstanceType, Network, UsageClass};
use aws_sdk_ec2::types::{ArchitectureType, InstanceTypeInfo, NetworkInfo, UsageClassType};
use forge_engine::kind::KindError;

/// What EC2 says of Trainium2's memory, and what its chips have (AWS Neuron documentation), in MiB.
const TRAINIUM2: (&str, u64) = ("Trainium2", 96 << 10);

impl Cloud {
    /// What EC2 says of these types; those that it does not offer in the region are absent.
    ///
    /// # Errors
    /// When EC2 does not answer.
    pub async fn instance_types(&self, names: &[String]) -> Result<Vec<InstanceType>, KindError> {
        let mut found = Vec::new();
        for names in names.chunks(FILTER_VALUES) {
            // A filter, because a name that there is not would otherwise fail the call for all of them.
            let call = self.ec2().await.describe_instance_types().filters(filter("instance-type", names));
            let mut pages = call.into_paginator().items().send();
            while let Some(answer) = pages.next().await {
                found.extend(read(&answer.of(self, "ec2:DescribeInstanceTypes")?));
            }
        }
        Ok(found)
    }
}

fn read(info: &InstanceTypeInfo) -> Option<InstanceType> {
    let architectures = info.processor_info()?.supported_architectures();
    let architecture = match architectures.contains(&ArchitectureType::Arm64) {
        true => Architecture::Arm,
        false if architectures.contains(&ArchitectureType::X8664) => Architecture::X86,
        false => return None,
    };
    let disks = info.instance_storage_info().map(|storage| storage.disks()).unwrap_or_default();
    let disks = disks.first().and_then(|first| {
        let count = disks.iter().filter_map(|disk| disk.count()).sum();
        Some(Disks { count: number(count), size_gb: u64::try_from(first.size_in_gb()?).ok()? })
    });
    let usage = info.supported_usage_classes().iter().filter_map(|class| match class {
        UsageClassType::OnDemand => Some(UsageClass::OnDemand),
        UsageClassType::Spot => Some(UsageClass::Spot),
        UsageClassType::CapacityBlock => Some(UsageClass::CapacityBlock),
        _ => None,
    });
    Some(InstanceType {
        name: info.instance_type()?.as_str().to_owned(),
        vcpus: number(info.v_cpu_info()?.default_v_cpus()?),
        memory_mib: u64::try_from(info.memory_info()?.size_in_mib()?).ok()?,
        architecture,
        accelerators: accelerators(info),
        network: network(info.network_info()?),
        nitro: None,
        disks,
        usage_classes: usage.collect(),
        regions: None,
    })
}

fn network(info: &NetworkInfo) -> Network {
    let first = info.network_cards().iter().find(|card| card.network_card_index() == Some(0));
    let efa = info.efa_info().filter(|_| info.efa_supported() == Some(true));
    Network {
        cards: info.maximum_network_cards().map_or(1, number),
        interfaces: info.maximum_network_interfaces().map(number),
        first_card_interfaces: first.and_then(|card| card.maximum_network_interfaces()).map(number),
        addresses_per_interface: info.ipv4_addresses_per_interface().map(number),
        efa: efa.and_then(|efa| efa.maximum_efa_interfaces()).map_or(0, number),
    }
}

/// GPUs, or else AWS's own chips; those of several kinds count as the first.
fn accelerators(info: &InstanceTypeInfo) -> Option<Accelerators> {
    let gpus = info.gpu_info().map(|gpus| gpus.gpus()).unwrap_or_default();
    if let Some(first) = gpus.first() {
        let memory = first.memory_info().and_then(|memory| memory.size_in_mib()).unwrap_or_default();
        return Some(Accelerators {
            vendor: first.manufacturer().unwrap_or_default().to_lowercase(),
            model: first.name().unwrap_or_default().to_owned(),
            count: number(gpus.iter().filter_map(|gpu| gpu.count()).sum()),
            memory_mib: u64::try_from(memory).unwrap_or_default(),
        });
    }
    let chips = info.neuron_info().map(|chips| chips.neuron_devices()).unwrap_or_default();
    let first = chips.first()?;
    let model = first.name().unwrap_or_default().to_owned();
    let memory = first.memory_info().and_then(|memory| memory.size_in_mib()).unwrap_or_default();
    let memory_mib = if model == TRAINIUM2.0 { TRAINIUM2.1 } else { u64::try_from(memory).unwrap_or_default() };
    let count = number(chips.iter().filter_map(|chip| chip.count()).sum());
    Some(Accelerators { vendor: "aws".to_owned(), model, count, memory_mib })
}

/// A count of the API, where a negative one would have no meaning.
fn number(count: i32) -> u32 {
    u32::try_from(count).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance_types::layout::{Layout, efa_cards, max_pods_expression};
    use aws_sdk_ec2::types::{
        EfaInfo, MemoryInfo, NetworkCardInfo, NeuronDeviceInfo, NeuronDeviceMemoryInfo, NeuronInfo, ProcessorInfo,
        VCpuInfo,
    };

    /// A type that no version of forge has heard of.
    fn unheard_of() -> InstanceTypeInfo {
        let card = |index| NetworkCardInfo::builder().network_card_index(index).maximum_network_interfaces(2).build();
        let network = NetworkInfo::builder()
            .maximum_network_cards(4)
            .maximum_network_interfaces(8)
            .set_network_cards(Some((0..4).map(card).collect()))
            .ipv4_addresses_per_interface(50)
            .efa_supported(true)
            .efa_info(EfaInfo::builder().maximum_efa_interfaces(4).build());
        let memory = NeuronDeviceMemoryInfo::builder().size_in_mib(524_288).build();
        let chips = NeuronDeviceInfo::builder().count(4).name("Trainium2").memory_info(memory).build();
        InstanceTypeInfo::builder()
            .instance_type("trn9.24xlarge".into())
            .processor_info(ProcessorInfo::builder().supported_architectures(ArchitectureType::Arm64).build())
            .v_cpu_info(VCpuInfo::builder().default_v_cpus(96).build())
            .memory_info(MemoryInfo::builder().size_in_mib(1 << 20).build())
            .neuron_info(NeuronInfo::builder().neuron_devices(chips).build())
            .supported_usage_classes(UsageClassType::CapacityBlock)
            .network_info(network.build())
            .build()
    }

    #[test]
    fn a_type_that_no_version_has_heard_of_has_a_layout() {
        let read = read(&unheard_of()).expect("it has all that is needed");
        assert_eq!((read.name.as_str(), read.vcpus, read.architecture), ("trn9.24xlarge", 96, Architecture::Arm));
        let accelerators = read.accelerators.clone().expect("chips");
        assert_eq!((accelerators.count, accelerators.memory_mib), (4, 96 << 10), "the API is wrong about the memory");
        assert_eq!(read.usage_classes, [UsageClass::CapacityBlock]);
        assert_eq!(efa_cards(&read), [0, 1, 2, 3]);
        assert!(max_pods_expression(&read).is_some());
        assert_eq!(Layout::FewestAddresses.interfaces(&read).map(|interfaces| interfaces.len()), Some(3));
        assert!(super::read(&InstanceTypeInfo::builder().build()).is_none(), "nothing is made up");
    }
}
