"""Network interfaces: of instances, and of the services that put theirs into our subnets.

NAT gateways, interface endpoints, FSx, EKS and others make interfaces that we see (`RequesterManaged`, a description of their
own) and cannot delete, and that keep subnets and security groups from being deleted:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/requester-managed-eni.html,
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeNetworkInterfaces.html.

moto makes some of them, all alike, and makes a security group of any unknown identifier that an interface names.
"""

import ipaddress

from . import app, ec2, network
from .ec2 import Kind, attribute
from .wire import Fault


def make(
    world,
    subnet,
    groups,
    description,
    kind="interface",
    requester_managed=False,
    tags=None,
    private_ip=None,
    attachment=None,
):
    """A new interface in a subnet of moto's; groups are identifiers, the VPC's default group when none."""
    if not network.used_addresses(world).get(subnet.id, 0) < subnet._available_ip_addresses:
        raise Fault(
            "InsufficientFreeAddressesInSubnet",
            f"There are not enough free addresses in subnet '{subnet.id}' to satisfy the requested number of instances.",
        )
    eni = world.ec2.create_network_interface(
        subnet, private_ip or free_address(world, subnet), group_ids=[one for one in groups or [] if one], description=description
    )
    network.used_addresses(world)[subnet.id] = network.used_addresses(world).get(subnet.id, 0) + 1
    eni.interface_type = kind
    eni.requester_managed = requester_managed
    eni.status = "in-use" if requester_managed else "available"
    eni.held_by = attachment
    if kind == "nat_gateway":
        eni._group_set = []
    ec2.set_tags(world, eni.id, tags or {})
    return eni


def free_address(world, subnet):
    """The next address of a subnet; the first four and the last are AWS's."""
    cursors = world.table("addresses")
    taken = {
        one["PrivateIpAddress"] for eni in world.ec2.enis.values() if eni.subnet.id == subnet.id for one in eni.private_ip_addresses
    }
    block = ipaddress.IPv4Network(subnet.cidr_block)
    at = cursors.get(subnet.id, 4)
    for _ in range(block.num_addresses):
        if at >= block.num_addresses - 1:
            at = 4
        candidate = str(block[at])
        at += 1
        if candidate not in taken:
            cursors[subnet.id] = at
            return candidate
    raise Fault("InsufficientFreeAddressesInSubnet", f"Insufficient free addresses in subnet '{subnet.id}'.")


def remove(world, identifier):
    """An interface goes, whoever's it is."""
    eni = world.ec2.enis.pop(identifier, None)
    if eni is not None:
        for address in world.ec2.addresses:
            if address.eni is eni:
                address.eni = None
                address.association_id = None
        ec2.forget(world, identifier)


def instance_of(eni):
    held = getattr(eni, "held_by", None)
    return held.get("InstanceId") if held else None


def view(world, eni):
    held = getattr(eni, "held_by", None)
    association = None
    if eni.public_ip:
        association = {"PublicIp": eni.public_ip, "IpOwnerId": "amazon", "PublicDnsName": f"ec2-{eni.public_ip.replace('.', '-')}.{world.region}.compute.amazonaws.com"}
        for address in world.ec2.addresses:
            if address.eni is eni:
                association.update(
                    AllocationId=address.allocation_id, AssociationId=address.association_id, IpOwnerId=world.account
                )
    attachment = None
    if held:
        attachment = dict(held)
    elif eni.requester_managed:
        attachment = {
            "AttachmentId": eni.id.replace("eni-", "ela-attach-"),
            "DeleteOnTermination": False,
            "DeviceIndex": 1,
            "InstanceOwnerId": "amazon-aws",
            "Status": "attached",
        }
    return {
        "Association": association,
        "Attachment": attachment,
        "AvailabilityZone": eni.subnet.availability_zone,
        "Description": eni.description,
        "Groups": [{"GroupId": group.id, "GroupName": group.name} for group in eni._group_set],
        "InterfaceType": eni.interface_type,
        "Ipv6Addresses": [],
        "MacAddress": eni.mac_address,
        "NetworkInterfaceId": eni.id,
        "OwnerId": world.account,
        "PrivateDnsName": f"ip-{eni.private_ip_address.replace('.', '-')}.{world.region}.compute.internal" if eni.private_ip_address else None,
        "PrivateIpAddress": eni.private_ip_address,
        "PrivateIpAddresses": [
            {"Primary": bool(one.get("Primary")), "PrivateIpAddress": one["PrivateIpAddress"], "Association": association if one.get("Primary") else None}
            for one in eni.private_ip_addresses
            if one.get("PrivateIpAddress")
        ],
        "RequesterId": "amazon-aws" if eni.requester_managed else None,
        "RequesterManaged": eni.requester_managed,
        "SourceDestCheck": eni.source_dest_check,
        "Status": "in-use" if attachment else eni.status,
        "SubnetId": eni.subnet.id,
        "TagSet": ec2.tags(world, eni.id),
        "VpcId": eni.subnet.vpc_id,
    }


