"""VPCs, subnets and route tables: what stands in the way of their deletion, and how they are read.

A VPC goes only when it holds nothing but what came with it (main route table, default security group, default network ACL):
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteVpc.html. A subnet goes only when no network interface
stands in it: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteSubnet.html. Both say `DependencyViolation`.

moto looks at subnets and route tables only, calls the first subnet of a zone a default one, takes us-east-1a when no zone is
given, and repeats an association of a route table where AWS says `Resource.AlreadyAssociated`.
"""

import ipaddress

from . import app, ec2, quotas
from . import world as world_module
from .ec2 import Kind, attribute
from .wire import Fault


def vpc_view(world, vpc):
    return {
        "CidrBlock": vpc.cidr_block,
        "DhcpOptionsId": vpc.dhcp_options_id if vpc.dhcp_options else "dopt-0a0b0c0d0e0f00112",
        "State": vpc.state,
        "VpcId": vpc.id,
        "OwnerId": world.account,
        "InstanceTenancy": vpc.instance_tenancy,
        "IsDefault": vpc.is_default,
        "CidrBlockAssociationSet": [
            {
                "AssociationId": one["association_id"],
                "CidrBlock": one["cidr_block"],
                "CidrBlockState": {"State": one["cidr_block_state"]["state"]},
            }
            for one in vpc.get_cidr_block_association_set()
        ],
        "Ipv6CidrBlockAssociationSet": [
            {
                "AssociationId": one["association_id"],
                "Ipv6CidrBlock": one["cidr_block"],
                "Ipv6CidrBlockState": {"State": one["cidr_block_state"]["state"]},
                "Ipv6Pool": "Amazon",
            }
            for one in vpc.get_cidr_block_association_set(ipv6=True)
        ],
        "Tags": ec2.tags(world, vpc.id),
    }


VPC = Kind(
    "vpc",
    "vpc",
    "InvalidVpcID.NotFound",
    "The vpc ID '{}' does not exist",
    lambda world: world.ec2.vpcs,
    vpc_view,
    {
        "cidr": attribute("CidrBlock"),
        "cidr-block-association.cidr-block": attribute("CidrBlockAssociationSet", "CidrBlock"),
        "dhcp-options-id": attribute("DhcpOptionsId"),
        "is-default": attribute("IsDefault"),
        "isDefault": attribute("IsDefault"),
        "owner-id": attribute("OwnerId"),
        "state": attribute("State"),
        "vpc-id": attribute("VpcId"),
    },
)
ec2.describes("DescribeVpcs", VPC, "Vpcs", "VpcIds")


def all_subnets(world):
    """All subnets by identifier, in the order of their making."""
    found = {}
    for zone in world.ec2.subnets.values():
        found.update(zone)
    return found


def used_addresses(world):
    """How many addresses are taken, by subnet."""
    key = ("used", world.account, world.region)
    counts = world_module.MEMO.get(key)
    if counts is not None:
        return counts
    counts = world_module.MEMO[key] = {}
    for eni in world.ec2.enis.values():
        counts[eni.subnet.id] = counts.get(eni.subnet.id, 0) + len(eni.private_ip_addresses)
    return counts


def subnet_view(world, subnet):
    counts = used_addresses(world)
    return {
        "AvailabilityZone": subnet.availability_zone,
        "AvailabilityZoneId": subnet.availability_zone_id,
        "AvailableIpAddressCount": subnet._available_ip_addresses - counts.get(subnet.id, 0),
        "CidrBlock": subnet.cidr_block,
        "DefaultForAz": subnet.default_for_az,
        "MapPublicIpOnLaunch": bool(subnet.map_public_ip_on_launch),
        "State": subnet.state,
        "SubnetId": subnet.id,
        "VpcId": subnet.vpc_id,
        "OwnerId": world.account,
        "AssignIpv6AddressOnCreation": bool(subnet.assign_ipv6_address_on_creation),
        "Ipv6CidrBlockAssociationSet": [],
        "MapCustomerOwnedIpOnLaunch": False,
        "SubnetArn": world.arn("ec2", f"subnet/{subnet.id}"),
        "EnableDns64": False,
        "Ipv6Native": False,
        "PrivateDnsNameOptionsOnLaunch": {
            "HostnameType": subnet.private_dns_name_options_on_launch.get("HostnameType", "ip-name"),
            "EnableResourceNameDnsARecord": bool(
                subnet.private_dns_name_options_on_launch.get("EnableResourceNameDnsARecord")
            ),
            "EnableResourceNameDnsAAAARecord": False,
        },
        "Tags": ec2.tags(world, subnet.id),
    }


