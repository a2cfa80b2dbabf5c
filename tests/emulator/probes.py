"""What the emulated AWS does, one probe for each behaviour; against a served emulator on a port that the kernel picks.

    python3 -m unittest discover tests/emulator -p 'probes*.py'

Every probe waits for what it wants to see; none asserts on time.
"""

import base64
import functools
import hashlib
import json
import pathlib
import subprocess
import sys
import time
import unittest
import urllib.error
import urllib.request
import zlib

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

SERVE = pathlib.Path(__file__).resolve().parent / "serve.py"
SPEED = "0.002"
PATIENCE = 30
served = None


def setUpModule():
    global served
    process = subprocess.Popen(
        [sys.executable, str(SERVE), "--speed", SPEED, "--until-stdin-closes"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    served = process, json.loads(process.stdout.readline())["port"]


def tearDownModule():
    process, _ = served
    process.stdin.close()
    process.wait(timeout=30)
    process.stdout.close()


@functools.cache
def client(service, region="us-west-2", key="AKIDPROBES"):
    return boto3.client(
        service,
        endpoint_url=f"http://127.0.0.1:{served[1]}",
        region_name=region,
        aws_access_key_id=key,
        aws_secret_access_key="none",
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
    )


def control(name, body=None, method=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{served[1]}/_emulator/{name}", data=data, method=method or ("GET" if body is None else "POST")
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def settings(**changes):
    return control("settings", changes)


def trust(*services):
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": {"Service": list(services)}, "Action": ["sts:AssumeRole", "sts:TagSession"]}],
        }
    )


class Probes(unittest.TestCase):
    """Begins with a fresh account."""

    def setUp(self):
        control("reset", {})
        self.ec2 = client("ec2")

    def refused(self, code, call, *arguments, **named):
        with self.assertRaises(ClientError) as caught:
            call(*arguments, **named)
        self.assertEqual(caught.exception.response["Error"]["Code"], code, caught.exception)
        return caught.exception

    def until(self, wanted, look):
        end = time.monotonic() + PATIENCE
        while True:
            try:
                seen = look()
            except ClientError as error:
                seen = error.response["Error"]["Code"]
            if seen == wanted:
                return
            self.assertLess(time.monotonic(), end, f"still {seen!r}, not {wanted!r}")
            time.sleep(0.02)

    def vpc(self, cidr="10.0.0.0/16"):
        return self.ec2.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"]

    def subnet(self, vpc, cidr="10.0.0.0/24", zone="us-west-2a"):
        return self.ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone=zone)["Subnet"]["SubnetId"]

    def group(self, vpc, name="g", open_to_itself=False):
        made = self.ec2.create_security_group(GroupName=name, Description="probe", VpcId=vpc)["GroupId"]
        if open_to_itself:
            everything = [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": made}]}]
            self.ec2.authorize_security_group_ingress(GroupId=made, IpPermissions=everything)
            self.ec2.authorize_security_group_egress(GroupId=made, IpPermissions=everything)
        return made

    def gateway(self, vpc):
        made = self.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        self.ec2.attach_internet_gateway(InternetGatewayId=made, VpcId=vpc)
        return made

    def role(self, name, *services, policies=()):
        iam = client("iam")
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust(*services))["Role"]["Arn"]
        for policy in policies:
            iam.attach_role_policy(RoleName=name, PolicyArn=f"arn:aws:iam::aws:policy/{policy}")
        return arn

    def held(self, *types):
        return [row for row in control("dump")["resources"] if not types or row["type"] in types]


class TheEmulatorItself(Probes):
    def test_dump_of_a_fresh_account_is_empty_and_tells_what_is_made(self):
        self.assertEqual(self.held(), [])
        self.ec2.describe_vpcs()
        self.assertEqual(self.held(), [])
        vpc = self.ec2.create_vpc(
            CidrBlock="10.0.0.0/16", TagSpecifications=[{"ResourceType": "vpc", "Tags": [{"Key": "Name", "Value": "n"}]}]
        )["Vpc"]["VpcId"]
        rows = self.held()
        self.assertEqual([(row["service"], row["type"], row["id"], row["name"]) for row in rows], [("ec2", "vpc", vpc, "n")])
        self.ec2.delete_vpc(VpcId=vpc)
        self.assertEqual(self.held(), [])

    def test_counts_and_settings(self):
        self.ec2.describe_vpcs()
        self.assertEqual(control("counts")["ec2"]["DescribeVpcs"], 1)
        self.assertEqual(settings(quotas={"L-F678F1CE": 7})["quotas"], {"L-F678F1CE": 7})
        with self.assertRaises(urllib.error.HTTPError):
            settings(no_such_setting=1)
        control("reset", {})
        self.assertEqual(control("settings")["quotas"], {})

    def test_fresh_objects_are_not_seen(self):
        settings(visibility_seconds=3600)
        vpc = self.vpc()
        self.refused("InvalidVpcID.NotFound", self.ec2.describe_vpcs, VpcIds=[vpc])
        self.assertNotIn(vpc, [one["VpcId"] for one in self.ec2.describe_vpcs()["Vpcs"]])
        self.refused("InvalidVpcID.NotFound", self.ec2.create_subnet, VpcId=vpc, CidrBlock="10.0.0.0/24")
        client("iam").create_role(RoleName="fresh", AssumeRolePolicyDocument=trust("ec2.amazonaws.com"))
        self.refused("NoSuchEntity", client("iam").get_role, RoleName="fresh")
        self.assertEqual(client("iam").list_roles()["Roles"], [])
        settings(visibility_seconds=0)
        self.assertEqual(self.ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["VpcId"], vpc)
        self.assertEqual(client("iam").get_role(RoleName="fresh")["Role"]["RoleName"], "fresh")

    def test_credentials_expire(self):
        settings(expired_credentials_after=1)
        expiring = {"key": "FORGEEXPIRE1"}
        client("ec2", **expiring).describe_vpcs()
        self.refused("RequestExpired", client("ec2", **expiring).describe_vpcs)
        self.refused("ExpiredToken", client("iam", **expiring).list_roles)
        self.refused("ExpiredToken", client("s3", **expiring).list_buckets)
        self.refused("ExpiredTokenException", client("fsx", **expiring).describe_file_systems)
        self.refused("ExpiredTokenException", client("eks", **expiring).list_clusters)
        self.ec2.describe_vpcs()

    def test_errors_on_demand(self):
        settings(faults=[{"action": "ec2:DescribeVpcs", "code": "RequestLimitExceeded", "status": 503, "times": 1}])
        self.refused("RequestLimitExceeded", self.ec2.describe_vpcs)
        self.ec2.describe_vpcs()
        settings(faults=[{"action": "ec2:CreateVpc", "code": "InternalError", "status": 500, "done": True}])
        self.refused("InternalError", self.ec2.create_vpc, CidrBlock="10.0.0.0/16")
        self.assertEqual(len(self.held("vpc")), 1)


class Tokens(Probes):
    def test_ec2_creations_are_done_once_for_a_token(self):
        vpc = self.vpc()
        subnet = self.subnet(vpc)
        self.gateway(vpc)
        address = self.ec2.allocate_address(Domain="vpc")["AllocationId"]
        data = {"InstanceType": "m5.large", "ImageId": "ami-12345678"}
        cases = [
            (self.ec2.create_route_table, {"VpcId": vpc}, {"TagSpecifications": [{"ResourceType": "route-table", "Tags": [{"Key": "a", "Value": "b"}]}]}, lambda a: a["RouteTable"]["RouteTableId"], "route-table"),
            (self.ec2.create_nat_gateway, {"SubnetId": subnet, "AllocationId": address}, {"PrivateIpAddress": "10.0.0.99"}, lambda a: a["NatGateway"]["NatGatewayId"], "natgateway"),
            (self.ec2.create_launch_template, {"LaunchTemplateName": "one", "LaunchTemplateData": data}, {"VersionDescription": "x"}, lambda a: a["LaunchTemplate"]["LaunchTemplateId"], "launch-template"),
            (self.ec2.create_vpc_endpoint, {"VpcId": vpc, "ServiceName": "com.amazonaws.us-west-2.s3"}, {"PolicyDocument": "{}"}, lambda a: a["VpcEndpoint"]["VpcEndpointId"], "vpc-endpoint"),
            (self.ec2.create_capacity_reservation, {"InstanceType": "m5.large", "InstancePlatform": "Linux/UNIX", "AvailabilityZone": "us-west-2a", "InstanceCount": 1}, {"InstanceCount": 2}, lambda a: a["CapacityReservation"]["CapacityReservationId"], "capacity-reservation"),
            (self.ec2.create_network_interface, {"SubnetId": subnet}, {"Description": "x"}, lambda a: a["NetworkInterface"]["NetworkInterfaceId"], None),
            (self.ec2.run_instances, {"ImageId": "ami-12345678", "InstanceType": "m5.large", "SubnetId": subnet, "MinCount": 1, "MaxCount": 1}, {"MaxCount": 2}, lambda a: a["Instances"][0]["InstanceId"], "instance"),
        ]
        for number, (call, named, other, identifier, kind) in enumerate(cases):
            with self.subTest(call=kind or "network-interface"):
                token = f"token-{number}"
                first = identifier(call(**named, ClientToken=token))
                self.assertEqual(identifier(call(**named, ClientToken=token)), first)
                if kind:
                    self.assertEqual([row["id"] for row in self.held(kind)], [first])
                self.refused("IdempotentParameterMismatch", call, **{**named, **other}, ClientToken=token)
        template = self.held("launch-template")[0]["id"]
        for _ in range(2):
            made = self.ec2.create_launch_template_version(LaunchTemplateId=template, LaunchTemplateData=data, ClientToken="v")
            self.assertEqual(made["LaunchTemplateVersion"]["VersionNumber"], 2)

    def test_a_token_of_terminated_instances_is_refused(self):
        named = {"ImageId": "ami-12345678", "InstanceType": "m5.large", "MinCount": 1, "MaxCount": 1, "ClientToken": "t"}
        made = self.ec2.run_instances(**named)["Instances"][0]["InstanceId"]
        self.ec2.terminate_instances(InstanceIds=[made])
        self.refused("IdempotentInstanceTerminated", self.ec2.run_instances, **named)

    def test_dry_runs_do_nothing(self):
        self.refused("DryRunOperation", self.ec2.create_vpc, CidrBlock="10.0.0.0/16", DryRun=True)
        self.assertEqual(self.held(), [])
        settings(denied=["ec2:CreateVpc"])
        self.refused("UnauthorizedOperation", self.ec2.create_vpc, CidrBlock="10.0.0.0/16", DryRun=True)