ENI = Kind(
    "eni",
    "network-interface",
    "InvalidNetworkInterfaceID.NotFound",
    "The networkInterface ID '{}' does not exist",
    lambda world: world.ec2.enis,
    view,
    {
        "association.allocation-id": attribute("Association", "AllocationId"),
        "association.association-id": attribute("Association", "AssociationId"),
        "association.public-ip": attribute("Association", "PublicIp"),
        "attachment.attachment-id": attribute("Attachment", "AttachmentId"),
        "attachment.device-index": attribute("Attachment", "DeviceIndex"),
        "attachment.instance-id": attribute("Attachment", "InstanceId"),
        "attachment.instance-owner-id": attribute("Attachment", "InstanceOwnerId"),
        "attachment.status": attribute("Attachment", "Status"),
        "availability-zone": attribute("AvailabilityZone"),
        "description": attribute("Description"),
        "group-id": attribute("Groups", "GroupId"),
        "group-name": attribute("Groups", "GroupName"),
        "interface-type": attribute("InterfaceType"),
        "mac-address": attribute("MacAddress"),
        "network-interface-id": attribute("NetworkInterfaceId"),
        "owner-id": attribute("OwnerId"),
        "private-ip-address": attribute("PrivateIpAddress"),
        "addresses.private-ip-address": attribute("PrivateIpAddresses", "PrivateIpAddress"),
        "requester-id": attribute("RequesterId"),
        "requester-managed": attribute("RequesterManaged"),
        "status": attribute("Status"),
        "subnet-id": attribute("SubnetId"),
        "vpc-id": attribute("VpcId"),
    },
)
ec2.describes("DescribeNetworkInterfaces", ENI, "NetworkInterfaces", "NetworkInterfaceIds")


@app.handles("ec2", "CreateNetworkInterface")
def create(call):
    world = call.world
    from . import security_groups

    given = ec2.specified(call, "network-interface")
    subnet = network.SUBNET.find(world, call.get("SubnetId"))
    groups = call.get("Groups") or []
    for group in groups:
        security_groups.GROUP.find(world, group)
    kind = call.get("InterfaceType") or "interface"
    eni = make(world, subnet, groups, call.get("Description") or "", kind, private_ip=call.get("PrivateIpAddress"))
    ec2.set_tags(world, eni.id, given.get("network-interface", {}))
    made = view(world, eni)
    return {"NetworkInterface": {**made, "Status": "pending"}, "ClientToken": call.get("ClientToken")}


@app.handles("ec2", "DeleteNetworkInterface")
def delete(call):
    world = call.world
    eni = ENI.find(world, call.get("NetworkInterfaceId"))
    if eni.requester_managed or getattr(eni, "held_by", None):
        raise Fault("InvalidParameterValue", f"Network interface '{eni.id}' is currently in use.")
    remove(world, eni.id)
    return {}


@app.before("ec2", "ModifyNetworkInterfaceAttribute", "DetachNetworkInterface", "AttachNetworkInterface")
def not_of_services(call):
    identifier = call.get("NetworkInterfaceId")
    if identifier:
        eni = ENI.find(call.world, identifier)
        if eni.requester_managed:
            raise Fault("AuthFailure", "You do not have permission to access the specified resource.")
