"""Instances: started, seen, ended.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RunInstances.html: unknown types are `InvalidParameterValue`, types
that a zone does not offer `Unsupported`, quotas `VcpuLimitExceeded`, lack of capacity `InsufficientInstanceCapacity` (as a
server's error), full reservations `ReservationCapacityExceeded`. An instance is `pending`, then `running`; ended, it is
`shutting-down`, then `terminated`, and stays in the list for about an hour
(https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-lifecycle.html). Its interfaces go when it is terminated.

moto starts any type, keeps one interface for each device index whatever the network card, ignores tokens, placement groups
and reservations, and terminates at once. Volumes are left out here.
"""

import re

from . import app, capacity, clock, ec2, interfaces, launch_templates, network, offerings, placement, security_groups
from . import world as world_module
from .ec2 import Kind, attribute
from .wire import Fault

START = 20
END = 60
SHOWN = 3600

CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}


class Instance:
    """One instance."""

    def __init__(self, world):
        self.id = world_module.identifier("i")
        self.world = world
        self.state = "pending"
        self.launched = clock.now()
        self.nics = []
        self.reservation = None
        self.market = "on-demand"
        self.placement_group = None
        self.partition = None
        self.reason = ""
        self.protected = False

    @property
    def primary(self):
        return self.nics[0] if self.nics else None


def table(world):
    return world.table("instances")


def view(world, one):
    primary = one.primary
    return {
        "AmiLaunchIndex": one.index,
        "ImageId": one.image,
        "InstanceId": one.id,
        "InstanceType": one.instance_type,
        "KeyName": one.key,
        "LaunchTime": one.launched,
        "Monitoring": {"State": "disabled"},
        "Placement": {
            "AvailabilityZone": one.zone,
            "GroupName": one.placement_group or "",
            "GroupId": one.placement_group_id,
            "PartitionNumber": one.partition,
            "Tenancy": "default",
        },
        "PrivateDnsName": f"ip-{primary.private_ip_address.replace('.', '-')}.{world.region}.compute.internal" if primary else "",
        "PrivateIpAddress": primary.private_ip_address if primary else None,
        "PublicDnsName": "",
        "PublicIpAddress": primary.public_ip if primary else None,
        "State": {"Code": CODES[one.state], "Name": one.state},
        "StateTransitionReason": one.reason,
        "SubnetId": one.subnet_id if one.state != "terminated" else None,
        "VpcId": one.vpc_id if one.state != "terminated" else None,
        "Architecture": offerings.types()[one.instance_type]["ProcessorInfo"]["SupportedArchitectures"][-1],
        "BlockDeviceMappings": [],
        "ClientToken": one.token or "",
        "EbsOptimized": bool(one.data.get("EbsOptimized")),
        "EnaSupport": True,
        "Hypervisor": "xen",
        "IamInstanceProfile": one.profile,
        "InstanceLifecycle": {"spot": "spot", "capacity-block": "capacity-block"}.get(one.market),
        "NetworkInterfaces": [_nic_view(world, eni) for eni in one.nics],
        "RootDeviceName": "/dev/xvda",
        "RootDeviceType": "ebs",
        "SecurityGroups": [{"GroupId": group.id, "GroupName": group.name} for group in primary._group_set] if primary else [],
        "SourceDestCheck": True,
        "StateReason": {"Code": "Client.UserInitiatedShutdown", "Message": "Client.UserInitiatedShutdown: User initiated shutdown"}
        if one.state in ("shutting-down", "terminated")
        else None,
        "Tags": ec2.tags(world, one.id),
        "VirtualizationType": "hvm",
        "CapacityReservationId": one.reservation,
        "CapacityReservationSpecification": one.data.get("CapacityReservationSpecification") or {"CapacityReservationPreference": "open"},
        "HibernationOptions": {"Configured": False},
        "MetadataOptions": {
            "State": "applied",
            "HttpTokens": (one.data.get("MetadataOptions") or {}).get("HttpTokens", "optional"),
            "HttpPutResponseHopLimit": int((one.data.get("MetadataOptions") or {}).get("HttpPutResponseHopLimit", 1)),
            "HttpEndpoint": (one.data.get("MetadataOptions") or {}).get("HttpEndpoint", "enabled"),
            "HttpProtocolIpv6": "disabled",
            "InstanceMetadataTags": (one.data.get("MetadataOptions") or {}).get("InstanceMetadataTags", "disabled"),
        },
    }


