//! What a launch template says of an instance, as its specification has it, as EC2 is asked for it, and as EC2 tells it.
//!
//! [`Shape`] is the one form that all three have in common, so that what is there can be compared with what is wanted.

use super::cloud::Cloud;
use super::error::Answer;
use super::launch_template::{Carries, Interface, Spec, merge};
use super::resource::Seen;
use super::{Market, Tags, tags};
use aws_sdk_ec2::types::{
    CapacityReservationTarget, InstanceNetworkInterfaceSpecification, InstanceType,
    LaunchTemplateBlockDeviceMappingRequest, LaunchTemplateCapacityReservationSpecificationRequest,
    LaunchTemplateEbsBlockDeviceRequest, LaunchTemplateHttpTokensState,
    LaunchTemplateIamInstanceProfileSpecificationRequest, LaunchTemplateInstanceMarketOptionsRequest,
    LaunchTemplateInstanceMetadataEndpointState, LaunchTemplateInstanceMetadataOptionsRequest,
    LaunchTemplateInstanceNetworkInterfaceSpecification, LaunchTemplateInstanceNetworkInterfaceSpecificationRequest,
    LaunchTemplatePlacementRequest, LaunchTemplateTagSpecificationRequest, MarketType, RequestLaunchTemplateData,
    ResourceType, ResponseLaunchTemplateData, Tag, VolumeType,
};
use aws_smithy_types::base64;
use forge_engine::kind as engine;
use forge_engine::kind::KindError;
use std::collections::BTreeSet;

/// Root devices of AWS's public images by what their parameters are called: the first that occurs in it decides (EC2 User
/// Guide, "Device names for volumes", and `RootDeviceName` of the images).
const ROOT_DEVICES: &[(&str, &str)] = &[
    ("ubuntu", "/dev/sda1"),
    ("canonical", "/dev/sda1"),
    ("suse", "/dev/sda1"),
    ("redhat", "/dev/sda1"),
    ("amazon-linux", "/dev/xvda"),
    ("ami-amazon", "/dev/xvda"),
    ("ecs/optimized-ami", "/dev/xvda"),
    ("debian", "/dev/xvda"),
    ("bottlerocket", "/dev/xvda"),
];

/// Where images are named by AWS.
const PARAMETERS: &str = "resolve:ssm:/aws/service/";

/// The device of the root volume of an image that a parameter of AWS names, or that EKS chooses: an Amazon Linux.
///
/// # Errors
/// Of any other image that is not known: a volume under another name would be one more, and the root not encrypted.
fn device_of(image: Option<&str>) -> Result<&'static str, KindError> {
    let Some(image) = image else { return Ok("/dev/xvda") };
    let known = image.strip_prefix(PARAMETERS).and_then(|parameter| {
        ROOT_DEVICES.iter().find(|(word, _)| parameter.contains(word)).map(|(_, device)| *device)
    });
    known.ok_or_else(|| {
        KindError::terminal(format!("of the image {image}, forge does not know what its root device is called"))
            .help("Name the image itself (ami-…), or one of AWS's parameters (resolve:ssm:/aws/service/…).")
    })
}

/// The device of the root volume of any image.
pub(super) async fn root_device(cloud: &Cloud, image: Option<&str>) -> Result<String, KindError> {
    const CALL: &str = "ec2:DescribeImages";
    let Some(ami) = image.filter(|image| image.starts_with("ami-")) else { return Ok(device_of(image)?.to_owned()) };
    let answer = cloud.ec2().await.describe_images().image_ids(ami).send().await.of(cloud, CALL)?;
    let found = answer.images.unwrap_or_default().pop().and_then(|image| image.root_device_name);
    found.ok_or_else(|| KindError::terminal(format!("the image {ami} has no root device")))
}

/// No number of hops that can be asked for.
const UNSAFE: u8 = 0;

/// What instances are started with.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Shape {
    instance_type: Option<String>,
    image: Option<String>,
    user_data: Option<String>,
    device: Option<String>,
    disk_gib: Option<u32>,
    interfaces: Vec<Interface>,
    security_groups: BTreeSet<String>,
    placement_group: Option<String>,
    market: Option<Market>,
    reservation: Option<String>,
    instance_profile: Option<String>,
    /// None that a specification can ask for where something is not as safe as it must be: a version made by hand.
    metadata_hops: Option<u8>,
    /// All but forge's.
    pub(super) tags: Tags,
}

