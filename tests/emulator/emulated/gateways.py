"""Internet gateways, elastic addresses and NAT gateways.

A NAT gateway is `pending`, then `available`; deleted, it is `deleting`, then `deleted`, and stays in the list for about an
hour (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeNatGateways.html,
https://docs.aws.amazon.com/vpc/latest/userguide/nat-gateway-working-with.html). Its address is not released before it is
deleted: `AuthFailure`; an address of an instance: `InvalidIPAddress.InUse`
(https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ReleaseAddress.html). An internet gateway is not detached while
something in the VPC has a public address: `DependencyViolation`
(https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DetachInternetGateway.html).

In moto NAT gateways are available and deleted at once, keep their interface for good, and addresses can be released any time.
"""

from . import app, clock, ec2, interfaces, network, quotas, world as world_module
from .ec2 import Kind, attribute
from .wire import Fault

NAT_CREATION = 120
NAT_DELETION = 60
NAT_SHOWN = 3600


def igw_view(world, gateway):
    return {
        "Attachments": [{"State": "available", "VpcId": gateway.vpc.id}] if gateway.vpc else [],
        "InternetGatewayId": gateway.id,
        "OwnerId": world.account,
        "Tags": ec2.tags(world, gateway.id),
    }


IGW = Kind(
    "igw",
    "internet-gateway",
    "InvalidInternetGatewayID.NotFound",
    "The internetGateway ID '{}' does not exist",
    lambda world: world.ec2.internet_gateways,
    igw_view,
    {
        "attachment.state": attribute("Attachments", "State"),
        "attachment.vpc-id": attribute("Attachments", "VpcId"),
        "internet-gateway-id": attribute("InternetGatewayId"),
        "owner-id": attribute("OwnerId"),
    },
)
ec2.describes("DescribeInternetGateways", IGW, "InternetGateways", "InternetGatewayIds")


@app.handles("ec2", "CreateInternetGateway")
def create_igw(call):
    world = call.world
    given = ec2.specified(call, "internet-gateway")
    quotas.check_count(
        call,
        "L-A4707A72",
        len(world.ec2.internet_gateways),
        "InternetGatewayLimitExceeded",
        "The maximum number of internet gateways has been reached.",
    )
    made = world.ec2.create_internet_gateway()
    ec2.set_tags(world, made.id, given.get("internet-gateway", {}))
    return {"InternetGateway": igw_view(world, made)}


@app.handles("ec2", "AttachInternetGateway")
def attach(call):
    world = call.world
    gateway = IGW.find(world, call.get("InternetGatewayId"))
    vpc = network.VPC.find(world, call.get("VpcId"))
    if gateway.vpc is not None:
        raise Fault("Resource.AlreadyAssociated", f"resource {gateway.id} is already attached to network {gateway.vpc.id}")
    for other in world.ec2.internet_gateways.values():
        if other.vpc is not None and other.vpc.id == vpc.id:
            raise Fault("InvalidParameterValue", f"Network {vpc.id} already has an internet gateway attached")
    gateway.vpc = vpc
    return {}


@app.handles("ec2", "DetachInternetGateway")
def detach(call):
    world = call.world
    gateway = IGW.find(world, call.get("InternetGatewayId"))
    vpc = network.VPC.find(world, call.get("VpcId"))
    if gateway.vpc is None or gateway.vpc.id != vpc.id:
        raise Fault("Gateway.NotAttached", f"resource {gateway.id} is not attached to network {vpc.id}")
    if any(eni.public_ip and eni.subnet.vpc_id == vpc.id for eni in world.ec2.enis.values()):
        raise Fault(
            "DependencyViolation",
            f"Network {vpc.id} has some mapped public address(es). Please unmap those public address(es) before detaching "
            "the gateway.",
        )
    gateway.vpc = None
    return {}


@app.handles("ec2", "DeleteInternetGateway")
def delete_igw(call):
    world = call.world
    gateway = IGW.find(world, call.get("InternetGatewayId"))
    if gateway.vpc is not None:
        raise Fault(
            "DependencyViolation", f"The internetGateway '{gateway.id}' has dependencies and cannot be deleted."
        )
    world.ec2.internet_gateways.pop(gateway.id)
    ec2.forget(world, gateway.id)
    return {}


def addresses(world):
    return {one.allocation_id: one for one in world.ec2.addresses if one.allocation_id}


def address_view(world, address):
    return {
        "InstanceId": interfaces.instance_of(address.eni) if address.eni else None,
        "PublicIp": address.public_ip,
        "AllocationId": address.allocation_id,
        "AssociationId": address.association_id,
        "Domain": "vpc",
        "NetworkInterfaceId": address.eni.id if address.eni else None,
        "NetworkInterfaceOwnerId": world.account if address.eni else None,
        "PrivateIpAddress": address.eni.private_ip_address if address.eni else None,
        "PublicIpv4Pool": "amazon",
        "NetworkBorderGroup": world.region,
        "Tags": ec2.tags(world, address.allocation_id),
    }