def _nic_view(world, eni):
    full = interfaces.view(world, eni)
    return {
        "Attachment": {name: value for name, value in full["Attachment"].items() if name not in ("InstanceId", "InstanceOwnerId")},
        "Description": full["Description"],
        "Groups": full["Groups"],
        "Ipv6Addresses": [],
        "MacAddress": full["MacAddress"],
        "NetworkInterfaceId": full["NetworkInterfaceId"],
        "OwnerId": world.account,
        "PrivateIpAddress": full["PrivateIpAddress"],
        "PrivateIpAddresses": [
            {name: value for name, value in one.items() if name != "Association"} for one in full["PrivateIpAddresses"]
        ],
        "SourceDestCheck": True,
        "Status": "in-use",
        "SubnetId": full["SubnetId"],
        "VpcId": full["VpcId"],
        "InterfaceType": full["InterfaceType"],
    }


INSTANCE = Kind(
    "i",
    "instance",
    "InvalidInstanceID.NotFound",
    "The instance ID '{}' does not exist",
    table,
    view,
    {
        "instance-id": attribute("InstanceId"),
        "instance-state-name": attribute("State", "Name"),
        "instance-state-code": attribute("State", "Code"),
        "instance-type": attribute("InstanceType"),
        "instance-lifecycle": attribute("InstanceLifecycle"),
        "image-id": attribute("ImageId"),
        "vpc-id": attribute("VpcId"),
        "subnet-id": attribute("SubnetId"),
        "availability-zone": attribute("Placement", "AvailabilityZone"),
        "placement-group-name": attribute("Placement", "GroupName"),
        "capacity-reservation-id": attribute("CapacityReservationId"),
        "client-token": attribute("ClientToken"),
        "iam-instance-profile.arn": attribute("IamInstanceProfile", "Arn"),
        "private-ip-address": attribute("PrivateIpAddress"),
        "private-dns-name": attribute("PrivateDnsName"),
        "ip-address": attribute("PublicIpAddress"),
        "key-name": attribute("KeyName"),
        "instance.group-id": attribute("SecurityGroups", "GroupId"),
        "network-interface.network-interface-id": attribute("NetworkInterfaces", "NetworkInterfaceId"),
        "network-interface.subnet-id": attribute("NetworkInterfaces", "SubnetId"),
        "launch-time": attribute("LaunchTime"),
        "architecture": attribute("Architecture"),
        "owner-id": lambda _: None,
    },
)


def image(world, wanted):
    """The image that a launch names, also by parameter (`resolve:ssm:`)."""
    if not wanted:
        raise Fault("MissingParameter", "The request must contain the parameter ImageId")
    if wanted.startswith("resolve:ssm:"):
        from . import parameters

        found = parameters.value(world, wanted.removeprefix("resolve:ssm:"))
        if found is None:
            raise Fault("InvalidParameterValue", f"The parameter {wanted.removeprefix('resolve:ssm:')} could not be found.")
        return found
    if not re.fullmatch(r"ami-[0-9a-f]{8}(?:[0-9a-f]{9})?", wanted):
        raise Fault("InvalidAMIID.Malformed", f'Invalid id: "{wanted}"')
    if not wanted.removeprefix("ami-").strip("0"):
        raise Fault("InvalidAMIID.NotFound", f"The image id '[{wanted}]' does not exist")
    return wanted


def profile_of(world, given):
    """The instance profile that a launch names, as instances show it."""
    if not given:
        return None
    from . import visibility

    name, arn = given.get("Name"), given.get("Arn")
    for one in world.iam.instance_profiles.values():
        if (name and one.name == name) or (arn and one.arn == arn):
            if visibility.fresh("iam", world.account, "instance-profile", one.name):
                break
            return {"Arn": one.arn, "Id": one.id}
    what = "name" if name else "arn"
    raise Fault(
        "InvalidParameterValue",
        f"Value ({name or arn}) for parameter iamInstanceProfile.{what} is invalid. Invalid IAM Instance Profile {what}",
    )