SUBNET = Kind(
    "subnet",
    "subnet",
    "InvalidSubnetID.NotFound",
    "The subnet ID '{}' does not exist",
    all_subnets,
    subnet_view,
    {
        "availability-zone": attribute("AvailabilityZone"),
        "availabilityZone": attribute("AvailabilityZone"),
        "availability-zone-id": attribute("AvailabilityZoneId"),
        "available-ip-address-count": attribute("AvailableIpAddressCount"),
        "cidr": attribute("CidrBlock"),
        "cidrBlock": attribute("CidrBlock"),
        "cidr-block": attribute("CidrBlock"),
        "default-for-az": attribute("DefaultForAz"),
        "defaultForAz": attribute("DefaultForAz"),
        "map-public-ip-on-launch": attribute("MapPublicIpOnLaunch"),
        "owner-id": attribute("OwnerId"),
        "state": attribute("State"),
        "subnet-arn": attribute("SubnetArn"),
        "subnet-id": attribute("SubnetId"),
        "vpc-id": attribute("VpcId"),
    },
)
ec2.describes("DescribeSubnets", SUBNET, "Subnets", "SubnetIds")


def subnet(world, identifier):
    """A subnet of moto, or nothing."""
    for zone in world.ec2.subnets.values():
        if identifier in zone:
            return zone[identifier]
    return None


@app.handles("ec2", "CreateVpc")
def create_vpc(call):
    world = call.world
    given = ec2.specified(call, "vpc")
    quotas.check_count(call, "L-F678F1CE", len(world.ec2.vpcs), "VpcLimitExceeded", "The maximum number of VPCs has been reached.")
    cidr = call.get("CidrBlock")
    if not cidr:
        raise Fault("MissingParameter", "The request must contain the parameter cidrBlock")
    cidr = canonical(cidr)
    vpc = world.ec2.create_vpc(
        cidr,
        instance_tenancy=call.get("InstanceTenancy") or "default",
        amazon_provided_ipv6_cidr_block=bool(call.get("AmazonProvidedIpv6CidrBlock")),
    )
    ec2.set_tags(world, vpc.id, given.get("vpc", {}))
    view = vpc_view(world, vpc)
    return {"Vpc": {**view, "State": "pending"}}


def canonical(cidr):
    """The block with its host bits cleared, as AWS stores it."""
    try:
        return str(ipaddress.IPv4Network(cidr, strict=False))
    except ValueError:
        raise Fault(
            "InvalidParameterValue", f"Value ({cidr}) for parameter cidrBlock is invalid. This is not a valid CIDR block."
        ) from None