ADDRESS = Kind(
    "eipalloc",
    "elastic-ip",
    "InvalidAllocationID.NotFound",
    "The allocation ID '{}' does not exist",
    addresses,
    address_view,
    {
        "allocation-id": attribute("AllocationId"),
        "association-id": attribute("AssociationId"),
        "domain": attribute("Domain"),
        "instance-id": attribute("InstanceId"),
        "network-border-group": attribute("NetworkBorderGroup"),
        "network-interface-id": attribute("NetworkInterfaceId"),
        "network-interface-owner-id": attribute("NetworkInterfaceOwnerId"),
        "private-ip-address": attribute("PrivateIpAddress"),
        "public-ip": attribute("PublicIp"),
    },
)


@app.handles("ec2", "DescribeAddresses")
def describe_addresses(call):
    rows = ec2.listing(call, ADDRESS, call.get("AllocationIds"))
    wanted = call.get("PublicIps")
    if wanted:
        known = {row["PublicIp"] for row in rows}
        for one in wanted:
            if one not in known:
                raise Fault("InvalidAddress.NotFound", f"Address '{one}' not found.")
        rows = [row for row in rows if row["PublicIp"] in wanted]
    return {"Addresses": rows}


@app.handles("ec2", "AllocateAddress")
def allocate(call):
    world = call.world
    given = ec2.specified(call, "elastic-ip")
    quotas.check_count(
        call,
        "L-0263D0A3",
        len(world.ec2.addresses),
        "AddressLimitExceeded",
        "The maximum number of addresses has been reached.",
    )
    made = world.ec2.allocate_address("vpc")
    ec2.set_tags(world, made.allocation_id, given.get("elastic-ip", {}))
    return {
        "PublicIp": made.public_ip,
        "AllocationId": made.allocation_id,
        "PublicIpv4Pool": "amazon",
        "NetworkBorderGroup": world.region,
        "Domain": "vpc",
    }


def disassociate(address):
    if address.eni is not None:
        address.eni.public_ip = None
        address.eni = None
    address.association_id = None


@app.handles("ec2", "ReleaseAddress")
def release(call):
    world = call.world
    address = ADDRESS.find(world, call.get("AllocationId"))
    if address.eni is not None:
        if address.eni.requester_managed:
            raise Fault("AuthFailure", "You do not have permission to access the specified resource.")
        raise Fault("InvalidIPAddress.InUse", f"Address {address.public_ip} is in use.")
    if any(address.allocation_id == nat.allocation_id and nat.state in ("pending", "available", "deleting") for nat in nats(world).values()):
        raise Fault("AuthFailure", "You do not have permission to access the specified resource.")
    world.ec2.addresses.remove(address)
    ec2.forget(world, address.allocation_id)
    return {}


@app.handles("ec2", "AssociateAddress")
def associate_address(call):
    world = call.world
    address = ADDRESS.find(world, call.get("AllocationId"))
    if call.get("NetworkInterfaceId"):
        eni = interfaces.ENI.find(world, call.get("NetworkInterfaceId"))
    else:
        from . import instances

        eni = instances.INSTANCE.find(world, call.get("InstanceId")).primary
    if address.eni is not None and address.eni is not eni and not call.get("AllowReassociation", True):
        raise Fault("Resource.AlreadyAssociated", f"resource {address.allocation_id} is already associated with associate-id {address.association_id}")
    if address.eni is not None and address.eni.requester_managed:
        raise Fault("AuthFailure", "You do not have permission to access the specified resource.")
    give(address, eni)
    return {"AssociationId": address.association_id}


def give(address, eni):
    disassociate(address)
    address.eni = eni
    eni.public_ip = address.public_ip
    address.association_id = world_module.identifier("eipassoc")


@app.handles("ec2", "DisassociateAddress")
def disassociate_address(call):
    for address in call.world.ec2.addresses:
        if address.association_id and address.association_id == call.get("AssociationId"):
            if address.eni is not None and address.eni.requester_managed:
                raise Fault("AuthFailure", "You do not have permission to access the specified resource.")
            disassociate(address)
            return {}
    raise Fault(
        "InvalidAssociationID.NotFound", f"The association ID '{call.get('AssociationId')}' does not exist"
    )


class Nat:
    """A NAT gateway, with the names that moto's routes use."""

    def __init__(self, world, subnet, address, kind):
        self.id = world_module.identifier("nat")
        self.subnet_id = subnet.id
        self.vpc_id = subnet.vpc_id
        self.allocation_id = address.allocation_id if address else None
        self.public_ip = address.public_ip if address else None
        self.connectivity_type = kind
        self.state = "pending"
        self.created = clock.now()
        self.deleted = None
        self.eni = None
        self.private_ip = None
        self.eni_id = None
        self.association_id = None