/// How much user data EC2 takes, as it is before base64 ("Run commands when you launch an EC2 instance with user data
/// input": 16 KB in raw form).
const USER_DATA: usize = 16 << 10;

/// Refuses user data that EC2 would refuse, which it says only after everything else has been made, and without the figure.
///
/// # Errors
/// When there is too much of it.
pub(super) fn check_user_data(text: Option<&str>) -> Result<(), KindError> {
    let bytes = text.map_or(0, str::len);
    if bytes <= USER_DATA {
        return Ok(());
    }
    let message = format!("user_data has {bytes} bytes, and EC2 takes {USER_DATA}");
    let help = "Put what is long into the bucket, and let user_data fetch and run it.";
    Err(KindError::terminal(message).help(help))
}

impl Shape {
    /// As specified, with this root device.
    pub(super) fn of(spec: &Spec, device: String) -> Self {
        let mut tags = spec.tags.clone();
        tags.extend(spec.instance_tags.clone());
        Self {
            instance_type: spec.instance_type.clone(),
            image: spec.image.clone(),
            user_data: spec.user_data.clone(),
            device: Some(device),
            disk_gib: Some(spec.disk_gib),
            interfaces: spec.interfaces.clone(),
            security_groups: spec.security_groups.clone(),
            placement_group: spec.placement_group.clone(),
            market: spec.market.filter(|market| *market != Market::OnDemand),
            reservation: spec.reservation.clone(),
            instance_profile: spec.instance_profile.clone(),
            metadata_hops: Some(spec.metadata_hops),
            tags,
        }
    }

    /// As EC2 is asked for it. What it starts carries the tags of the template too.
    pub(super) fn request(&self, tags: &engine::Tags) -> RequestLaunchTemplateData {
        let groups: Vec<String> = self.security_groups.iter().cloned().collect();
        let groups = (!groups.is_empty()).then_some(groups);
        let born = tags::all(tags, &self.tags);
        let tags: Vec<Tag> =
            born.into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect();
        let tagged = [ResourceType::Instance, ResourceType::Volume].map(|what| {
            LaunchTemplateTagSpecificationRequest::builder().resource_type(what).set_tags(Some(tags.clone())).build()
        });
        let metadata = LaunchTemplateInstanceMetadataOptionsRequest::builder()
            .http_tokens(LaunchTemplateHttpTokensState::Required)
            .http_endpoint(LaunchTemplateInstanceMetadataEndpointState::Enabled)
            .set_http_put_response_hop_limit(self.metadata_hops.map(i32::from))
            .build();
        let request = RequestLaunchTemplateData::builder()
            .set_instance_type(self.instance_type.as_deref().map(InstanceType::from))
            .set_image_id(self.image.clone())
            .set_user_data(self.user_data.as_deref().map(base64::encode))
            .block_device_mappings(self.disk())
            .set_placement(
                self.placement_group
                    .as_ref()
                    .map(|name| LaunchTemplatePlacementRequest::builder().group_name(name).build()),
            )
            .set_iam_instance_profile(
                self.instance_profile
                    .as_ref()
                    .map(|arn| LaunchTemplateIamInstanceProfileSpecificationRequest::builder().arn(arn).build()),
            )
            .set_instance_market_options(self.market.map(|market| {
                LaunchTemplateInstanceMarketOptionsRequest::builder().market_type(market_type(market)).build()
            }))
            .set_capacity_reservation_specification(self.reservation.as_deref().map(target))
            .metadata_options(metadata)
            .set_tag_specifications(Some(tagged.to_vec()));
        // Groups are the instance's or its interfaces', and not both.
        if self.interfaces.is_empty() {
            return request.set_security_group_ids(groups).build();
        }
        request.set_network_interfaces(Some(self.cards(groups))).build()
    }

    fn disk(&self) -> LaunchTemplateBlockDeviceMappingRequest {
        let volume = LaunchTemplateEbsBlockDeviceRequest::builder()
            .encrypted(true)
            .volume_type(VolumeType::Gp3)
            .delete_on_termination(true)
            .set_volume_size(self.disk_gib.and_then(|gib| gib.try_into().ok()))
            .build();
        let device = self.device.clone();
        LaunchTemplateBlockDeviceMappingRequest::builder().set_device_name(device).ebs(volume).build()
    }