def settle(world, given):
    """A launch with what its template says: what the request gives wins."""
    named = given.get("LaunchTemplate")
    if not named:
        return dict(given), None
    template = launch_templates.find(world, named.get("LaunchTemplateId"), named.get("LaunchTemplateName"))
    version = launch_templates.version_of(template, named.get("Version") or "$Default")
    data = {**version["data"]}
    tag_specifications = [*(data.get("TagSpecifications") or []), *(given.get("TagSpecifications") or [])]
    data.update({name: value for name, value in given.items() if value is not None})
    data["TagSpecifications"] = tag_specifications
    return data, (template, version)


def check_interfaces(data, known):
    """What EC2 refuses of network interfaces at launch, by what the type has."""
    nics = data.get("NetworkInterfaces") or []
    if not nics:
        return
    info = known["NetworkInfo"]
    name = known["InstanceType"]
    if data.get("SecurityGroupIds") or data.get("SecurityGroups"):
        raise Fault(
            "InvalidParameterCombination",
            "Network interfaces and an instance-level security groups may not be specified on the same request",
        )
    if data.get("SubnetId") and len(nics) and any(nic.get("SubnetId") for nic in nics):
        raise Fault(
            "InvalidParameterCombination",
            "Network interfaces and an instance-level subnet ID may not be specified on the same request",
        )
    if len(nics) > info["MaximumNetworkInterfaces"]:
        raise Fault("AttachmentLimitExceeded", f"Interface count {len(nics)} exceeds the limit for {name}")
    if len(nics) > 1 and any(nic.get("AssociatePublicIpAddress") for nic in nics):
        raise Fault(
            "InvalidParameterCombination",
            "The associatePublicIPAddress parameter cannot be specified when launching with multiple network interfaces.",
        )
    places = set()
    efa_cards = []
    for nic in nics:
        card, device = int(nic.get("NetworkCardIndex") or 0), int(nic.get("DeviceIndex") or 0)
        if (card, device) in places:
            raise Fault("InvalidParameterValue", f"Each network interface requires a device index that is unique on its network card: {device}")
        places.add((card, device))
        if card >= info.get("MaximumNetworkCards", 1):
            raise Fault("InvalidParameterValue", f"Network card index {card} exceeds the limit for {name}")
        kind = nic.get("InterfaceType") or "interface"
        if kind in ("efa", "efa-only"):
            if not info.get("EfaSupported"):
                raise Fault("InvalidParameterCombination", f"Elastic Fabric Adapter is not supported with {name}.")
            efa_cards.append(card)
        if kind == "efa-only" and (card, device) == (0, 0):
            raise Fault("InvalidParameterCombination", "An EFA-only network interface cannot be the primary network interface.")
        if kind == "efa-only" and (
            nic.get("AssociatePublicIpAddress") or nic.get("PrivateIpAddress") or nic.get("PrivateIpAddresses")
            or nic.get("Ipv4PrefixCount") or nic.get("Ipv6AddressCount") or nic.get("SecondaryPrivateIpAddressCount")
        ):
            raise Fault("InvalidParameterCombination", "IP addresses cannot be assigned to an EFA-only network interface.")
    if (0, 0) not in places:
        raise Fault("InvalidParameterCombination", "The primary network interface (device index 0 of network card 0) is missing.")
    most = (info.get("EfaInfo") or {}).get("MaximumEfaInterfaces", 0)
    if len(efa_cards) > most:
        raise Fault("AttachmentLimitExceeded", f"EFA interface count {len(efa_cards)} exceeds the limit of {most} for {name}")
    if len(set(efa_cards)) != len(efa_cards):
        raise Fault("InvalidParameterCombination", "Only one Elastic Fabric Adapter can be attached to each network card.")
    if name.startswith("p6-b300") and 0 in efa_cards:
        raise Fault("InvalidParameterCombination", "Network card 0 does not support Elastic Fabric Adapter.")