@app.handles("ec2", "CreateSubnet")
def create_subnet(call):
    world = call.world
    given = ec2.specified(call, "subnet")
    vpc = VPC.find(world, call.get("VpcId"))
    zones = world.ec2.describe_availability_zones()
    zone_name, zone_id = call.get("AvailabilityZone"), call.get("AvailabilityZoneId")
    if zone_name or zone_id:
        fitting = [zone for zone in zones if zone_name in (None, zone.name) and zone_id in (None, zone.zone_id)]
        if not fitting:
            raise Fault(
                "InvalidParameterValue",
                f"Value ({zone_name or zone_id}) for parameter availabilityZone is invalid. Subnets can currently only be "
                f"created in the following availability zones: {', '.join(zone.name for zone in zones)}.",
            )
        zone = fitting[0]
    else:
        zone = zones[0]
    cidr = canonical(call.get("CidrBlock") or "")
    prefix = ipaddress.IPv4Network(cidr).prefixlen
    if not 16 <= prefix <= 28:
        raise Fault("InvalidSubnet.Range", f"The CIDR '{cidr}' is invalid.")
    quotas.check_count(
        call,
        "L-407747CB",
        sum(1 for one in all_subnets(world).values() if one.vpc_id == vpc.id),
        "SubnetLimitExceeded",
        "The maximum number of subnets has been reached.",
    )
    made = world.ec2.create_subnet(vpc.id, cidr, availability_zone=zone.name)
    made.default_for_az = False
    made.map_public_ip_on_launch = False
    ec2.set_tags(world, made.id, given.get("subnet", {}))
    return {"Subnet": subnet_view(world, made)}


@app.handles("ec2", "DeleteSubnet")
def delete_subnet(call):
    world = call.world
    found = SUBNET.find(world, call.get("SubnetId"))
    if any(eni.subnet.id == found.id for eni in world.ec2.enis.values()):
        raise Fault("DependencyViolation", f"The subnet '{found.id}' has dependencies and cannot be deleted.")
    for table in world.ec2.route_tables.values():
        for association, target in list(table._associations.items()):
            if target == found.id:
                del table._associations[association]
    world.ec2.delete_subnet(found.id)
    ec2.forget(world, found.id)
    return {}


@app.handles("ec2", "DeleteVpc")
def delete_vpc(call):
    world = call.world
    vpc = VPC.find(world, call.get("VpcId"))
    backend = world.ec2
    from . import endpoints, gateways

    standing = (
        any(one.vpc_id == vpc.id for one in all_subnets(world).values())
        or any(gateway.vpc is not None and gateway.vpc.id == vpc.id for gateway in backend.internet_gateways.values())
        or any(
            table.vpc_id == vpc.id and table.main_association_id is None for table in backend.route_tables.values()
        )
        or any(not group.is_default for group in backend.groups.get(vpc.id, {}).values())
        or any(eni.subnet.vpc_id == vpc.id for eni in backend.enis.values())
        or any(nat.vpc_id == vpc.id and nat.state not in ("deleted", "failed") for nat in gateways.nats(world).values())
        or any(one["VpcId"] == vpc.id for one in endpoints.table(world).values())
    )
    if standing:
        raise Fault("DependencyViolation", f"The vpc '{vpc.id}' has dependencies and cannot be deleted.")
    for acl in [acl for acl in backend.network_acls.values() if acl.vpc_id == vpc.id]:
        backend.network_acls.pop(acl.id)
        ec2.forget(world, acl.id)
    for table in [table for table in backend.route_tables.values() if table.vpc_id == vpc.id]:
        backend.route_tables.pop(table.id)
        ec2.forget(world, table.id)
    for group in backend.groups.pop(vpc.id, {}).values():
        ec2.forget(world, group.id)
    backend.vpcs.pop(vpc.id)
    ec2.forget(world, vpc.id)
    return {}


def route_view(world, route):
    state = "active"
    if route.nat_gateway is not None and route.nat_gateway.state in ("deleting", "deleted", "failed"):
        state = "blackhole"
    gateway = route.gateway_id
    if route.gateway is not None and route.gateway.id.startswith("igw-"):
        if route.gateway.vpc is None or route.gateway.id not in world.ec2.internet_gateways:
            state = "blackhole"
    return {
        "DestinationCidrBlock": route.destination_cidr_block,
        "DestinationIpv6CidrBlock": route.destination_ipv6_cidr_block,
        "DestinationPrefixListId": route.destination_prefix_list_id,
        "GatewayId": gateway,
        "NatGatewayId": route.nat_gateway_id,
        "NetworkInterfaceId": route.network_interface_id,
        "TransitGatewayId": route.transit_gateway_id,
        "VpcPeeringConnectionId": route.vpc_peering_connection_id,
        "EgressOnlyInternetGatewayId": route.egress_only_internet_gateway_id,
        "Origin": route.origin,
        "State": state,
    }