def nats(world):
    return world.ec2.nat_gateways


def nat_view(world, nat):
    available = nat.state in ("available", "deleting", "deleted", "pending")
    return {
        "CreateTime": nat.created,
        "DeleteTime": nat.deleted,
        "NatGatewayAddresses": [
            {
                "AllocationId": nat.allocation_id,
                "AssociationId": nat.association_id if nat.state == "available" else None,
                "NetworkInterfaceId": nat.eni_id,
                "PrivateIp": nat.private_ip,
                "PublicIp": nat.public_ip if available else None,
                "IsPrimary": True,
                "Status": "succeeded",
            }
        ],
        "NatGatewayId": nat.id,
        "State": nat.state,
        "SubnetId": nat.subnet_id,
        "VpcId": nat.vpc_id,
        "ConnectivityType": nat.connectivity_type,
        "Tags": ec2.tags(world, nat.id),
    }


NAT = Kind(
    "nat",
    "natgateway",
    "NatGatewayNotFound",
    "The Nat Gateway {} was not found",
    nats,
    nat_view,
    {
        "nat-gateway-id": attribute("NatGatewayId"),
        "state": attribute("State"),
        "subnet-id": attribute("SubnetId"),
        "vpc-id": attribute("VpcId"),
    },
)
ec2.describes("DescribeNatGateways", NAT, "NatGateways", "NatGatewayIds")


@app.handles("ec2", "CreateNatGateway")
def create_nat(call):
    world = call.world
    given = ec2.specified(call, "natgateway")
    subnet = network.SUBNET.find(world, call.get("SubnetId"))
    kind = call.get("ConnectivityType") or "public"
    address = None
    if kind == "public":
        if not call.get("AllocationId"):
            raise Fault("MissingParameter", "The request must include the AllocationId parameter. Add the required parameter and retry the request.")
        address = ADDRESS.find(world, call.get("AllocationId"))
        taken = address.eni is not None or any(
            nat.allocation_id == address.allocation_id and nat.state in ("pending", "available", "deleting")
            for nat in nats(world).values()
        )
        if taken:
            raise Fault(
                "Resource.AlreadyAssociated",
                f"Elastic IP address [{address.allocation_id}] is already associated",
            )
    zone = subnet.availability_zone
    quotas.check_count(
        call,
        "L-FE5A380F",
        sum(
            1
            for nat in nats(world).values()
            if nat.state in ("pending", "available", "deleting")
            and getattr(network.subnet(world, nat.subnet_id), "availability_zone", None) == zone
        ),
        "NatGatewayLimitExceeded",
        f"Performing this operation would exceed the limit of NAT gateways in {zone}",
    )
    nat = Nat(world, subnet, address, kind)
    nat.eni = interfaces.make(
        world, subnet, [], f"Interface for NAT Gateway {nat.id}", "nat_gateway", requester_managed=True
    )
    nat.eni_id, nat.private_ip = nat.eni.id, nat.eni.private_ip_address
    nats(world)[nat.id] = nat
    ec2.set_tags(world, nat.id, given.get("natgateway", {}))
    internet = any(
        gateway.vpc is not None and gateway.vpc.id == nat.vpc_id for gateway in world.ec2.internet_gateways.values()
    )
    clock.after(NAT_CREATION, nat_ready, world, nat, address, internet or kind == "private")
    if address is not None:
        give(address, nat.eni)
        nat.association_id = address.association_id
    return {"NatGateway": nat_view(world, nat), "ClientToken": call.get("ClientToken")}


def nat_ready(world, nat, address, internet):
    if nat.state != "pending":
        return
    if not internet:
        # https://docs.aws.amazon.com/vpc/latest/userguide/nat-gateway-troubleshooting.html: no internet gateway, it fails.
        nat.state = "failed"
        _let_go(world, nat)
        return
    nat.state = "available"


def _let_go(world, nat):
    for address in world.ec2.addresses:
        if address.eni is nat.eni and nat.eni is not None:
            disassociate(address)
    if nat.eni is not None:
        interfaces.remove(world, nat.eni.id)
        nat.eni = None


@app.handles("ec2", "DeleteNatGateway")
def delete_nat(call):
    world = call.world
    nat = NAT.find(world, call.get("NatGatewayId"))
    if nat.state == "deleted":
        raise NAT.missing(nat.id)
    if nat.state != "deleting":
        nat.state = "deleting"
        clock.after(NAT_DELETION, nat_gone, world, nat)
    return {"NatGatewayId": nat.id}


def nat_gone(world, nat):
    nat.state = "deleted"
    nat.deleted = clock.now()
    _let_go(world, nat)
    clock.after(NAT_SHOWN, nat_forgotten, world, nat)


def nat_forgotten(world, nat):
    nats(world).pop(nat.id, None)
    ec2.forget(world, nat.id)