def launch(world, given, count, token=None, least=None, tags=None, asked=None):
    """Starts instances; all the reasons against are told before any is started."""
    data, template = settle(world, given)
    instance_type = data.get("InstanceType")
    if not instance_type:
        instance_type = "m1.small"
    if instance_type not in offerings.types():
        raise Fault("InvalidParameterValue", f"Invalid value '{instance_type}' for InstanceType.")
    known = offerings.types()[instance_type]
    chosen_image = image(world, data.get("ImageId"))
    check_interfaces(data, known)
    nics = [dict(nic) for nic in data.get("NetworkInterfaces") or []]
    subnet_id = data.get("SubnetId") or next((nic["SubnetId"] for nic in nics if nic.get("SubnetId")), None)
    wanted_zone = (data.get("Placement") or {}).get("AvailabilityZone")
    if subnet_id:
        subnet = network.SUBNET.find(world, subnet_id)
    else:
        defaults = [
            one
            for one in network.all_subnets(world).values()
            if one.default_for_az and wanted_zone in (None, one.availability_zone)
        ]
        fitting = [one for one in defaults if offerings.offered(world, instance_type, one.availability_zone)]
        if not (fitting or defaults):
            raise Fault("MissingInput", "No subnets found for the default VPC. Please specify a subnet.")
        subnet = (fitting or defaults)[0]
    zone = subnet.availability_zone
    if wanted_zone and wanted_zone != zone:
        raise Fault("InvalidParameterValue", f"The availability zone {wanted_zone} is not that of subnet {subnet.id}.")
    if not offerings.offered(world, instance_type, zone):
        raise capacity.unsupported(world, instance_type, zone)
    groups = list(data.get("SecurityGroupIds") or [])
    for nic in nics:
        groups += nic.get("Groups") or []
    for identifier in groups:
        group = security_groups.GROUP.find(world, identifier)
        if group.vpc_id != subnet.vpc_id:
            raise Fault("InvalidParameter", f"Security group {identifier} and subnet {subnet.id} belong to different networks.")
    profile = profile_of(world, data.get("IamInstanceProfile"))
    place = data.get("Placement") or {}
    group = None
    if place.get("GroupName") or place.get("GroupId"):
        group = placement.find(world, name=place.get("GroupName"), identifier=place.get("GroupId"))
        if group["Strategy"] == "cluster":
            for other in table(world).values():
                if other.placement_group == group["GroupName"] and other.state != "terminated" and other.zone != zone:
                    raise Fault(
                        "InvalidParameterCombination",
                        f"Placement group {group['GroupName']} has instances in {other.zone}: a cluster placement group cannot span Availability Zones.",
                    )
        if group["Strategy"] == "spread":
            held = sum(
                1
                for other in table(world).values()
                if other.placement_group == group["GroupName"] and other.state != "terminated" and other.zone == zone
            )
            if held + count > 7:
                raise Fault("InsufficientInstanceCapacity", "A spread placement group holds at most 7 instances in an Availability Zone.", 500)
    market = (data.get("InstanceMarketOptions") or {}).get("MarketType") or "on-demand"
    if market != "on-demand" and market not in known.get("SupportedUsageClasses", []):
        raise Fault("InvalidParameterValue", f"The instance type {instance_type} does not support the market {market}.")
    if market == "on-demand" and "on-demand" not in known.get("SupportedUsageClasses", []):
        raise Fault("InvalidParameterCombination", f"The instance type {instance_type} can only be launched in a Capacity Block.")
    target = ((data.get("CapacityReservationSpecification") or {}).get("CapacityReservationTarget") or {}).get("CapacityReservationId")
    preference = (data.get("CapacityReservationSpecification") or {}).get("CapacityReservationPreference")
    reservation = None
    if target:
        found = capacity.reserve(world, target, instance_type, zone, count)
        if (found.get("ReservationType") == "capacity-block") != (market == "capacity-block"):
            raise Fault("InvalidParameterCombination", "The market type does not fit the type of the Capacity Reservation.")
        reservation = target
    elif market == "capacity-block":
        raise Fault("InvalidParameterCombination", "The market type capacity-block needs the Capacity Reservation of a Capacity Block as target.")
    else:
        if market == "on-demand" and preference != "none":
            found = capacity.open_reservation(world, instance_type, zone, group["GroupArn"] if group else None)
            if found is not None and found["TotalInstanceCount"] - capacity.used_of(world, found["CapacityReservationId"]) >= count:
                reservation = found["CapacityReservationId"]
        if reservation is None and preference == "capacity-reservations-only":
            raise Fault("ReservationCapacityExceeded", "There is no open Capacity Reservation with enough capacity.")
    if reservation is None:
        capacity.check_vcpus(world, instance_type, count, market == "spot")
        left = capacity.room(world, zone, instance_type, market)
        if left is not None and left < count:
            if least is not None and left >= least:
                count = left
            else:
                raise Fault("InsufficientInstanceCapacity", capacity.SHORT.format(type=instance_type, zone=zone), 500)
    addresses = sum(1 for nic in nics if nic.get("InterfaceType") != "efa-only") or 1
    if subnet._available_ip_addresses - network.used_addresses(world).get(subnet.id, 0) < addresses * count:
        raise Fault(
            "InsufficientFreeAddressesInSubnet",
            f"There are not enough free addresses in subnet '{subnet.id}' to satisfy the requested number of instances.",
        )
    instance_tags, eni_tags = {}, {}
    for specification in data.get("TagSpecifications") or []:
        pairs = {tag["Key"]: tag.get("Value") or "" for tag in specification.get("Tags") or []}
        if specification.get("ResourceType") == "instance":
            instance_tags.update(pairs)
        elif specification.get("ResourceType") == "network-interface":
            eni_tags.update(pairs)
    if template:
        instance_tags["aws:ec2launchtemplate:id"] = template[0].id
        instance_tags["aws:ec2launchtemplate:version"] = str(template[1]["number"])
    instance_tags.update(tags or {})
    reservation_id = world_module.identifier("r")
    made = []
    for index in range(count):
        one = Instance(world)
        one.index = index
        one.image = chosen_image
        one.instance_type = instance_type
        one.key = data.get("KeyName")
        one.zone = zone
        one.subnet_id, one.vpc_id = subnet.id, subnet.vpc_id
        one.token = token
        one.data = data
        one.profile = profile
        one.market = market
        one.reservation = reservation
        one.placement_group = group["GroupName"] if group else None
        one.placement_group_id = group["GroupId"] if group else None
        if group and group["Strategy"] == "partition":
            one.partition = int(place.get("PartitionNumber") or index % group["PartitionCount"] + 1)
        one.launch = reservation_id
        one.protected = bool(data.get("DisableApiTermination"))
        plan = nics or [{"DeviceIndex": 0, "Groups": data.get("SecurityGroupIds")}]
        for nic in sorted(plan, key=lambda nic: (int(nic.get("NetworkCardIndex") or 0), int(nic.get("DeviceIndex") or 0))):
            _plug(world, one, nic, subnet, eni_tags)
        table(world)[one.id] = one
        ec2.set_tags(world, one.id, instance_tags)
        made.append(one)
        clock.after(START, _started, one)
    return made