class Networks(Probes):
    def test_nat_gateways_take_their_time(self):
        vpc = self.vpc()
        subnet = self.subnet(vpc)
        gateway = self.gateway(vpc)
        address = self.ec2.allocate_address(Domain="vpc")["AllocationId"]
        nat = self.ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address)["NatGateway"]
        self.assertEqual(nat["State"], "pending")
        nat = nat["NatGatewayId"]
        enis = self.ec2.describe_network_interfaces(Filters=[{"Name": "interface-type", "Values": ["nat_gateway"]}])["NetworkInterfaces"]
        self.assertEqual((len(enis), enis[0]["RequesterManaged"], enis[0]["SubnetId"]), (1, True, subnet))

        def state():
            return self.ec2.describe_nat_gateways(NatGatewayIds=[nat])["NatGateways"][0]["State"]

        self.until("available", state)
        table = self.ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
        self.ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=nat)
        self.refused("AuthFailure", self.ec2.release_address, AllocationId=address)
        self.refused("DependencyViolation", self.ec2.delete_subnet, SubnetId=subnet)
        self.refused("DependencyViolation", self.ec2.detach_internet_gateway, InternetGatewayId=gateway, VpcId=vpc)
        self.ec2.delete_nat_gateway(NatGatewayId=nat)
        self.until("deleted", state)
        routes = self.ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Routes"]
        self.assertEqual([route["State"] for route in routes if route.get("NatGatewayId")], ["blackhole"])
        self.ec2.release_address(AllocationId=address)
        self.ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
        self.ec2.delete_internet_gateway(InternetGatewayId=gateway)
        self.ec2.delete_subnet(SubnetId=subnet)
        self.ec2.delete_route_table(RouteTableId=table)
        self.ec2.delete_vpc(VpcId=vpc)
        self.assertEqual(self.held(), [])

    def test_nat_gateways_need_an_internet_gateway(self):
        subnet = self.subnet(self.vpc())
        address = self.ec2.allocate_address(Domain="vpc")["AllocationId"]
        nat = self.ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address)["NatGateway"]["NatGatewayId"]
        self.until("failed", lambda: self.ec2.describe_nat_gateways(NatGatewayIds=[nat])["NatGateways"][0]["State"])

    def test_vpcs_with_anything_in_them_stay(self):
        vpc = self.vpc()
        gateway = self.gateway(vpc)
        self.refused("DependencyViolation", self.ec2.delete_vpc, VpcId=vpc)
        self.refused("DependencyViolation", self.ec2.delete_internet_gateway, InternetGatewayId=gateway)
        self.ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
        group = self.group(vpc)
        self.refused("DependencyViolation", self.ec2.delete_vpc, VpcId=vpc)
        self.ec2.delete_security_group(GroupId=group)
        endpoint = self.ec2.create_vpc_endpoint(VpcId=vpc, ServiceName="com.amazonaws.us-west-2.s3")["VpcEndpoint"]["VpcEndpointId"]
        self.refused("DependencyViolation", self.ec2.delete_vpc, VpcId=vpc)
        self.ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint])
        self.ec2.delete_vpc(VpcId=vpc)

    def test_subnets(self):
        vpc = self.vpc()
        made = self.ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24", AvailabilityZoneId="usw2-az1")["Subnet"]
        self.assertEqual(made["AvailabilityZone"], "us-west-2b")
        self.assertFalse(made["DefaultForAz"] or made["MapPublicIpOnLaunch"])
        self.refused("InvalidSubnet.Conflict", self.ec2.create_subnet, VpcId=vpc, CidrBlock="10.0.0.128/25")
        self.refused("InvalidSubnet.Range", self.ec2.create_subnet, VpcId=vpc, CidrBlock="10.1.0.0/24")
        self.refused("InvalidParameterValue", self.ec2.create_subnet, VpcId=vpc, CidrBlock="10.0.1.0/24", AvailabilityZone="us-east-1a")
        self.refused("InvalidSubnetID.NotFound", self.ec2.describe_subnets, SubnetIds=["subnet-00000000000000000"])

    def test_route_tables(self):
        vpc = self.vpc()
        subnet = self.subnet(vpc)
        tables = [self.ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"] for _ in range(2)]
        association = self.ec2.associate_route_table(RouteTableId=tables[0], SubnetId=subnet)["AssociationId"]
        self.refused("Resource.AlreadyAssociated", self.ec2.associate_route_table, RouteTableId=tables[1], SubnetId=subnet)
        self.refused("DependencyViolation", self.ec2.delete_route_table, RouteTableId=tables[0])
        self.ec2.disassociate_route_table(AssociationId=association)
        self.ec2.delete_route_table(RouteTableId=tables[0])
        gateway = self.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        route = {"RouteTableId": tables[1], "DestinationCidrBlock": "0.0.0.0/0", "GatewayId": gateway}
        self.refused("InvalidParameterValue", self.ec2.create_route, **route)
        self.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
        self.ec2.create_route(**route)
        self.refused("RouteAlreadyExists", self.ec2.create_route, **route)
        self.ec2.delete_route(RouteTableId=tables[1], DestinationCidrBlock="0.0.0.0/0")
        self.refused("InvalidRoute.NotFound", self.ec2.delete_route, RouteTableId=tables[1], DestinationCidrBlock="0.0.0.0/0")

    def test_security_groups(self):
        vpc = self.vpc()
        first, second = self.group(vpc, "first"), self.group(vpc, "second")
        self.refused("InvalidGroup.Duplicate", self.ec2.create_security_group, GroupName="first", Description="x", VpcId=vpc)
        own = [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": first, "Description": "its own"}]}]
        self.ec2.authorize_security_group_ingress(GroupId=first, IpPermissions=own)
        self.refused("InvalidPermission.Duplicate", self.ec2.authorize_security_group_ingress, GroupId=first, IpPermissions=own)
        seen = self.ec2.describe_security_groups(GroupIds=[first])["SecurityGroups"][0]
        self.assertEqual(seen["IpPermissions"][0]["UserIdGroupPairs"][0]["Description"], "its own")
        self.assertEqual(seen["IpPermissionsEgress"][0]["IpRanges"], [{"CidrIp": "0.0.0.0/0"}])
        rules = self.ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [first]}])["SecurityGroupRules"]
        self.assertEqual(sorted(rule["IsEgress"] for rule in rules), [False, True])
        other = [{"IpProtocol": "tcp", "FromPort": 1, "ToPort": 2, "UserIdGroupPairs": [{"GroupId": second}]}]
        self.ec2.authorize_security_group_ingress(GroupId=first, IpPermissions=other)
        self.refused("DependencyViolation", self.ec2.delete_security_group, GroupId=second)
        self.ec2.revoke_security_group_ingress(GroupId=first, IpPermissions=other)
        self.refused("InvalidPermission.NotFound", self.ec2.revoke_security_group_ingress, GroupId=first, IpPermissions=other)
        self.ec2.delete_security_group(GroupId=second)
        eni = self.ec2.create_network_interface(SubnetId=self.subnet(vpc), Groups=[first])["NetworkInterface"]["NetworkInterfaceId"]
        self.refused("DependencyViolation", self.ec2.delete_security_group, GroupId=first)
        self.ec2.delete_network_interface(NetworkInterfaceId=eni)
        self.ec2.delete_security_group(GroupId=first)
        self.refused("InvalidGroup.NotFound", self.ec2.describe_security_groups, GroupIds=[first])

    def test_interface_endpoints(self):
        vpc = self.vpc()
        subnet, group = self.subnet(vpc), self.group(vpc)
        named = {"VpcId": vpc, "VpcEndpointType": "Interface", "ServiceName": "com.amazonaws.us-west-2.ecr.api", "SubnetIds": [subnet], "SecurityGroupIds": [group]}
        self.refused("InvalidParameter", self.ec2.create_vpc_endpoint, **named)
        self.ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
        made = self.ec2.create_vpc_endpoint(**named)["VpcEndpoint"]
        self.assertEqual(made["State"], "pending")
        identifier = made["VpcEndpointId"]

        def state():
            return self.ec2.describe_vpc_endpoints(VpcEndpointIds=[identifier])["VpcEndpoints"][0]["State"]

        self.until("available", state)
        self.refused("DependencyViolation", self.ec2.delete_security_group, GroupId=group)
        self.refused("DependencyViolation", self.ec2.delete_subnet, SubnetId=subnet)
        self.ec2.delete_vpc_endpoints(VpcEndpointIds=[identifier])
        self.until("InvalidVpcEndpointId.NotFound", state)
        self.ec2.delete_security_group(GroupId=group)
        self.ec2.delete_subnet(SubnetId=subnet)
        self.refused("InvalidServiceName", self.ec2.create_vpc_endpoint, VpcId=vpc, ServiceName="com.amazonaws.us-west-2.nothing")

    def test_gateway_endpoints_are_routes(self):
        vpc = self.vpc()
        table = self.ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
        endpoint = self.ec2.create_vpc_endpoint(VpcId=vpc, ServiceName="com.amazonaws.us-west-2.s3", RouteTableIds=[table])["VpcEndpoint"]["VpcEndpointId"]
        routes = self.ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Routes"]
        self.assertIn(endpoint, [route.get("GatewayId") for route in routes])
        self.ec2.modify_vpc_endpoint(VpcEndpointId=endpoint, RemoveRouteTableIds=[table])
        self.ec2.delete_route_table(RouteTableId=table)

    def test_lists_have_filters_and_pages(self):
        vpc = self.vpc()
        for number in range(12):
            self.ec2.create_security_group(
                GroupName=f"page-{number}", Description="x", VpcId=vpc, TagSpecifications=[{"ResourceType": "security-group", "Tags": [{"Key": "of", "Value": "pages"}]}]
            )
        found = self.ec2.get_paginator("describe_security_groups").paginate(
            Filters=[{"Name": "tag:of", "Values": ["pag*"]}], PaginationConfig={"PageSize": 5}
        )
        pages = [len(page["SecurityGroups"]) for page in found]
        self.assertEqual(pages, [5, 5, 2])
        self.refused("InvalidParameterValue", self.ec2.describe_vpcs, Filters=[{"Name": "no-such-filter", "Values": ["x"]}])

    def test_tags(self):
        vpc = self.vpc()
        self.ec2.create_tags(Resources=[vpc], Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
        self.ec2.delete_tags(Resources=[vpc], Tags=[{"Key": "a"}])
        self.assertEqual(self.ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["Tags"], [{"Key": "b", "Value": "2"}])
        self.refused("InvalidParameterValue", self.ec2.create_tags, Resources=[vpc], Tags=[{"Key": "aws:x", "Value": "1"}])
        self.refused("InvalidVpcID.NotFound", self.ec2.create_tags, Resources=["vpc-00000000000000000"], Tags=[{"Key": "a", "Value": "1"}])
        found = self.ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [vpc]}])["Tags"]
        self.assertEqual([(tag["Key"], tag["ResourceType"]) for tag in found], [("b", "vpc")])