    /// One interface for each card. None of them asks for a public address: EC2 refuses that with more than one.
    fn cards(&self, groups: Option<Vec<String>>) -> Vec<LaunchTemplateInstanceNetworkInterfaceSpecificationRequest> {
        let index = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
        let each = self.interfaces.iter().flat_map(|like| like.cards.iter().map(move |card| (like, *card)));
        each.map(|(like, card)| {
            LaunchTemplateInstanceNetworkInterfaceSpecificationRequest::builder()
                .network_card_index(index(card))
                .device_index(index(like.device))
                .interface_type(interface_type(like.carries))
                .set_groups(groups.clone())
                .delete_on_termination(true)
                .build()
        })
        .collect()
    }

    /// The interfaces of an instance in a subnet: EC2 takes a subnet for all of them only where a template has none.
    pub(super) fn within(&self, subnet: &str) -> Vec<InstanceNetworkInterfaceSpecification> {
        let groups: Vec<String> = self.security_groups.iter().cloned().collect();
        let placed = |card: LaunchTemplateInstanceNetworkInterfaceSpecificationRequest| {
            InstanceNetworkInterfaceSpecification::builder()
                .set_network_card_index(card.network_card_index)
                .set_device_index(card.device_index)
                .set_interface_type(card.interface_type)
                .set_groups(card.groups)
                .subnet_id(subnet)
                .delete_on_termination(true)
                .build()
        };
        self.cards((!groups.is_empty()).then_some(groups)).into_iter().map(placed).collect()
    }

    /// The fields of the specification, as far as EC2 tells them. `own` are the template's own tags, which instances get
    /// as well: where there are any, nothing tells which of an instance's tags were asked for again.
    pub(super) fn seen(&self, seen: Seen, own: &Tags) -> Seen {
        seen.field("instance_type", &self.instance_type)
            .field("image", &self.image)
            .field("user_data", &self.user_data)
            .known("disk_gib", self.disk_gib)
            .field("interfaces", &self.interfaces)
            .field("security_groups", &self.security_groups)
            .field("placement_group", &self.placement_group)
            .known("market", self.market)
            .field("reservation", &self.reservation)
            .field("instance_profile", &self.instance_profile)
            .known("metadata_hops", self.metadata_hops)
            .known("instance_tags", own.is_empty().then_some(&self.tags))
    }
}

impl From<ResponseLaunchTemplateData> for Shape {
    fn from(data: ResponseLaunchTemplateData) -> Self {
        let mapping = data.block_device_mappings.unwrap_or_default().into_iter().next();
        let (device, volume) = mapping.map(|mapping| (mapping.device_name, mapping.ebs)).unwrap_or_default();
        let metadata = data.metadata_options;
        let safe = volume.as_ref().is_some_and(|volume| volume.encrypted == Some(true))
            && metadata
                .as_ref()
                .is_some_and(|metadata| metadata.http_tokens == Some(LaunchTemplateHttpTokensState::Required));
        let hops = metadata.and_then(|metadata| metadata.http_put_response_hop_limit?.try_into().ok());
        let cards = data.network_interfaces.unwrap_or_default();
        let groups = cards.iter().flat_map(|card| card.groups().iter().cloned());
        let instance = data
            .tag_specifications
            .unwrap_or_default()
            .into_iter()
            .find(|tagged| tagged.resource_type == Some(ResourceType::Instance));
        let target = data.capacity_reservation_specification.and_then(|spec| spec.capacity_reservation_target);
        Self {
            instance_type: data.instance_type.map(|instance_type| instance_type.as_str().to_owned()),
            image: data.image_id,
            user_data: data.user_data.map(readable),
            device,
            disk_gib: volume.and_then(|volume| volume.volume_size?.try_into().ok()),
            security_groups: groups.chain(data.security_group_ids.unwrap_or_default()).collect(),
            interfaces: merge(cards.iter().filter_map(interface).collect()),
            placement_group: data.placement.and_then(|placement| placement.group_name),
            market: data.instance_market_options.and_then(|options| market(&options.market_type?)),
            reservation: target.and_then(|target| target.capacity_reservation_id),
            instance_profile: data.iam_instance_profile.and_then(|profile| profile.arn),
            metadata_hops: if safe { hops } else { Some(UNSAFE) },
            tags: tags::split(super::ec2::pairs(instance.and_then(|tagged| tagged.tags))).1,
        }
    }
}