def _plug(world, one, nic, subnet, tags):
    if nic.get("NetworkInterfaceId"):
        eni = interfaces.ENI.find(world, nic["NetworkInterfaceId"])
        mine = False
    else:
        where = network.SUBNET.find(world, nic["SubnetId"]) if nic.get("SubnetId") else subnet
        eni = interfaces.make(world, where, nic.get("Groups"), nic.get("Description") or "", nic.get("InterfaceType") or "interface", tags=tags)
        mine = True
        if eni.interface_type == "efa-only":
            eni.private_ip_address, eni.private_ip_addresses = None, []
    public = nic.get("AssociatePublicIpAddress")
    if public is None and not one.nics:
        public = eni.subnet.map_public_ip_on_launch
    if public and eni.interface_type != "efa-only":
        eni.public_ip = f"198.51.{world_module._random.randrange(100, 101)}.{world_module._random.randrange(1, 255)}"
    eni.status = "in-use"
    eni.held_by = {
        "AttachTime": one.launched,
        "AttachmentId": world_module.identifier("eni-attach"),
        "DeleteOnTermination": nic.get("DeleteOnTermination", mine),
        "DeviceIndex": int(nic.get("DeviceIndex") or 0),
        "NetworkCardIndex": int(nic.get("NetworkCardIndex") or 0),
        "InstanceId": one.id,
        "InstanceOwnerId": world.account,
        "Status": "attached",
    }
    one.nics.append(eni)