class LaunchTemplates(Probes):
    data = {"InstanceType": "m5.large", "ImageId": "ami-12345678"}

    def test_tags_of_a_template_are_no_part_of_its_data(self):
        made = self.ec2.create_launch_template(
            LaunchTemplateName="tagged", LaunchTemplateData=self.data, TagSpecifications=[{"ResourceType": "launch-template", "Tags": [{"Key": "a", "Value": "b"}]}]
        )["LaunchTemplate"]
        self.assertEqual(made["Tags"], [{"Key": "a", "Value": "b"}])
        version = self.ec2.describe_launch_template_versions(LaunchTemplateId=made["LaunchTemplateId"])["LaunchTemplateVersions"][0]
        self.assertEqual(version["LaunchTemplateData"], self.data)

    def test_versions(self):
        made = self.ec2.create_launch_template(LaunchTemplateName="versions", LaunchTemplateData=self.data)["LaunchTemplate"]["LaunchTemplateId"]
        second = self.ec2.create_launch_template_version(LaunchTemplateId=made, SourceVersion="1", LaunchTemplateData={"InstanceType": "m5.xlarge"})
        self.assertEqual(second["LaunchTemplateVersion"]["LaunchTemplateData"], {"InstanceType": "m5.xlarge", "ImageId": "ami-12345678"})
        self.ec2.modify_launch_template(LaunchTemplateId=made, DefaultVersion="2")
        answer = self.ec2.delete_launch_template_versions(LaunchTemplateId=made, Versions=["1", "2"])
        self.assertEqual(len(answer["SuccessfullyDeletedLaunchTemplateVersions"]), 1)
        self.assertEqual(len(answer["UnsuccessfullyDeletedLaunchTemplateVersions"]), 1)
        third = self.ec2.create_launch_template_version(LaunchTemplateId=made, LaunchTemplateData=self.data)
        self.assertEqual(third["LaunchTemplateVersion"]["VersionNumber"], 3)
        self.refused("InvalidLaunchTemplateName.AlreadyExistsException", self.ec2.create_launch_template, LaunchTemplateName="versions", LaunchTemplateData=self.data)
        self.refused("InvalidLaunchTemplateId.VersionNotFound", self.ec2.describe_launch_template_versions, LaunchTemplateId=made, Versions=["9"])


class Instances(Probes):
    def launch(self, **named):
        return self.ec2.run_instances(**{"ImageId": "ami-12345678", "InstanceType": "m5.large", "MinCount": 1, "MaxCount": 1, **named})["Instances"]

    def state(self, identifier):
        return self.ec2.describe_instances(InstanceIds=[identifier])["Reservations"][0]["Instances"][0]["State"]["Name"]

    def test_they_start_and_end_in_steps(self):
        vpc = self.vpc()
        subnet, group = self.subnet(vpc), self.group(vpc)
        one = self.launch(SubnetId=subnet, SecurityGroupIds=[group])[0]["InstanceId"]
        self.until("running", lambda: self.state(one))
        self.refused("DependencyViolation", self.ec2.delete_security_group, GroupId=group)
        answer = self.ec2.terminate_instances(InstanceIds=[one])["TerminatingInstances"][0]
        self.assertEqual(answer["CurrentState"]["Name"], "shutting-down")
        self.refused("DependencyViolation", self.ec2.delete_subnet, SubnetId=subnet)
        self.until("terminated", lambda: self.state(one))
        self.ec2.delete_security_group(GroupId=group)
        self.ec2.delete_subnet(SubnetId=subnet)
        self.ec2.delete_vpc(VpcId=vpc)
        self.assertEqual(self.held(), [])

    def test_what_is_refused(self):
        self.refused("InvalidParameterValue", self.launch, InstanceType="m5.enormous")
        self.refused("InvalidParameterValue", self.launch, IamInstanceProfile={"Name": "none"})
        settings(unoffered=[{"instance_type": "m5.large", "zone": "us-west-2a"}])
        subnet = self.subnet(self.vpc())
        self.refused("Unsupported", self.launch, SubnetId=subnet)
        settings(unoffered=[], quotas={"L-1216C47A": 1})
        self.refused("VcpuLimitExceeded", self.launch)
        settings(quotas={"L-1216C47A": 1000}, capacity=[{"zone": "us-west-2a", "instance_type": "m5.large", "available": 1}])
        self.launch(SubnetId=subnet)
        error = self.refused("InsufficientInstanceCapacity", self.launch, SubnetId=subnet)
        self.assertGreaterEqual(error.response["ResponseMetadata"]["HTTPStatusCode"], 500)

    def test_network_cards(self):
        vpc = self.vpc()
        subnet, group = self.subnet(vpc), self.group(vpc)

        def nics(count, kind="efa-only"):
            first = [{"NetworkCardIndex": 0, "DeviceIndex": 0, "Groups": [group], "SubnetId": subnet}]
            return first + [{"NetworkCardIndex": card, "DeviceIndex": 1 if card == 0 else 0, "InterfaceType": kind, "Groups": [group], "SubnetId": subnet} for card in range(count)]

        made = self.launch(InstanceType="p5.48xlarge", NetworkInterfaces=nics(32))[0]
        self.assertEqual(len(made["NetworkInterfaces"]), 33)
        self.assertEqual(len(self.held("network-interface")), 33)
        self.ec2.terminate_instances(InstanceIds=[made["InstanceId"]])
        self.until([], lambda: self.held("network-interface"))
        self.refused("InvalidParameterCombination", self.launch, NetworkInterfaces=nics(1))
        self.refused("InvalidParameterCombination", self.launch, InstanceType="p6-b300.48xlarge", NetworkInterfaces=nics(1))