def table_view(world, table):
    associations = []
    for one in table.associations:
        associations.append({**one})
    from . import endpoints

    routes = [route_view(world, route) for route in table._routes.values()]
    routes += endpoints.routes_of(world, table.id)
    return {
        "Associations": associations,
        "PropagatingVgws": [],
        "RouteTableId": table.id,
        "Routes": routes,
        "VpcId": table.vpc_id,
        "OwnerId": world.account,
        "Tags": ec2.tags(world, table.id),
    }


TABLE = Kind(
    "rtb",
    "route-table",
    "InvalidRouteTableID.NotFound",
    "The routeTable ID '{}' does not exist",
    lambda world: world.ec2.route_tables,
    table_view,
    {
        "association.main": lambda view: [one["Main"] for one in view["Associations"]] or [False],
        "association.route-table-association-id": attribute("Associations", "RouteTableAssociationId"),
        "association.route-table-id": attribute("Associations", "RouteTableId"),
        "association.subnet-id": attribute("Associations", "SubnetId"),
        "association.gateway-id": attribute("Associations", "GatewayId"),
        "owner-id": attribute("OwnerId"),
        "route-table-id": attribute("RouteTableId"),
        "route.destination-cidr-block": attribute("Routes", "DestinationCidrBlock"),
        "route.destination-prefix-list-id": attribute("Routes", "DestinationPrefixListId"),
        "route.gateway-id": attribute("Routes", "GatewayId"),
        "route.nat-gateway-id": attribute("Routes", "NatGatewayId"),
        "route.state": attribute("Routes", "State"),
        "vpc-id": attribute("VpcId"),
    },
)
ec2.describes("DescribeRouteTables", TABLE, "RouteTables", "RouteTableIds")


@app.handles("ec2", "CreateRouteTable")
def create_route_table(call):
    world = call.world
    given = ec2.specified(call, "route-table")
    vpc = VPC.find(world, call.get("VpcId"))
    quotas.check_count(
        call,
        "L-589F43AA",
        sum(1 for one in world.ec2.route_tables.values() if one.vpc_id == vpc.id),
        "RouteTableLimitExceeded",
        "The maximum number of route tables has been reached.",
    )
    made = world.ec2.create_route_table(vpc.id)
    ec2.set_tags(world, made.id, given.get("route-table", {}))
    return {"RouteTable": table_view(world, made), "ClientToken": call.get("ClientToken")}


@app.handles("ec2", "DeleteRouteTable")
def delete_route_table(call):
    world = call.world
    table = TABLE.find(world, call.get("RouteTableId"))
    from . import endpoints

    if table._associations or table.main_association_id or endpoints.routes_of(world, table.id):
        raise Fault("DependencyViolation", f"The routeTable '{table.id}' has dependencies and cannot be deleted.")
    world.ec2.route_tables.pop(table.id)
    ec2.forget(world, table.id)
    return {}


@app.handles("ec2", "AssociateRouteTable")
def associate(call):
    world = call.world
    table = TABLE.find(world, call.get("RouteTableId"))
    if not call.get("SubnetId"):
        status, headers, body = call.moto()
        return status, headers, body
    found = SUBNET.find(world, call.get("SubnetId"))
    if found.vpc_id != table.vpc_id:
        raise Fault(
            "InvalidParameterValue", f"route table {table.id} and subnet {found.id} belong to different networks"
        )
    for other in world.ec2.route_tables.values():
        if found.id in other._associations.values():
            raise Fault(
                "Resource.AlreadyAssociated",
                f"the specified association for route table {table.id} conflicts with an existing association",
            )
    from moto.ec2.utils import random_subnet_association_id

    association = random_subnet_association_id()
    table._associations[association] = found.id
    return {"AssociationId": association, "AssociationState": {"State": "associated"}}