/// User data as text; as it came when it is none.
fn readable(encoded: String) -> String {
    let decoded = base64::decode(&encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.unwrap_or(encoded)
}

fn target(reservation: &str) -> LaunchTemplateCapacityReservationSpecificationRequest {
    let target = CapacityReservationTarget::builder().capacity_reservation_id(reservation).build();
    LaunchTemplateCapacityReservationSpecificationRequest::builder().capacity_reservation_target(target).build()
}

fn market_type(market: Market) -> MarketType {
    match market {
        Market::OnDemand => MarketType::OnDemand,
        Market::Spot => MarketType::Spot,
        Market::CapacityBlock => MarketType::CapacityBlock,
    }
}

fn market(market: &MarketType) -> Option<Market> {
    match market {
        MarketType::Spot => Some(Market::Spot),
        MarketType::CapacityBlock => Some(Market::CapacityBlock),
        _ => None,
    }
}

fn interface_type(carries: Carries) -> &'static str {
    match carries {
        Carries::Ip => "interface",
        Carries::EfaOnly => "efa-only",
        Carries::Efa => "efa",
    }
}

fn interface(card: &LaunchTemplateInstanceNetworkInterfaceSpecification) -> Option<Interface> {
    let index = |n: Option<i32>| u32::try_from(n.unwrap_or_default()).ok();
    let carries = match card.interface_type() {
        Some("efa-only") => Carries::EfaOnly,
        Some("efa") => Carries::Efa,
        _ => Carries::Ip,
    };
    Some(Interface { cards: vec![index(card.network_card_index)?], device: index(card.device_index)?, carries })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};

    #[test]
    fn root_devices_are_known_or_refused() {
        for (parameter, device) in [
            ("ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64", "/dev/xvda"),
            ("deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-amazon-linux-2023/latest/ami-id", "/dev/xvda"),
            ("deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id", "/dev/sda1"),
            ("neuron/dlami/multi-framework/ubuntu-22.04/latest/image_id", "/dev/sda1"),
            ("canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id", "/dev/sda1"),
            ("eks/optimized-ami/1.35/amazon-linux-2023/x86_64/nvidia/recommended/image_id", "/dev/xvda"),
        ] {
            assert_eq!(device_of(Some(&format!("{PARAMETERS}{parameter}"))).unwrap(), device);
        }
        assert_eq!(device_of(None).unwrap(), "/dev/xvda");
        let error = device_of(Some("resolve:ssm:/ours/image")).unwrap_err().to_string();
        assert_eq!(error, "of the image resolve:ssm:/ours/image, forge does not know what its root device is called");
    }

    /// What EC2 answers to a request: its own types, with the same in them.
    fn answered(request: &RequestLaunchTemplateData) -> ResponseLaunchTemplateData {
        use aws_sdk_ec2::types as ec2;
        let volume = request.block_device_mappings()[0].ebs().unwrap();
        let volume = ec2::LaunchTemplateEbsBlockDevice::builder()
            .set_encrypted(volume.encrypted())
            .set_volume_size(volume.volume_size())
            .build();
        let device = request.block_device_mappings()[0].device_name().unwrap();
        let card = |card: &LaunchTemplateInstanceNetworkInterfaceSpecificationRequest| {
            LaunchTemplateInstanceNetworkInterfaceSpecification::builder()
                .set_network_card_index(card.network_card_index())
                .set_device_index(card.device_index())
                .set_interface_type(card.interface_type().map(str::to_owned))
                .set_groups(Some(card.groups().to_vec()))
                .build()
        };
        let tagged = request.tag_specifications()[0].tags().to_vec();
        let metadata = request.metadata_options().unwrap();
        ResponseLaunchTemplateData::builder()
            .set_instance_type(request.instance_type().cloned())
            .set_image_id(request.image_id().map(str::to_owned))
            .set_user_data(request.user_data().map(str::to_owned))
            .block_device_mappings(
                ec2::LaunchTemplateBlockDeviceMapping::builder().device_name(device).ebs(volume).build(),
            )
            .set_network_interfaces(Some(request.network_interfaces().iter().map(card).collect()))
            .set_security_group_ids(Some(request.security_group_ids().to_vec()))
            .instance_market_options(
                ec2::LaunchTemplateInstanceMarketOptions::builder()
                    .set_market_type(
                        request.instance_market_options().and_then(|options| options.market_type().cloned()),
                    )
                    .build(),
            )
            .tag_specifications(
                ec2::LaunchTemplateTagSpecification::builder()
                    .resource_type(ResourceType::Instance)
                    .set_tags(Some(tagged))
                    .build(),
            )
            .metadata_options(
                ec2::LaunchTemplateInstanceMetadataOptions::builder()
                    .set_http_tokens(metadata.http_tokens().cloned())
                    .set_http_put_response_hop_limit(metadata.http_put_response_hop_limit())
                    .build(),
            )
            .build()
    }

    fn shape(spec: Json) -> Shape {
        Shape::of(&serde_json::from_value(spec).unwrap(), "/dev/xvda".to_owned())
    }

    fn tags() -> engine::Tags {
        use forge_engine::address::{Address, Deployment, OperationId};
        let (deployment, operation) = (Deployment("dep".to_owned()), OperationId("op".to_owned()));
        engine::Tags { deployment, address: Address::new("pool.template[0]"), operation }
    }

    #[test]
    fn user_data_that_ec2_would_refuse_is_not_sent() {
        let of = |bytes: usize| check_user_data(Some(&"x".repeat(bytes)));
        assert!(of(16384).is_ok() && check_user_data(None).is_ok());
        assert_eq!(of(16385).unwrap_err().message, "user_data has 16385 bytes, and EC2 takes 16384");
    }

    #[test]
    fn what_ec2_was_asked_for_is_what_it_tells() {
        let wide = shape(json!({
            "name": "t", "instance_type": "p5.48xlarge", "image": "ami-1", "user_data": "#!/bin/sh\nä\n", "disk_gib": 100,
            "interfaces": [
                { "cards": [0], "device": 0, "carries": "ip" },
                { "cards": [0], "device": 1, "carries": "efa-only" },
                { "cards": [1, 2, 3], "device": 0, "carries": "efa-only" },
            ],
            "security_groups": ["sg-1", "sg-2"], "market": "capacity-block",
            "instance_tags": { "Name": "n" }, "tags": { "team": "a" },
        }));
        let plain = shape(json!({ "name": "t", "disk_gib": 20, "security_groups": ["sg-1"], "market": "on-demand" }));
        for shape in [wide, plain] {
            assert_eq!(Shape::from(answered(&shape.request(&tags()))), shape);
        }
    }

    #[test]
    fn groups_are_the_instances_or_its_interfaces_and_nothing_is_insecure() {
        let plain = shape(json!({ "name": "t", "disk_gib": 20, "security_groups": ["sg-1"] })).request(&tags());
        assert_eq!((plain.security_group_ids(), plain.network_interfaces().len()), (&["sg-1".to_owned()][..], 0));
        let metadata = plain.metadata_options().unwrap();
        assert_eq!(metadata.http_tokens(), Some(&LaunchTemplateHttpTokensState::Required));
        let volume = plain.block_device_mappings()[0].ebs().unwrap();
        assert_eq!((volume.encrypted(), volume.volume_type()), (Some(true), Some(&VolumeType::Gp3)));
        let interfaces = json!([{ "cards": [0, 1], "device": 0, "carries": "efa" }]);
        let cards =
            shape(json!({ "name": "t", "disk_gib": 20, "security_groups": ["sg-1"], "interfaces": interfaces }));
        let cards = cards.request(&tags());
        assert_eq!(cards.security_group_ids().len(), 0);
        assert!(cards.network_interfaces().iter().all(|card| card.groups() == ["sg-1"]));
    }

    #[test]
    fn a_version_that_is_not_safe_differs_from_any_that_can_be_asked_for() {
        let wanted = shape(json!({ "name": "t", "disk_gib": 20 }));
        let mut answer = answered(&wanted.request(&tags()));
        assert_eq!(Shape::from(answer.clone()), wanted);
        answer.metadata_options = None;
        assert_ne!(Shape::from(answer), wanted);
    }
}