class Capacity(Probes):
    def test_placement_groups(self):
        made = self.ec2.create_placement_group(
            GroupName="near", Strategy="cluster", TagSpecifications=[{"ResourceType": "placement-group", "Tags": [{"Key": "a", "Value": "b"}]}]
        )["PlacementGroup"]
        self.assertEqual((made["State"], made["Tags"]), ("available", [{"Key": "a", "Value": "b"}]))
        self.refused("InvalidPlacementGroup.Duplicate", self.ec2.create_placement_group, GroupName="near", Strategy="cluster")
        self.refused("InvalidPlacementGroup.Unknown", self.ec2.describe_placement_groups, GroupNames=["far"])
        one = self.ec2.run_instances(ImageId="ami-12345678", InstanceType="m5.large", MinCount=1, MaxCount=1, Placement={"GroupName": "near"})["Instances"][0]["InstanceId"]
        self.refused("InvalidPlacementGroup.InUse", self.ec2.delete_placement_group, GroupName="near")
        self.ec2.terminate_instances(InstanceIds=[one])
        self.until("done", lambda: self.ec2.delete_placement_group(GroupName="near") and "done")
        self.refused("InvalidPlacementGroup.Unknown", self.ec2.delete_placement_group, GroupName="near")

    def reserve(self, **named):
        return self.ec2.create_capacity_reservation(
            **{"InstanceType": "p5.48xlarge", "InstancePlatform": "Linux/UNIX", "AvailabilityZone": "us-west-2a", "InstanceCount": 2, "InstanceMatchCriteria": "targeted", **named}
        )["CapacityReservation"]

    def test_reservations(self):
        made = self.reserve()
        identifier = made["CapacityReservationId"]
        self.assertEqual((made["State"], made["AvailableInstanceCount"]), ("active", 2))
        launch = {
            "ImageId": "ami-12345678", "InstanceType": "p5.48xlarge", "MinCount": 1, "MaxCount": 1, "SubnetId": self.subnet(self.vpc()),
            "CapacityReservationSpecification": {"CapacityReservationTarget": {"CapacityReservationId": identifier}},
        }  # fmt: skip
        self.ec2.run_instances(**launch)
        self.ec2.run_instances(**launch)
        self.refused("ReservationCapacityExceeded", self.ec2.run_instances, **launch)
        self.ec2.modify_capacity_reservation(CapacityReservationId=identifier, InstanceCount=3)
        self.ec2.run_instances(**launch)
        self.refused("InvalidParameterValue", self.ec2.modify_capacity_reservation, CapacityReservationId=identifier, InstanceCount=1)
        self.ec2.cancel_capacity_reservation(CapacityReservationId=identifier)
        state = self.ec2.describe_capacity_reservations(CapacityReservationIds=[identifier])["CapacityReservations"][0]["State"]
        self.assertEqual(state, "cancelled")
        settings(capacity=[{"zone": "us-west-2b", "instance_type": "p5.48xlarge", "available": 1}])
        self.refused("InsufficientInstanceCapacity", self.reserve, AvailabilityZone="us-west-2b")
        settings(quotas={"L-417A185B": 192})
        self.refused("InstanceLimitExceeded", self.reserve, InstanceCount=2)

    def test_capacity_blocks(self):
        named = {"InstanceType": "p5.48xlarge", "InstanceCount": 1, "CapacityDurationHours": 24}
        offers = self.ec2.describe_capacity_block_offerings(**named)["CapacityBlockOfferings"]
        self.assertEqual(offers[0]["UpfrontFee"], f"{5.191 * 8 * 24:.2f}")
        self.assertEqual(offers[0]["EndDate"].utctimetuple()[3:5], (11, 30))
        self.refused("InvalidParameterValue", self.ec2.describe_capacity_block_offerings, **{**named, "CapacityDurationHours": 25})
        bought = self.ec2.purchase_capacity_block(CapacityBlockOfferingId=offers[0]["CapacityBlockOfferingId"], InstancePlatform="Linux/UNIX")["CapacityReservation"]
        self.assertEqual((bought["State"], bought["ReservationType"]), ("payment-pending", "capacity-block"))
        identifier = bought["CapacityReservationId"]

        def state():
            return self.ec2.describe_capacity_reservations(CapacityReservationIds=[identifier])["CapacityReservations"][0]["State"]

        launch = {
            "ImageId": "ami-12345678", "InstanceType": "p5.48xlarge", "MinCount": 1, "MaxCount": 1,
            "SubnetId": self.subnet(self.vpc(), zone=offers[0]["AvailabilityZone"]), "InstanceMarketOptions": {"MarketType": "capacity-block"},
            "CapacityReservationSpecification": {"CapacityReservationTarget": {"CapacityReservationId": identifier}},
        }  # fmt: skip
        self.refused("InvalidCapacityReservationState.PendingActivation", self.ec2.run_instances, **launch)
        self.refused("Unsupported", self.ec2.cancel_capacity_reservation, CapacityReservationId=identifier)
        self.until("scheduled", state)
        self.until("active", state)
        self.assertEqual(self.ec2.describe_capacity_blocks()["CapacityBlocks"][0]["State"], "active")
        self.ec2.run_instances(**launch)
        self.refused("InvalidCapacityBlockOfferingIdNotFound", self.ec2.purchase_capacity_block, CapacityBlockOfferingId="cb-0000", InstancePlatform="Linux/UNIX")

    def test_offerings(self):
        found = self.ec2.describe_instance_type_offerings(LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": ["trn2.48xlarge"]}])
        self.assertTrue(found["InstanceTypeOfferings"])
        settings(unoffered=[{"instance_type": "trn2.48xlarge", "zone": "us-west-2a"}])
        left = self.ec2.describe_instance_type_offerings(LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": ["trn2.48xlarge"]}])
        self.assertNotIn("us-west-2a", [one["Location"] for one in left["InstanceTypeOfferings"]])
        east = client("ec2", "us-east-1")
        gb200 = east.describe_instance_types(InstanceTypes=["p6e-gb200.36xlarge"])["InstanceTypes"][0]
        self.assertEqual((gb200["NetworkInfo"]["MaximumNetworkCards"], gb200["NetworkInfo"]["EfaInfo"]["MaximumEfaInterfaces"]), (17, 8))
        ohio = client("ec2", "us-east-2").describe_instance_types(InstanceTypes=["trn2u.48xlarge"])["InstanceTypes"][0]
        self.assertEqual(ohio["VCpuInfo"]["DefaultVCpus"], 192)
        self.refused("InvalidInstanceType", self.ec2.describe_instance_types, InstanceTypes=["m5.enormous"])
        zones = {zone["ZoneName"]: (zone["ZoneId"], zone["OptInStatus"]) for zone in self.ec2.describe_availability_zones()["AvailabilityZones"]}
        self.assertEqual(zones["us-west-2a"], ("usw2-az2", "opt-in-not-required"))
        self.assertEqual(self.ec2.describe_regions(RegionNames=["ap-east-1"], AllRegions=True)["Regions"][0]["OptInStatus"], "not-opted-in")
        self.assertNotIn("ap-east-1", [region["RegionName"] for region in self.ec2.describe_regions()["Regions"]])


class ScalingGroups(Probes):
    def setUp(self):
        super().setUp()
        self.scaling = client("autoscaling")
        self.template = self.ec2.create_launch_template(LaunchTemplateName="asg", LaunchTemplateData={"InstanceType": "m5.large", "ImageId": "ami-12345678"})["LaunchTemplate"]["LaunchTemplateId"]
        self.subnets = self.subnet(self.vpc())

    def begin(self, **named):
        self.scaling.create_auto_scaling_group(
            **{
                "AutoScalingGroupName": "asg", "MinSize": 0, "MaxSize": 4, "DesiredCapacity": 2, "VPCZoneIdentifier": self.subnets,
                "LaunchTemplate": {"LaunchTemplateId": self.template, "Version": "$Latest"}, "Tags": [{"Key": "a", "Value": "b", "PropagateAtLaunch": True}], **named,
            }  # fmt: skip
        )

    def members(self):
        found = self.scaling.describe_auto_scaling_groups(AutoScalingGroupNames=["asg"])["AutoScalingGroups"]
        return sorted(one["LifecycleState"] for one in found[0]["Instances"]) if found else None

    def test_they_start_and_end_instances(self):
        self.begin()
        self.refused("AlreadyExists", self.begin)
        self.until(["InService"] * 2, self.members)
        tagged = self.ec2.describe_instances(Filters=[{"Name": "tag:a", "Values": ["b"]}])["Reservations"]
        self.assertEqual(len(tagged), 2)
        self.scaling.set_desired_capacity(AutoScalingGroupName="asg", DesiredCapacity=1)
        self.until(["InService"], self.members)
        self.refused("ResourceInUse", self.scaling.delete_auto_scaling_group, AutoScalingGroupName="asg")
        self.scaling.delete_auto_scaling_group(AutoScalingGroupName="asg", ForceDelete=True)
        self.until(None, self.members)
        self.until([], lambda: self.held("group", "instance"))

    def test_a_speed_of_0_ends_a_round(self):
        self.addCleanup(settings, speed=settings()["speed"])
        settings(speed=0)
        # A group looks after itself again and again: with no time in between, all of it at one request.
        self.begin()
        self.until(["InService"] * 2, self.members)

    def test_lack_of_capacity_is_an_activity(self):
        settings(capacity=[{"zone": "us-west-2a", "instance_type": "m5.large", "available": 1}])
        self.begin()

        def failures():
            found = self.scaling.describe_scaling_activities(AutoScalingGroupName="asg")["Activities"]
            return any(one["StatusCode"] == "Failed" and "do not have sufficient m5.large capacity" in one["StatusMessage"] for one in found)

        self.until(True, failures)
        settings(capacity=[])
        self.until(["InService"] * 2, self.members)


class Clusters(Probes):
    def setUp(self):
        super().setUp()
        self.eks = client("eks")
        self.network = self.vpc()
        self.subnets = [self.subnet(self.network, f"10.0.{index}.0/24", f"us-west-2{zone}") for index, zone in enumerate("ab")]

    def cluster(self, **named):
        if not getattr(self, "cluster_role", None):
            self.cluster_role = self.role("cluster", "eks.amazonaws.com", policies=["AmazonEKSClusterPolicy"])
        return self.eks.create_cluster(
            **{"name": "probe", "roleArn": self.cluster_role, "resourcesVpcConfig": {"subnetIds": self.subnets}, "accessConfig": {"authenticationMode": "API"}, **named}
        )["cluster"]

    def status(self):
        return self.eks.describe_cluster(name="probe")["cluster"]["status"]

    def active(self, **named):
        self.cluster(**named)
        self.until("ACTIVE", self.status)

    def nodes_role(self):
        return self.role("nodes", "ec2.amazonaws.com", policies=["AmazonEKSWorkerNodePolicy"])

    def nodes(self, **named):
        return self.eks.create_nodegroup(
            **{"clusterName": "probe", "nodegroupName": "nodes", "subnets": self.subnets, "scalingConfig": {"minSize": 0, "maxSize": 3, "desiredSize": 1}, **named}
        )["nodegroup"]

    def nodes_status(self):
        return self.eks.describe_nodegroup(clusterName="probe", nodegroupName="nodes")["nodegroup"]["status"]

    def test_a_cluster_comes_and_goes(self):
        made = self.cluster(clientRequestToken="t", tags={"a": "b"})
        self.assertEqual(made["status"], "CREATING")
        self.assertEqual(self.cluster(clientRequestToken="t", tags={"a": "b"})["arn"], made["arn"])
        self.refused("ResourceInUseException", self.cluster, clientRequestToken="u", tags={"a": "b"})
        self.refused("ResourceInUseException", self.eks.delete_cluster, name="probe")
        self.until("ACTIVE", self.status)
        seen = self.eks.describe_cluster(name="probe")["cluster"]
        self.assertEqual(seen["accessConfig"], {"authenticationMode": "API", "bootstrapClusterCreatorAdminPermissions": True})
        self.assertTrue(seen["identity"]["oidc"]["issuer"].startswith("https://"))
        self.assertEqual(seen["tags"], {"a": "b"})
        group = self.ec2.describe_security_groups(GroupIds=[seen["resourcesVpcConfig"]["clusterSecurityGroupId"]])["SecurityGroups"][0]
        self.assertTrue(group["GroupName"].startswith("eks-cluster-sg-probe-"))
        self.assertIn({"Key": "aws:eks:cluster-name", "Value": "probe"}, group["Tags"])
        enis = self.ec2.describe_network_interfaces(Filters=[{"Name": "description", "Values": ["Amazon EKS probe"]}])["NetworkInterfaces"]
        self.assertEqual({eni["SubnetId"] for eni in enis}, set(self.subnets))
        self.refused("DependencyViolation", self.ec2.delete_subnet, SubnetId=self.subnets[0])
        self.eks.delete_cluster(name="probe")
        self.until("ResourceNotFoundException", self.status)
        self.assertEqual(self.held("security-group", "network-interface", "cluster"), [])
        self.assertTrue(any(one["name"] == "AWSServiceRoleForAmazonEKS" for one in control("dump")["service_linked_roles"]))

    def test_the_default_is_the_config_map(self):
        self.assertEqual(self.cluster(accessConfig={})["accessConfig"]["authenticationMode"], "CONFIG_MAP")

    def test_what_clusters_refuse(self):
        role = "arn:aws:iam::123456789012:role/none"
        self.refused("InvalidParameterException", self.cluster, roleArn=role)
        self.refused("InvalidParameterException", self.cluster, roleArn=self.role("wrong", "ec2.amazonaws.com", policies=["AmazonEKSClusterPolicy"]))
        self.refused("InvalidParameterException", self.cluster, resourcesVpcConfig={"subnetIds": self.subnets[:1]})
        self.refused("InvalidParameterException", self.cluster, version="1.11")
        settings(quotas={"L-1194D53C": 0})
        self.refused("ResourceLimitExceededException", self.cluster)

    def update(self, answer, **named):
        identifier = answer["update"]["id"]
        self.until("Successful", lambda: self.eks.describe_update(name="probe", updateId=identifier, **named)["update"]["status"])
        self.assertIn(identifier, self.eks.list_updates(name="probe", **named)["updateIds"])

    def test_updates(self):
        self.active(version="1.33", deletionProtection=True)
        answer = self.eks.update_cluster_config(name="probe", resourcesVpcConfig={"endpointPrivateAccess": True})
        self.refused("ResourceInUseException", self.eks.update_cluster_config, name="probe", logging={"clusterLogging": [{"types": ["api"], "enabled": True}]})
        self.update(answer)
        self.assertTrue(self.eks.describe_cluster(name="probe")["cluster"]["resourcesVpcConfig"]["endpointPrivateAccess"])
        self.refused("InvalidParameterException", self.eks.update_cluster_config, name="probe", resourcesVpcConfig={"endpointPrivateAccess": True})
        self.update(self.eks.update_cluster_config(name="probe", logging={"clusterLogging": [{"types": ["api"], "enabled": True}]}))
        self.refused("InvalidParameterException", self.eks.update_cluster_version, name="probe", version="1.35")
        self.update(self.eks.update_cluster_version(name="probe", version="1.34"))
        self.assertEqual(self.eks.describe_cluster(name="probe")["cluster"]["version"], "1.34")
        self.refused("InvalidRequestException", self.eks.delete_cluster, name="probe")
        self.update(self.eks.update_cluster_config(name="probe", deletionProtection=False))
        self.eks.delete_cluster(name="probe")

    def test_addons_wait_for_nodes(self):
        self.active()
        versions = self.eks.describe_addon_versions(addonName="coredns", kubernetesVersion="1.34")["addons"][0]["addonVersions"]
        self.assertEqual(sum(one["compatibilities"][0]["defaultVersion"] for one in versions), 1)
        for name in ("coredns", "vpc-cni"):
            self.assertEqual(self.eks.create_addon(clusterName="probe", addonName=name)["addon"]["status"], "CREATING")
        self.refused("ResourceInUseException", self.eks.create_addon, clusterName="probe", addonName="coredns")
        self.refused("InvalidParameterException", self.eks.create_addon, clusterName="probe", addonName="no-such-addon")

        def addon(name):
            return self.eks.describe_addon(clusterName="probe", addonName=name)["addon"]

        self.until("ACTIVE", lambda: addon("vpc-cni")["status"])
        self.until("DEGRADED", lambda: addon("coredns")["status"])
        self.assertEqual(addon("coredns")["health"]["issues"][0]["code"], "InsufficientNumberOfReplicas")
        role = self.nodes_role()
        self.nodes(nodeRole=role, nodegroupName="tainted", taints=[{"key": "gpu", "value": "", "effect": "NO_SCHEDULE"}])
        self.until("ACTIVE", lambda: self.eks.describe_nodegroup(clusterName="probe", nodegroupName="tainted")["nodegroup"]["status"])
        self.assertEqual(addon("coredns")["status"], "DEGRADED")
        self.nodes(nodeRole=role)
        self.until("ACTIVE", lambda: addon("coredns")["status"])
        answer = self.eks.update_addon(clusterName="probe", addonName="coredns", configurationValues='{"replicaCount": 3}')
        self.update(answer, addonName="coredns")
        self.assertEqual(addon("coredns")["configurationValues"], '{"replicaCount": 3}')
        self.eks.delete_addon(clusterName="probe", addonName="coredns")
        self.until("ResourceNotFoundException", lambda: addon("coredns"))
        self.assertEqual(self.eks.list_addons(clusterName="probe")["addons"], ["vpc-cni"])

    def test_access(self):
        self.active()
        person = self.role("person", "ec2.amazonaws.com")
        entry = {"clusterName": "probe", "principalArn": person}
        self.eks.create_access_entry(**entry, kubernetesGroups=["admins"], clientRequestToken="t")
        self.eks.create_access_entry(**entry, kubernetesGroups=["admins"], clientRequestToken="t")
        self.refused("ResourceInUseException", self.eks.create_access_entry, **entry)
        policy = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
        self.eks.associate_access_policy(**entry, policyArn=policy, accessScope={"type": "cluster"})
        self.assertEqual(self.eks.list_associated_access_policies(**entry)["associatedAccessPolicies"][0]["policyArn"], policy)
        self.eks.disassociate_access_policy(**entry, policyArn=policy)
        nodes = {"clusterName": "probe", "principalArn": self.nodes_role()}
        self.eks.create_access_entry(**nodes, type="EC2_LINUX")
        self.refused("InvalidRequestException", self.eks.associate_access_policy, **nodes, policyArn=policy, accessScope={"type": "cluster"})
        self.assertEqual(len(self.eks.list_access_entries(clusterName="probe")["accessEntries"]), 3)
        self.eks.delete_access_entry(**entry)
        self.refused("ResourceNotFoundException", self.eks.describe_access_entry, **entry)

    def test_pod_identity(self):
        self.active()
        named = {"clusterName": "probe", "namespace": "n", "serviceAccount": "s"}
        self.refused("InvalidParameterException", self.eks.create_pod_identity_association, **named, roleArn=self.role("wrong", "ec2.amazonaws.com"))
        role = self.role("pods", "pods.eks.amazonaws.com")
        made = self.eks.create_pod_identity_association(**named, roleArn=role, clientRequestToken="t")["association"]
        again = self.eks.create_pod_identity_association(**named, roleArn=role, clientRequestToken="t")["association"]
        self.assertEqual(again["associationId"], made["associationId"])
        self.refused("ResourceInUseException", self.eks.create_pod_identity_association, **named, roleArn=role)
        self.assertEqual(len(self.eks.list_pod_identity_associations(clusterName="probe")["associations"]), 1)
        self.eks.tag_resource(resourceArn=made["associationArn"], tags={"a": "b"})
        self.assertEqual(self.eks.list_tags_for_resource(resourceArn=made["associationArn"])["tags"], {"a": "b"})
        self.eks.delete_pod_identity_association(clusterName="probe", associationId=made["associationId"])
        self.refused("ResourceNotFoundException", self.eks.describe_pod_identity_association, clusterName="probe", associationId=made["associationId"])

    def test_node_groups_are_instances(self):
        self.active()
        role = self.nodes_role()
        template = self.ec2.create_launch_template(LaunchTemplateName="nodes", LaunchTemplateData={"InstanceType": "m5.large"})["LaunchTemplate"]["LaunchTemplateId"]
        made = self.nodes(nodeRole=role, launchTemplate={"id": template, "version": "1"}, labels={"a": "b"}, clientRequestToken="t")
        self.assertEqual(made["status"], "CREATING")
        self.assertEqual(made["launchTemplate"], {"id": template, "name": "nodes", "version": "1"})
        self.until("ACTIVE", self.nodes_status)
        seen = self.eks.describe_nodegroup(clusterName="probe", nodegroupName="nodes")["nodegroup"]
        name = seen["resources"]["autoScalingGroups"][0]["name"]
        group = client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"][0]
        self.assertEqual(len(group["Instances"]), 1)
        running = self.ec2.describe_instances(Filters=[{"Name": "tag:eks:nodegroup-name", "Values": ["nodes"]}, {"Name": "tag:eks:cluster-name", "Values": ["probe"]}])
        self.assertEqual(running["Reservations"][0]["Instances"][0]["InstanceType"], "m5.large")
        self.assertIn(role, self.eks.list_access_entries(clusterName="probe")["accessEntries"])
        self.refused("ResourceInUseException", self.eks.delete_cluster, name="probe")
        answer = self.eks.update_nodegroup_config(clusterName="probe", nodegroupName="nodes", scalingConfig={"desiredSize": 2}, labels={"removeLabels": ["a"]}, taints={"addOrUpdateTaints": [{"key": "k", "value": "v", "effect": "NO_SCHEDULE"}]})
        self.update(answer, nodegroupName="nodes")
        seen = self.eks.describe_nodegroup(clusterName="probe", nodegroupName="nodes")["nodegroup"]
        self.assertEqual((seen["scalingConfig"]["desiredSize"], seen.get("labels"), len(seen["taints"])), (2, {}, 1))
        self.ec2.create_launch_template_version(LaunchTemplateId=template, LaunchTemplateData={"InstanceType": "m5.xlarge"})
        answer = self.eks.update_nodegroup_version(clusterName="probe", nodegroupName="nodes", launchTemplate={"id": template, "version": "2"})
        self.update(answer, nodegroupName="nodes")
        running = self.ec2.describe_instances(Filters=[{"Name": "tag:eks:nodegroup-name", "Values": ["nodes"]}, {"Name": "instance-state-name", "Values": ["running"]}])
        self.assertEqual({one["InstanceType"] for row in running["Reservations"] for one in row["Instances"]}, {"m5.xlarge"})
        self.refused("DeleteConflict", client("iam").delete_role, RoleName="nodes")
        self.eks.delete_nodegroup(clusterName="probe", nodegroupName="nodes")
        self.until("ResourceNotFoundException", self.nodes_status)
        self.assertEqual([row["id"] for row in self.held("instance", "group", "instance-profile", "launch-template")], [template])

    def test_what_node_groups_refuse(self):
        self.active()
        role = self.nodes_role()
        self.refused("InvalidParameterException", self.nodes, nodeRole="arn:aws:iam::123456789012:role/none")
        self.refused("InvalidParameterException", self.nodes, nodeRole=self.role("wrong", "eks.amazonaws.com", policies=["AmazonEKSWorkerNodePolicy"]))

        def template(name, **data):
            made = self.ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)["LaunchTemplate"]
            return {"id": made["LaunchTemplateId"], "version": "1"}

        for named in (
            {"launchTemplate": template("subnet", NetworkInterfaces=[{"DeviceIndex": 0, "SubnetId": self.subnets[0]}])},
            {"launchTemplate": template("profile", IamInstanceProfile={"Name": "x"})},
            {"launchTemplate": template("type", InstanceType="m5.large"), "instanceTypes": ["m5.large"]},
            {"launchTemplate": template("disk", KeyName="x"), "diskSize": 20},
            {"launchTemplate": template("image", ImageId="ami-12345678"), "amiType": "AL2023_x86_64_STANDARD"},
            {"instanceTypes": ["m5.enormous"]},
            {"instanceTypes": ["m6g.large"]},
            {"capacityType": "CAPACITY_BLOCK"},
            {"scalingConfig": {"minSize": 2, "maxSize": 1, "desiredSize": 2}},
        ):
            with self.subTest(named=named):
                self.refused("InvalidParameterException", self.nodes, nodeRole=role, **named)

    def test_node_groups_without_capacity_fail_and_say_why(self):
        self.active()
        settings(capacity=[{"instance_type": "p5.48xlarge", "available": 0}])
        self.nodes(nodeRole=self.nodes_role(), instanceTypes=["p5.48xlarge"], amiType="AL2023_x86_64_NVIDIA")
        self.until("CREATE_FAILED", self.nodes_status)
        issue = self.eks.describe_nodegroup(clusterName="probe", nodegroupName="nodes")["nodegroup"]["health"]["issues"][0]
        self.assertEqual(issue["code"], "AsgInstanceLaunchFailures")
        self.assertIn("InsufficientInstanceCapacity", issue["message"])
        self.eks.delete_nodegroup(clusterName="probe", nodegroupName="nodes")
        self.until("ResourceNotFoundException", self.nodes_status)


class FileSystems(Probes):
    def setUp(self):
        super().setUp()
        self.fsx = client("fsx")
        self.network = self.vpc()
        self.where = self.subnet(self.network)
        self.open = self.group(self.network, "open", open_to_itself=True)

    def create(self, lustre=None, **named):
        return self.fsx.create_file_system(
            **{
                "FileSystemType": "LUSTRE", "StorageCapacity": 1200, "SubnetIds": [self.where], "SecurityGroupIds": [self.open], "FileSystemTypeVersion": "2.15",
                "LustreConfiguration": {"DeploymentType": "PERSISTENT_2", "PerUnitStorageThroughput": 125, **(lustre or {})}, **named,
            }  # fmt: skip
        )["FileSystem"]

    def see(self, identifier):
        return self.fsx.describe_file_systems(FileSystemIds=[identifier])["FileSystems"][0]

    def test_a_file_system_comes_grows_and_goes(self):
        named = {"ClientRequestToken": "t", "Tags": [{"Key": "a", "Value": "b"}]}
        made = self.create(**named)
        identifier = made["FileSystemId"]
        self.assertEqual(made["Lifecycle"], "CREATING")
        self.assertEqual(made["DNSName"], f"{identifier}.fsx.us-west-2.amazonaws.com")
        self.assertRegex(made["LustreConfiguration"]["MountName"], "^[a-z0-9]{8}$")
        self.assertEqual(self.create(**named)["FileSystemId"], identifier)
        self.refused("IncompatibleParameterError", self.create, **named, StorageCapacity=2400)
        self.until("AVAILABLE", lambda: self.see(identifier)["Lifecycle"])
        enis = self.ec2.describe_network_interfaces(NetworkInterfaceIds=made["NetworkInterfaceIds"])["NetworkInterfaces"]
        self.assertTrue(all(eni["SubnetId"] == self.where and eni["RequesterManaged"] for eni in enis))
        self.refused("DependencyViolation", self.ec2.delete_subnet, SubnetId=self.where)
        self.refused("DependencyViolation", self.ec2.delete_security_group, GroupId=self.open)
        self.refused("BadRequest", self.fsx.update_file_system, FileSystemId=identifier, StorageCapacity=1200)
        self.refused("BadRequest", self.fsx.update_file_system, FileSystemId=identifier, StorageCapacity=3600)
        actions = self.fsx.update_file_system(FileSystemId=identifier, StorageCapacity=4800)["FileSystem"]["AdministrativeActions"]
        self.assertEqual({action["AdministrativeActionType"] for action in actions}, {"FILE_SYSTEM_UPDATE", "STORAGE_OPTIMIZATION"})
        self.until(4800, lambda: self.see(identifier)["StorageCapacity"])
        self.until("COMPLETED", lambda: self.see(identifier)["AdministrativeActions"][0]["Status"])
        self.fsx.tag_resource(ResourceARN=made["ResourceARN"], Tags=[{"Key": "c", "Value": "d"}])
        self.fsx.untag_resource(ResourceARN=made["ResourceARN"], TagKeys=["a"])
        self.assertEqual(self.see(identifier)["Tags"], [{"Key": "c", "Value": "d"}])
        self.assertEqual(self.fsx.delete_file_system(FileSystemId=identifier)["Lifecycle"], "DELETING")
        self.until("FileSystemNotFound", lambda: self.see(identifier))
        self.assertEqual(self.held("network-interface", "file-system"), [])
        self.assertNotEqual(self.create(**named)["FileSystemId"], identifier)

    def test_what_is_refused(self):
        closed = self.group(self.network, "closed")
        error = self.refused("InvalidNetworkSettings", self.create, SecurityGroupIds=[closed])
        self.assertIn("port 988", error.response["Error"]["Message"])
        self.refused("BadRequest", self.create, StorageCapacity=1300)
        self.refused("InvalidPerUnitStorageThroughput", self.create, {"PerUnitStorageThroughput": 77})
        self.refused("BadRequest", self.create, FileSystemTypeVersion="2.10")
        self.refused("BadRequest", self.create, {"EfaEnabled": True})
        efa = {"EfaEnabled": True, "PerUnitStorageThroughput": 1000, "MetadataConfiguration": {"Mode": "AUTOMATIC"}}
        self.refused("BadRequest", self.create, efa, StorageCapacity=2400)
        self.assertTrue(self.create(efa, StorageCapacity=4800)["LustreConfiguration"]["EfaEnabled"])
        self.refused("BadRequest", self.create, {"MetadataConfiguration": {"Mode": "USER_PROVISIONED", "Iops": 5000}})
        settings(quotas={"L-A3D4E4E8": 1})
        self.refused("ServiceLimitExceeded", self.create)

    def test_associations(self):
        client("s3").create_bucket(Bucket="probe-data", CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
        system = self.create()["FileSystemId"]
        named = {"FileSystemId": system, "FileSystemPath": "/data", "DataRepositoryPath": "s3://probe-data/x/", "S3": {"AutoImportPolicy": {"Events": ["NEW"]}}}
        self.refused("BadRequest", self.fsx.create_data_repository_association, **named)
        self.until("AVAILABLE", lambda: self.see(system)["Lifecycle"])
        made = self.fsx.create_data_repository_association(**named, ClientRequestToken="t")["Association"]["AssociationId"]
        again = self.fsx.create_data_repository_association(**named, ClientRequestToken="t")["Association"]["AssociationId"]
        self.assertEqual(made, again)

        def lifecycle():
            return self.fsx.describe_data_repository_associations(AssociationIds=[made])["Associations"][0]["Lifecycle"]

        self.until("AVAILABLE", lifecycle)
        self.refused("BadRequest", self.fsx.create_data_repository_association, **{**named, "FileSystemPath": "/data/inner"})
        self.refused("BadRequest", self.fsx.create_data_repository_association, **{**named, "FileSystemPath": "/"})
        self.fsx.update_data_repository_association(AssociationId=made, ImportedFileChunkSize=2048)
        self.until("AVAILABLE", lifecycle)
        self.fsx.delete_data_repository_association(AssociationId=made)
        self.until("DataRepositoryAssociationNotFound", lifecycle)
        lost = self.fsx.create_data_repository_association(**{**named, "DataRepositoryPath": "s3://no-such-bucket/"})["Association"]["AssociationId"]
        self.until("MISCONFIGURED", lambda: self.fsx.describe_data_repository_associations(AssociationIds=[lost])["Associations"][0]["Lifecycle"])


class Permissions(Probes):
    def test_simulation(self):
        iam = client("iam")
        role = self.role("someone", "ec2.amazonaws.com")
        settings(denied=["eks:CreateCluster"])
        rows = iam.simulate_principal_policy(PolicySourceArn=role, ActionNames=["ec2:CreateVpc", "eks:CreateCluster"])["EvaluationResults"]
        self.assertEqual([row["EvalDecision"] for row in rows], ["allowed", "implicitDeny"])

    def test_deletions_that_conflict(self):
        iam = client("iam")
        self.role("busy", "ec2.amazonaws.com", policies=["AmazonEKSWorkerNodePolicy"])
        self.refused("DeleteConflict", iam.delete_role, RoleName="busy")
        iam.detach_role_policy(RoleName="busy", PolicyArn="arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy")
        iam.create_instance_profile(InstanceProfileName="busy")
        iam.add_role_to_instance_profile(InstanceProfileName="busy", RoleName="busy")
        self.refused("DeleteConflict", iam.delete_role, RoleName="busy")
        self.refused("DeleteConflict", iam.delete_instance_profile, InstanceProfileName="busy")
        iam.remove_role_from_instance_profile(InstanceProfileName="busy", RoleName="busy")
        iam.delete_instance_profile(InstanceProfileName="busy")
        iam.delete_role(RoleName="busy")
        self.refused("NoSuchEntity", iam.attach_role_policy, RoleName="none", PolicyArn="arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy")

    def test_quotas(self):
        quotas = client("service-quotas")
        self.assertEqual(quotas.get_aws_default_service_quota(ServiceCode="ec2", QuotaCode="L-417A185B")["Quota"]["Value"], 0)
        settings(quotas={"L-417A185B": 96, "L-F678F1CE": 2, "L-0263D0A3": 1})
        self.assertEqual(quotas.get_service_quota(ServiceCode="ec2", QuotaCode="L-417A185B")["Quota"]["Value"], 96)
        for service in ("ec2", "vpc", "eks", "fsx"):
            self.assertTrue(quotas.list_service_quotas(ServiceCode=service)["Quotas"])
        self.refused("NoSuchResourceException", quotas.get_service_quota, ServiceCode="ec2", QuotaCode="L-00000000")
        self.vpc()
        self.refused("VpcLimitExceeded", self.ec2.create_vpc, CidrBlock="10.0.0.0/16")
        self.ec2.allocate_address(Domain="vpc")
        self.refused("AddressLimitExceeded", self.ec2.allocate_address, Domain="vpc")

    def test_public_parameters_and_prices(self):
        ssm = client("ssm")
        for name in (
            "/aws/service/eks/optimized-ami/1.31/amazon-linux-2023/x86_64/nvidia/recommended/image_id",
            "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64",
            "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-amazon-linux-2023/latest/ami-id",
            "/aws/service/neuron/dlami/base/amazon-linux-2023/latest/image_id",
        ):
            self.assertRegex(ssm.get_parameter(Name=name)["Parameter"]["Value"], "^ami-[0-9a-f]{17}$")
        self.refused("ParameterNotFound", ssm.get_parameter, Name="/aws/service/eks/optimized-ami/1.11/amazon-linux-2023/x86_64/nvidia/recommended/image_id")
        named = ssm.get_parameter(Name="/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64")["Parameter"]["Value"]
        self.assertEqual(self.ec2.describe_images(ImageIds=[named])["Images"][0]["Architecture"], "arm64")
        ssm.put_parameter(Name="/mine", Value="v", Type="String")
        self.assertEqual(ssm.get_parameter(Name="/mine")["Parameter"]["Value"], "v")
        found = client("pricing", "us-east-1").get_products(
            ServiceCode="AmazonEC2", Filters=[{"Type": "TERM_MATCH", "Field": "instanceType", "Value": "p5.48xlarge"}, {"Type": "TERM_MATCH", "Field": "regionCode", "Value": "us-west-2"}]
        )["PriceList"]
        term = next(iter(json.loads(found[0])["terms"]["OnDemand"].values()))
        self.assertEqual(float(next(iter(term["priceDimensions"].values()))["pricePerUnit"]["USD"]), 55.04)
        instance = self.ec2.run_instances(ImageId="resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64", InstanceType="m5.large", MinCount=1, MaxCount=1)["Instances"][0]
        self.assertRegex(instance["ImageId"], "^ami-[0-9a-f]{17}$")


class Buckets(Probes):
    def setUp(self):
        super().setUp()
        self.s3 = client("s3")

    def bucket(self, name="probe-bucket", **configuration):
        self.s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "us-west-2", **configuration})
        return name

    def test_buckets_are_made_with_tags_and_once(self):
        self.bucket(Tags=[{"Key": "a", "Value": "b"}])
        self.assertEqual(self.s3.get_bucket_tagging(Bucket="probe-bucket")["TagSet"], [{"Key": "a", "Value": "b"}])
        self.refused("BucketAlreadyOwnedByYou", self.bucket)
        self.refused("IllegalLocationConstraintException", self.s3.create_bucket, Bucket="probe-other")
        east = client("s3", "us-east-1")
        east.create_bucket(Bucket="probe-east")
        east.create_bucket(Bucket="probe-east")
        self.refused("InvalidBucketName", self.bucket, "xn--probe")
        self.assertEqual(self.s3.get_bucket_location(Bucket="probe-bucket")["LocationConstraint"], "us-west-2")
        self.assertTrue(self.s3.get_public_access_block(Bucket="probe-bucket")["PublicAccessBlockConfiguration"]["BlockPublicAcls"])
        self.s3.put_bucket_tagging(Bucket="probe-bucket", Tagging={"TagSet": [{"Key": "c", "Value": "d"}]})
        self.assertEqual(self.held("bucket")[0]["tags"], {"c": "d"})

    def test_what_is_in_a_bucket_keeps_it(self):
        name = self.bucket()
        self.s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        version = self.s3.put_object(Bucket=name, Key="k", Body=b"1")["VersionId"]
        marker = self.s3.delete_object(Bucket=name, Key="k")["VersionId"]
        self.refused("BucketNotEmpty", self.s3.delete_bucket, Bucket=name)
        self.s3.delete_object(Bucket=name, Key="k", VersionId=version)
        self.refused("BucketNotEmpty", self.s3.delete_bucket, Bucket=name)
        self.s3.delete_object(Bucket=name, Key="k", VersionId=marker)
        upload = self.s3.create_multipart_upload(Bucket=name, Key="big")["UploadId"]
        self.refused("BucketNotEmpty", self.s3.delete_bucket, Bucket=name)
        self.s3.abort_multipart_upload(Bucket=name, Key="big", UploadId=upload)
        self.s3.delete_bucket(Bucket=name)
        self.refused("NoSuchBucket", self.s3.get_bucket_tagging, Bucket=name)
        self.assertEqual(self.held(), [])

    def test_conditional_writes(self):
        name = self.bucket()
        etag = self.s3.put_object(Bucket=name, Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
        self.refused("PreconditionFailed", self.s3.put_object, Bucket=name, Key="k", Body=b"2", IfNoneMatch="*")
        self.refused("PreconditionFailed", self.s3.put_object, Bucket=name, Key="k", Body=b"2", IfMatch='"other"')
        self.refused("PreconditionFailed", self.s3.delete_object, Bucket=name, Key="k", IfMatch='"other"')
        self.s3.delete_object(Bucket=name, Key="k", IfMatch=etag)
        self.refused("NoSuchKey", self.s3.put_object, Bucket=name, Key="k", Body=b"2", IfMatch=etag)

    def test_checksums_are_verified_stored_and_told(self):
        name = self.bucket()
        body = b"what is kept"
        right = {
            "SHA256": base64.b64encode(hashlib.sha256(body).digest()).decode(),
            "CRC32": base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode(),
        }
        for algorithm, value in right.items():
            member = f"Checksum{algorithm}"
            with self.subTest(algorithm=algorithm):
                self.assertEqual(self.s3.put_object(Bucket=name, Key=algorithm, Body=body, **{member: value})[member], value)
                self.assertEqual(self.s3.head_object(Bucket=name, Key=algorithm, ChecksumMode="ENABLED")[member], value)
                wrong = base64.b64encode(bytes(len(base64.b64decode(value)))).decode()
                self.refused("BadDigest", self.s3.put_object, Bucket=name, Key="bad", Body=body, **{member: wrong})
        # The check value of CRC-64/NVME: https://reveng.sourceforge.io/crc-catalogue/all.htm
        check = base64.b64encode((0xAE8B14860A799888).to_bytes(8, "big")).decode()
        answer = self.s3.put_object(Bucket=name, Key="crc64", Body=b"123456789", ChecksumCRC64NVME=check)
        self.assertEqual(answer["ChecksumCRC64NVME"], check)
        self.refused("BadDigest", self.s3.put_object, Bucket=name, Key="bad", Body=b"12345678", ChecksumCRC64NVME=check)
        self.refused("BadDigest", self.s3.put_object, Bucket=name, Key="bad", Body=body, ContentMD5=base64.b64encode(bytes(16)).decode())
        self.assertEqual(self.s3.get_object(Bucket=name, Key="SHA256")["Body"].read(), body)
        self.refused("NoSuchKey", self.s3.get_object, Bucket=name, Key="bad")

    def test_checksums_of_parts(self):
        name = self.bucket()
        upload = self.s3.create_multipart_upload(Bucket=name, Key="big", ChecksumAlgorithm="SHA256")["UploadId"]
        parts, digests = [], b""
        for number, body in ((1, b"a" * (5 << 20)), (2, b"b")):
            made = self.s3.upload_part(Bucket=name, Key="big", UploadId=upload, PartNumber=number, Body=body, ChecksumAlgorithm="SHA256")
            digests += hashlib.sha256(body).digest()
            self.assertEqual(made["ChecksumSHA256"], base64.b64encode(hashlib.sha256(body).digest()).decode())
            parts.append({"PartNumber": number, "ETag": made["ETag"], "ChecksumSHA256": made["ChecksumSHA256"]})
        whole = base64.b64encode(hashlib.sha256(digests).digest()).decode() + "-2"
        made = self.s3.complete_multipart_upload(Bucket=name, Key="big", UploadId=upload, MultipartUpload={"Parts": parts})
        self.assertEqual(made["ChecksumSHA256"], whole)
        self.assertEqual(self.s3.head_object(Bucket=name, Key="big", ChecksumMode="ENABLED")["ChecksumSHA256"], whole)

    def test_settings_are_read_back(self):
        name = self.bucket()
        self.s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]})
        self.s3.put_bucket_lifecycle_configuration(
            Bucket=name, LifecycleConfiguration={"Rules": [{"ID": "a", "Status": "Enabled", "Filter": {"Prefix": ""}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}}]}
        )
        self.s3.put_bucket_ownership_controls(Bucket=name, OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]})
        self.s3.put_bucket_policy(Bucket=name, Policy='{"Version": "2012-10-17", "Statement": []}')
        self.assertEqual(self.s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"][0]["AbortIncompleteMultipartUpload"], {"DaysAfterInitiation": 1})
        self.assertEqual(self.s3.get_bucket_ownership_controls(Bucket=name)["OwnershipControls"]["Rules"], [{"ObjectOwnership": "BucketOwnerEnforced"}])


class TaggedThings(Probes):
    def test_everything_tagged_is_found(self):
        tags = [{"Key": "forge:probe", "Value": "x"}]
        vpc = self.ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=[{"ResourceType": "vpc", "Tags": tags}])["Vpc"]["VpcId"]
        self.ec2.create_placement_group(GroupName="p", Strategy="cluster", TagSpecifications=[{"ResourceType": "placement-group", "Tags": tags}])
        client("s3").create_bucket(Bucket="probe-tags", CreateBucketConfiguration={"LocationConstraint": "us-west-2", "Tags": tags})
        group = self.group(vpc, open_to_itself=True)
        client("fsx").create_file_system(
            FileSystemType="LUSTRE", StorageCapacity=1200, SubnetIds=[self.subnet(vpc)], SecurityGroupIds=[group], Tags=tags, LustreConfiguration={"DeploymentType": "SCRATCH_2"}
        )  # fmt: skip
        tagging = client("resourcegroupstaggingapi")
        pages = tagging.get_paginator("get_resources").paginate(TagFilters=[{"Key": "forge:probe", "Values": ["x"]}], PaginationConfig={"PageSize": 1})
        found = [row["ResourceARN"] for page in pages for row in page["ResourceTagMappingList"]]
        self.assertEqual(len(found), 4, found)
        self.assertIn(f"arn:aws:ec2:us-west-2:123456789012:vpc/{vpc}", found)
        only = tagging.get_resources(ResourceTypeFilters=["ec2:vpc"])["ResourceTagMappingList"]
        self.assertEqual(len(only), 1)


if __name__ == "__main__":
    unittest.main()