def _started(one):
    if one.state == "pending":
        one.state = "running"


def terminate(world, one):
    """Ends an instance: it shuts down, then is terminated."""
    if one.state in ("shutting-down", "terminated"):
        return
    one.state = "shutting-down"
    one.reason = "User initiated"
    clock.after(END, _ended, world, one)


def _ended(world, one):
    one.state = "terminated"
    for eni in one.nics:
        if eni.held_by and eni.held_by["DeleteOnTermination"]:
            interfaces.remove(world, eni.id)
        else:
            eni.held_by, eni.status, eni.public_ip = None, "available", None
    one.nics = []
    one.reservation = None
    clock.after(SHOWN, _forgotten, world, one)


def _forgotten(world, one):
    table(world).pop(one.id, None)
    ec2.forget(world, one.id)


def all_terminated(world, reply):
    """Whether the instances that an answer names are all gone."""
    text = reply if isinstance(reply, str) else reply.decode()
    ids = set(re.findall(r"<instanceId>(i-[0-9a-f]+)</instanceId>", text))
    return bool(ids) and all(
        table(world).get(identifier) is None or table(world)[identifier].state in ("terminated", "shutting-down") for identifier in ids
    )


@app.handles("ec2", "RunInstances")
def run(call):
    world = call.world
    given = dict(call.params)
    ec2.specified(call, "instance", "volume", "network-interface", "spot-instances-request")
    least, most = int(call.get("MinCount") or 0), int(call.get("MaxCount") or 0)
    if not least or not most:
        raise Fault("MissingParameter", "The request must contain the parameter MinCount and MaxCount")
    if not 1 <= least <= most:
        raise Fault("InvalidParameterValue", "Value for parameter minCount is invalid.")
    made = launch(world, given, most, call.get("ClientToken"), least)
    return {
        "Groups": [],
        "Instances": [view(world, one) for one in made],
        "OwnerId": world.account,
        "ReservationId": made[0].launch,
    }


@app.handles("ec2", "DescribeInstances")
def describe(call):
    world = call.world
    rows = ec2.listing(call, INSTANCE, call.get("InstanceIds"))
    chosen, token = ec2.page(call, rows, 1000)
    by_launch = {}
    for row in chosen:
        by_launch.setdefault(table(world)[row["InstanceId"]].launch, []).append(row)
    return {
        "Reservations": [
            {"Groups": [], "Instances": found, "OwnerId": world.account, "ReservationId": identifier}
            for identifier, found in by_launch.items()
        ],
        "NextToken": token,
    }


@app.handles("ec2", "DescribeInstanceStatus")
def status(call):
    rows = []
    for row in ec2.listing(call, INSTANCE, call.get("InstanceIds")):
        running = row["State"]["Name"] == "running"
        if not running and not call.get("IncludeAllInstances"):
            continue
        check = {"Status": "ok" if running else "not-applicable", "Details": [{"Name": "reachability", "Status": "passed"}] if running else []}
        rows.append(
            {
                "AvailabilityZone": row["Placement"]["AvailabilityZone"],
                "InstanceId": row["InstanceId"],
                "InstanceState": row["State"],
                "InstanceStatus": check,
                "SystemStatus": check,
                "Events": [],
            }
        )
    chosen, token = ec2.page(call, rows)
    return {"InstanceStatuses": chosen, "NextToken": token}


