"""VPC endpoints.

A gateway endpoint (S3, DynamoDB) is a route to a prefix list in route tables; an interface endpoint puts an interface into
each of its subnets, is `pending`, then `available`, and `deleting` before it is gone:
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateVpcEndpoint.html,
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_VpcEndpoint.html. Private names need both DNS attributes of the
VPC, and a service has them once in a VPC.

moto keeps deleted endpoints for ever, ignores tokens and security groups, and takes any service.
"""

import json
import zlib

from . import app, clock, ec2, interfaces, network, quotas, security_groups
from . import world as world_module
from .ec2 import Kind, attribute
from .wire import Fault

CREATION = 60
DELETION = 45

GATEWAYS = ("s3", "dynamodb")
INTERFACES = (
    "autoscaling ec2 ec2messages ecr.api ecr.dkr eks eks-auth elasticfilesystem elasticloadbalancing fsx kms logs monitoring "
    "s3 sagemaker.api sagemaker.runtime secretsmanager sns sqs ssm ssmmessages sts bedrock bedrock-runtime events states "
    "lambda dynamodb guardduty-data aps-workspaces xray cloudformation"
).split()

DEFAULT_POLICY = json.dumps(
    {"Version": "2008-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}]}
)


def table(world):
    return world.table("vpc-endpoints")


def prefix_list(world, service):
    """The identifier of the prefix list of a gateway service in a region: always the same."""
    return f"pl-{zlib.crc32(f'{world.region}.{service}'.encode()):08x}"


def routes_of(world, route_table):
    """The routes that gateway endpoints put into a route table."""
    return [
        {
            "DestinationPrefixListId": prefix_list(world, one["ServiceName"].rpartition(".")[2]),
            "GatewayId": one["VpcEndpointId"],
            "Origin": "CreateRoute",
            "State": "active",
        }
        for one in table(world).values()
        if route_table in one["RouteTableIds"]
    ]


def view(world, one):
    return {
        **{name: value for name, value in one.items() if not name.startswith("_")},
        "Groups": [
            {"GroupId": group.id, "GroupName": group.name}
            for group in (security_groups.all_groups(world).get(identifier) for identifier in one["_groups"])
            if group is not None
        ],
        "Tags": ec2.tags(world, one["VpcEndpointId"]),
    }


ENDPOINT = Kind(
    "vpce",
    "vpc-endpoint",
    "InvalidVpcEndpointId.NotFound",
    "The Vpc Endpoint Id '{}' does not exist",
    table,
    view,
    {
        "service-name": attribute("ServiceName"),
        "vpc-endpoint-id": attribute("VpcEndpointId"),
        "vpc-endpoint-state": attribute("State"),
        "vpc-endpoint-type": attribute("VpcEndpointType"),
        "vpc-id": attribute("VpcId"),
    },
)
ec2.describes("DescribeVpcEndpoints", ENDPOINT, "VpcEndpoints", "VpcEndpointIds")


def _add_tables(world, one, tables):
    for identifier in tables:
        found = network.TABLE.find(world, identifier)
        if found.vpc_id != one["VpcId"]:
            raise Fault("InvalidParameter", f"The route table {identifier} does not belong to {one['VpcId']}")
        for other in table(world).values():
            if other["ServiceName"] == one["ServiceName"] and identifier in other["RouteTableIds"]:
                raise Fault(
                    "RouteAlreadyExists",
                    f"route table {identifier} already has a route with destination-prefix-list-id "
                    f"{prefix_list(world, one['ServiceName'].rpartition('.')[2])}",
                )


def _add_subnets(world, one, subnets):
    zones = {
        network.subnet(world, identifier).availability_zone
        for identifier in one["SubnetIds"]
        if network.subnet(world, identifier) is not None
    }
    for identifier in subnets:
        subnet = network.SUBNET.find(world, identifier)
        if subnet.vpc_id != one["VpcId"]:
            raise Fault("InvalidParameter", f"The subnet ID '{identifier}' is not in VPC {one['VpcId']}")
        if subnet.availability_zone in zones:
            raise Fault(
                "DuplicateSubnetsInSameZone",
                f"Found another VPC endpoint subnet in the availability zone of {identifier}",
            )
        zones.add(subnet.availability_zone)


def _stand(world, one, subnets):
    for identifier in subnets:
        eni = interfaces.make(
            world,
            network.subnet(world, identifier),
            one["_groups"],
            f"VPC Endpoint Interface {one['VpcEndpointId']}",
            "vpc_endpoint",
            requester_managed=True,
        )
        one["NetworkInterfaceIds"].append(eni.id)
        one["SubnetIds"].append(identifier)


def _check_names(world, one):
    vpc = world.ec2.vpcs[one["VpcId"]]
    if str(vpc.enable_dns_support).lower() != "true" or str(vpc.enable_dns_hostnames).lower() != "true":
        raise Fault(
            "InvalidParameter",
            "Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set to true for "
            f"{vpc.id}",
        )
    for other in table(world).values():
        if (
            other is not one
            and other["VpcId"] == vpc.id
            and other["ServiceName"] == one["ServiceName"]
            and other.get("PrivateDnsEnabled")
            and other["VpcEndpointType"] == "Interface"
        ):
            service = one["ServiceName"].split(".", 3)[-1]
            raise Fault(
                "InvalidParameter",
                f"private-dns-enabled cannot be set because there is already a conflicting DNS domain for "
                f"{service}.{world.region}.amazonaws.com in the VPC {vpc.id}",
            )


@app.handles("ec2", "CreateVpcEndpoint")
def create(call):
    world = call.world
    given = ec2.specified(call, "vpc-endpoint")
    vpc = network.VPC.find(world, call.get("VpcId"))
    kind = call.get("VpcEndpointType") or "Gateway"
    service = call.get("ServiceName") or ""
    short = service.removeprefix(f"com.amazonaws.{world.region}.")
    if short == service or short not in (GATEWAYS if kind == "Gateway" else INTERFACES):
        raise Fault("InvalidServiceName", f"The Vpc Endpoint Service '{service}' does not exist")
    quotas.check_count(
        call,
        "L-1B52E74A" if kind == "Gateway" else "L-29B6F2EB",
        sum(1 for one in table(world).values() if one["VpcEndpointType"] == kind),
        "VpcEndpointLimitExceeded",
        "The maximum number of VPC endpoints has been reached.",
    )
    one = {
        "VpcEndpointId": world_module.identifier("vpce"),
        "VpcEndpointType": kind,
        "VpcId": vpc.id,
        "ServiceName": service,
        "State": "available" if kind == "Gateway" else "pending",
        "PolicyDocument": call.get("PolicyDocument") or DEFAULT_POLICY,
        "RouteTableIds": [],
        "SubnetIds": [],
        "IpAddressType": call.get("IpAddressType") or "ipv4",
        "PrivateDnsEnabled": False,
        "RequesterManaged": False,
        "NetworkInterfaceIds": [],
        "DnsEntries": [],
        "CreationTimestamp": clock.now(),
        "OwnerId": world.account,
        "_groups": [],
    }
    if kind == "Gateway":
        if call.get("SubnetIds") or call.get("SecurityGroupIds"):
            raise Fault("InvalidParameter", "Endpoint type (Gateway) does not match available service types ([Interface]).")
        tables = call.get("RouteTableIds") or []
        _add_tables(world, one, tables)
        one["RouteTableIds"] = list(tables)
    else:
        if call.get("RouteTableIds"):
            raise Fault("InvalidParameter", "Route tables cannot be used with interface endpoints")
        groups = call.get("SecurityGroupIds") or []
        for identifier in groups:
            group = security_groups.GROUP.find(world, identifier)
            if group.vpc_id != vpc.id:
                raise Fault("InvalidParameter", f"The security group {identifier} does not belong to VPC {vpc.id}")
        one["_groups"] = list(groups) or [world.ec2.get_default_security_group(vpc.id).id]
        subnets = call.get("SubnetIds") or []
        _add_subnets(world, one, subnets)
        # By default, private names are wanted (the API's default is true).
        one["PrivateDnsEnabled"] = call.get("PrivateDnsEnabled", True)
        if one["PrivateDnsEnabled"]:
            _check_names(world, one)
        _stand(world, one, subnets)
        one["DnsEntries"] = [
            {"DnsName": f"{one['VpcEndpointId']}-{world_module.letters(8)}.{short}.{world.region}.vpce.amazonaws.com", "HostedZoneId": "Z1YSA3EXCYUU9Z"},
            {"DnsName": f"{short}.{world.region}.amazonaws.com", "HostedZoneId": "ZONEIDPENDING"},
        ]
        clock.after(CREATION, ready, one)
    table(world)[one["VpcEndpointId"]] = one
    ec2.set_tags(world, one["VpcEndpointId"], given.get("vpc-endpoint", {}))
    return {"VpcEndpoint": view(world, one), "ClientToken": call.get("ClientToken")}


def ready(one):
    if one["State"] == "pending":
        one["State"] = "available"


@app.handles("ec2", "ModifyVpcEndpoint")
def modify(call):
    world = call.world
    one = ENDPOINT.find(world, call.get("VpcEndpointId"))
    if one["State"] not in ("available", "pending"):
        raise Fault("IncorrectState", f"The VPC endpoint {one['VpcEndpointId']} is in state {one['State']}")
    tables, subnets = call.get("AddRouteTableIds") or [], call.get("AddSubnetIds") or []
    new_tables = [identifier for identifier in tables if identifier not in one["RouteTableIds"]]
    _add_tables(world, one, new_tables)
    new_subnets = [identifier for identifier in subnets if identifier not in one["SubnetIds"]]
    _add_subnets(world, one, new_subnets)
    for identifier in call.get("AddSecurityGroupIds") or []:
        security_groups.GROUP.find(world, identifier)
    if call.get("PrivateDnsEnabled"):
        _check_names(world, one)
    one["RouteTableIds"] = [
        identifier for identifier in one["RouteTableIds"] + new_tables if identifier not in (call.get("RemoveRouteTableIds") or [])
    ]
    for identifier in call.get("RemoveSubnetIds") or []:
        for eni in list(one["NetworkInterfaceIds"]):
            if world.ec2.enis[eni].subnet.id == identifier:
                interfaces.remove(world, eni)
                one["NetworkInterfaceIds"].remove(eni)
        one["SubnetIds"] = [known for known in one["SubnetIds"] if known != identifier]
    _stand(world, one, new_subnets)
    groups = [
        identifier
        for identifier in one["_groups"] + [new for new in call.get("AddSecurityGroupIds") or [] if new not in one["_groups"]]
        if identifier not in (call.get("RemoveSecurityGroupIds") or [])
    ]
    one["_groups"] = groups
    for eni in one["NetworkInterfaceIds"]:
        world.ec2.enis[eni]._group_set = [security_groups.all_groups(world)[identifier] for identifier in groups]
    if call.get("PolicyDocument"):
        one["PolicyDocument"] = call.get("PolicyDocument")
    if call.get("ResetPolicy"):
        one["PolicyDocument"] = DEFAULT_POLICY
    if call.get("PrivateDnsEnabled") is not None:
        one["PrivateDnsEnabled"] = call.get("PrivateDnsEnabled")
    return {"Return": True}


@app.handles("ec2", "DeleteVpcEndpoints")
def delete(call):
    world = call.world
    failed = []
    for identifier in call.get("VpcEndpointIds") or []:
        one = table(world).get(identifier)
        if one is None:
            fault = ENDPOINT.missing(identifier)
            failed.append({"ResourceId": identifier, "Error": {"Code": fault.code, "Message": fault.message}})
            continue
        one["State"] = "deleting"
        if one["VpcEndpointType"] == "Gateway":
            gone(world, identifier)
        else:
            clock.after(DELETION, gone, world, identifier)
    return {"Unsuccessful": failed}


def gone(world, identifier):
    one = table(world).pop(identifier, None)
    if one is not None:
        for eni in one["NetworkInterfaceIds"]:
            interfaces.remove(world, eni)
        ec2.forget(world, identifier)


@app.handles("ec2", "DescribePrefixLists")
def prefix_lists(call):
    world = call.world
    rows = [
        {
            "PrefixListId": prefix_list(world, service),
            "PrefixListName": f"com.amazonaws.{world.region}.{service}",
            "Cidrs": ["3.5.76.0/22", "52.218.128.0/17"],
        }
        for service in GATEWAYS
    ]
    filters = ec2.Filters(
        call.get("Filters"),
        {"prefix-list-name": attribute("PrefixListName"), "prefix-list-id": attribute("PrefixListId")},
    )
    wanted = call.get("PrefixListIds")
    return {"PrefixLists": [row for row in rows if filters.by_view(row) and (not wanted or row["PrefixListId"] in wanted)]}


@app.handles("ec2", "DescribeVpcEndpointServices")
def services(call):
    world = call.world
    zones = [zone.name for zone in world.ec2.describe_availability_zones()]
    details = [
        {
            "ServiceName": f"com.amazonaws.{world.region}.{service}",
            "ServiceType": [{"ServiceType": kind}],
            "AvailabilityZones": zones,
            "Owner": "amazon",
            "VpcEndpointPolicySupported": True,
            "AcceptanceRequired": False,
            "ManagesVpcEndpoints": False,
            "SupportedIpAddressTypes": ["ipv4"],
            "PrivateDnsName": f"{service}.{world.region}.amazonaws.com" if kind == "Interface" else None,
        }
        for kind, names in (("Gateway", GATEWAYS), ("Interface", INTERFACES))
        for service in names
    ]
    wanted = call.get("ServiceNames")
    if wanted:
        known = {one["ServiceName"] for one in details}
        for name in wanted:
            if name not in known:
                raise Fault("InvalidServiceName", f"The Vpc Endpoint Service '{name}' does not exist")
        details = [one for one in details if one["ServiceName"] in wanted]
    filters = ec2.Filters(
        call.get("Filters"),
        {"service-name": attribute("ServiceName"), "service-type": attribute("ServiceType", "ServiceType")},
    )
    details = [one for one in details if filters.by_view(one)]
    return {"ServiceNames": sorted({one["ServiceName"] for one in details}), "ServiceDetails": details}