@app.handles("ec2", "DisassociateRouteTable")
def disassociate(call):
    association = call.get("AssociationId")
    for table in call.world.ec2.route_tables.values():
        if association == table.main_association_id:
            raise Fault("InvalidParameterValue", f"cannot disassociate the main route table association {association}")
        if association in table._associations:
            del table._associations[association]
            return {}
    raise Fault("InvalidAssociationID.NotFound", f"The association ID '{association}' does not exist")


@app.handles("ec2", "CreateRoute", "ReplaceRoute")
def create_route(call):
    world = call.world
    from . import gateways

    table = TABLE.find(world, call.get("RouteTableId"))
    destination = call.get("DestinationCidrBlock")
    if destination:
        destination = canonical(destination)
    same = [route for route in table._routes.values() if route.destination_cidr_block == destination and destination]
    gateway = call.get("GatewayId")
    if gateway and gateway.startswith("igw-"):
        found = world.ec2.internet_gateways.get(gateway)
        if found is None:
            raise Fault("InvalidGatewayID.NotFound", f"The gateway ID '{gateway}' does not exist")
        if found.vpc is None or found.vpc.id != table.vpc_id:
            raise Fault(
                "InvalidParameterValue",
                f"route table {table.id} and network gateway {gateway} belong to different networks",
            )
    nat = call.get("NatGatewayId")
    if nat:
        found = gateways.nats(world).get(nat)
        if found is None or found.state in ("deleted", "failed"):
            raise Fault("InvalidNatGatewayID.NotFound", f"The natGateway ID '{nat}' does not exist")
        if found.vpc_id != table.vpc_id:
            raise Fault("InvalidParameterValue", f"route table {table.id} and nat gateway {nat} belong to different networks")
    if call.action == "CreateRoute":
        for route in same:
            if route.local:
                raise Fault("InvalidParameterValue", f"The destination CIDR block {destination} is equal to or more specific than one of this VPC's CIDR blocks. This route can target only an interface or an instance.")
            raise Fault("RouteAlreadyExists", f"The route identified by {destination} already exists.")
        world.ec2.create_route(
            table.id,
            destination,
            destination_ipv6_cidr_block=call.get("DestinationIpv6CidrBlock"),
            gateway_id=gateway,
            nat_gateway_id=nat,
            interface_id=call.get("NetworkInterfaceId"),
            vpc_peering_connection_id=call.get("VpcPeeringConnectionId"),
            transit_gateway_id=call.get("TransitGatewayId"),
            egress_only_igw_id=call.get("EgressOnlyInternetGatewayId"),
        )
        return {"Return": True}
    if not same:
        raise Fault("InvalidParameterValue", f"There is no route defined for '{destination}' in the route table. Use CreateRoute instead.")
    route = same[0]
    route.gateway = world.ec2.internet_gateways.get(gateway) if gateway else None
    route.nat_gateway = gateways.nats(world).get(nat) if nat else None
    return {}


@app.handles("ec2", "DeleteRoute")
def delete_route(call):
    table = TABLE.find(call.world, call.get("RouteTableId"))
    destination = call.get("DestinationCidrBlock")
    wanted = canonical(destination) if destination else call.get("DestinationIpv6CidrBlock")
    for key, route in list(table._routes.items()):
        if wanted in (route.destination_cidr_block, route.destination_ipv6_cidr_block) and wanted:
            if route.local:
                raise Fault("InvalidParameterValue", f"cannot remove local route {wanted} in route table {table.id}")
            del table._routes[key]
            return {}
    raise Fault(
        "InvalidRoute.NotFound", f"no route with destination-cidr-block {wanted} in route table {table.id}"
    )


@app.before("ec2", "ModifyVpcAttribute", "DescribeVpcAttribute")
def vpc_must_exist(call):
    VPC.find(call.world, call.get("VpcId"))


@app.before("ec2", "ModifySubnetAttribute")
def subnet_must_exist(call):
    SUBNET.find(call.world, call.get("SubnetId"))