@app.handles("ec2", "DescribeInstanceTopology")
def topology(call):
    rows = []
    for row in ec2.listing(call, INSTANCE, call.get("InstanceIds")):
        if row["State"]["Name"] != "running":
            continue
        zone = row["Placement"]["AvailabilityZone"]
        group = row["Placement"]["GroupName"] or "none"
        nodes = [f"nn-{abs(hash((zone, level, group))) % 16**17:017x}" for level in range(3)]
        zone_id = next((one["ZoneId"] for one in offerings.zones(call.world) if one["ZoneName"] == zone), None)
        rows.append(
            {
                "InstanceId": row["InstanceId"],
                "InstanceType": row["InstanceType"],
                "GroupName": row["Placement"]["GroupName"] or None,
                "NetworkNodes": nodes,
                "AvailabilityZone": zone,
                "ZoneId": zone_id,
            }
        )
    chosen, token = ec2.page(call, rows, 20)
    return {"Instances": chosen, "NextToken": token}


@app.handles("ec2", "TerminateInstances")
def end(call):
    world = call.world
    found = [INSTANCE.find(world, identifier) for identifier in call.get("InstanceIds") or []]
    for one in found:
        if one.protected:
            raise Fault(
                "OperationNotPermitted",
                f"The instance '{one.id}' may not be terminated. Modify its 'disableApiTermination' instance attribute and try again.",
            )
    rows = []
    for one in found:
        before = one.state
        terminate(world, one)
        rows.append(
            {
                "InstanceId": one.id,
                "CurrentState": {"Code": CODES[one.state], "Name": one.state},
                "PreviousState": {"Code": CODES[before], "Name": before},
            }
        )
    return {"TerminatingInstances": rows}


@app.handles("ec2", "StopInstances", "StartInstances", "RebootInstances")
def stop_or_start(call):
    world = call.world
    rows = []
    for identifier in call.get("InstanceIds") or []:
        one = INSTANCE.find(world, identifier)
        before = one.state
        if call.action == "StopInstances" and one.state == "running":
            one.state = "stopping"
            clock.after(END, _stopped, one)
        elif call.action == "StartInstances" and one.state == "stopped":
            one.state = "pending"
            clock.after(START, _started, one)
        elif call.action != "RebootInstances" and one.state in ("terminated", "shutting-down"):
            raise Fault("IncorrectInstanceState", f"The instance '{one.id}' is not in a state from which it can be changed.")
        rows.append(
            {
                "InstanceId": one.id,
                "CurrentState": {"Code": CODES[one.state], "Name": one.state},
                "PreviousState": {"Code": CODES[before], "Name": before},
            }
        )
    if call.action == "RebootInstances":
        return {}
    return {"StoppingInstances" if call.action == "StopInstances" else "StartingInstances": rows}


def _stopped(one):
    if one.state == "stopping":
        one.state = "stopped"


@app.handles("ec2", "ModifyInstanceAttribute")
def modify(call):
    one = INSTANCE.find(call.world, call.get("InstanceId"))
    protect = call.get("DisableApiTermination")
    if protect is not None:
        one.protected = bool(protect.get("Value")) if isinstance(protect, dict) else bool(protect)
    groups = call.get("Groups")
    if groups:
        one.primary._group_set = [security_groups.GROUP.find(call.world, identifier) for identifier in groups]
    return {}


@app.handles("ec2", "DescribeInstanceAttribute")
def describe_attribute(call):
    one = INSTANCE.find(call.world, call.get("InstanceId"))
    wanted = call.get("Attribute")
    answer = {"InstanceId": one.id}
    if wanted == "disableApiTermination":
        answer["DisableApiTermination"] = {"Value": one.protected}
    elif wanted == "userData":
        value = one.data.get("UserData")
        if isinstance(value, bytes):
            import base64

            value = base64.b64encode(value).decode()
        answer["UserData"] = {"Value": value}
    elif wanted == "instanceType":
        answer["InstanceType"] = {"Value": one.instance_type}
    else:
        raise Fault("InvalidParameterValue", f"The attribute {wanted} is not known here.")
    return answer
