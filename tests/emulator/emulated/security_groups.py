"""Security groups and their rules.

A group is not deleted while an interface uses it or a rule of another group names it: `DependencyViolation`
(https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteSecurityGroup.html). Rules keep their descriptions, also
those that name their own group; the same rule twice is `InvalidPermission.Duplicate` whatever its description
(https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AuthorizeSecurityGroupIngress.html). Removing a rule that is not
there says `InvalidPermission.NotFound`.

moto deletes groups in use, drops descriptions of rules that name their own group, and lists 1,000 groups in seconds.
"""

import ipaddress

from . import app, ec2, network, quotas
from .ec2 import Kind, attribute
from .wire import Fault


def all_groups(world):
    found = {}
    for groups in world.ec2.groups.values():
        found.update(groups)
    return found


def permissions(rules, account):
    """Rules as DescribeSecurityGroups groups them: one entry for each protocol and pair of ports."""
    found = {}
    for rule in rules:
        key = (rule.ip_protocol, rule.from_port, rule.to_port)
        entry = found.get(key)
        if entry is None:
            entry = found[key] = {
                "IpProtocol": rule.ip_protocol,
                "FromPort": rule.from_port,
                "ToPort": rule.to_port,
                "UserIdGroupPairs": [],
                "IpRanges": [],
                "Ipv6Ranges": [],
                "PrefixListIds": [],
            }
        if rule.source_group:
            entry["UserIdGroupPairs"].append(
                {
                    "GroupId": rule.source_group["GroupId"],
                    "UserId": rule.source_group.get("UserId") or account,
                    "Description": rule.source_group.get("Description"),
                }
            )
        elif "CidrIp" in rule.ip_range:
            entry["IpRanges"].append(rule.ip_range)
        elif "CidrIpv6" in rule.ip_range:
            entry["Ipv6Ranges"].append(rule.ip_range)
        elif rule.prefix_list_id:
            entry["PrefixListIds"].append(
                {"PrefixListId": rule.prefix_list_id, "Description": getattr(rule, "note", None)}
            )
    return list(found.values())


def group_view(world, group):
    return {
        "Description": group.description,
        "GroupName": group.name,
        "IpPermissions": permissions(group.ingress_rules, world.account),
        "OwnerId": world.account,
        "GroupId": group.id,
        "IpPermissionsEgress": permissions(group.egress_rules, world.account),
        "VpcId": group.vpc_id,
        "SecurityGroupArn": world.arn("ec2", f"security-group/{group.id}"),
        "Tags": ec2.tags(world, group.id),
    }


def _by_rules(member, *path):
    return attribute(member, *path)


GROUP = Kind(
    "sg",
    "security-group",
    "InvalidGroup.NotFound",
    "The security group '{}' does not exist",
    all_groups,
    group_view,
    {
        "description": attribute("Description"),
        "group-id": attribute("GroupId"),
        "group-name": attribute("GroupName"),
        "owner-id": attribute("OwnerId"),
        "vpc-id": attribute("VpcId"),
        "ip-permission.cidr": _by_rules("IpPermissions", "IpRanges", "CidrIp"),
        "ip-permission.group-id": _by_rules("IpPermissions", "UserIdGroupPairs", "GroupId"),
        "ip-permission.protocol": _by_rules("IpPermissions", "IpProtocol"),
        "ip-permission.from-port": _by_rules("IpPermissions", "FromPort"),
        "ip-permission.to-port": _by_rules("IpPermissions", "ToPort"),
        "ip-permission.prefix-list-id": _by_rules("IpPermissions", "PrefixListIds", "PrefixListId"),
        "egress.ip-permission.cidr": _by_rules("IpPermissionsEgress", "IpRanges", "CidrIp"),
        "egress.ip-permission.group-id": _by_rules("IpPermissionsEgress", "UserIdGroupPairs", "GroupId"),
        "egress.ip-permission.protocol": _by_rules("IpPermissionsEgress", "IpProtocol"),
    },
)


@app.handles("ec2", "DescribeSecurityGroups")
def describe(call):
    names = call.get("GroupNames")
    ids = call.get("GroupIds")
    for identifier in ids or []:
        if not identifier.startswith("sg-"):
            raise Fault("InvalidGroupId.Malformed", f'Invalid id: "{identifier}" (expecting "sg-...")')
    if ids and call.get("MaxResults"):
        raise Fault("InvalidParameterCombination", "The parameter GroupIds cannot be used with the parameter MaxResults")
    rows = ec2.listing(call, GROUP, ids)
    if names:
        for name in names:
            if not any(row["GroupName"] == name for row in rows):
                raise Fault("InvalidGroup.NotFound", f"The security group '{name}' does not exist in default VPC")
        rows = [row for row in rows if row["GroupName"] in names]
    chosen, token = ec2.page(call, rows, 100_000)
    return {"SecurityGroups": chosen, "NextToken": token}


@app.handles("ec2", "CreateSecurityGroup")
def create(call):
    world = call.world
    given = ec2.specified(call, "security-group")
    name, description = call.get("GroupName"), call.get("Description")
    if not description:
        raise Fault("MissingParameter", "The request must contain the parameter GroupDescription")
    if not name:
        raise Fault("MissingParameter", "The request must contain the parameter GroupName")
    if name.startswith("sg-"):
        raise Fault("InvalidParameterValue", "Value for parameter GroupName is invalid. Group names may not be in the format sg-*")
    vpc = network.VPC.find(world, call.get("VpcId")) if call.get("VpcId") else world.ec2.default_vpc
    held = world.ec2.groups[vpc.id]
    if any(group.name == name for group in held.values()):
        raise Fault("InvalidGroup.Duplicate", f"The security group '{name}' already exists for VPC '{vpc.id}'")
    quotas.check_count(
        call,
        "L-E79EC296",
        sum(len(groups) for groups in world.ec2.groups.values()),
        "SecurityGroupLimitExceeded",
        "You've reached the limit on the number of security groups you can create, or that you can assign to an instance.",
    )
    made = world.ec2.create_security_group(name, description, vpc_id=vpc.id, force=True)
    ec2.set_tags(world, made.id, given.get("security-group", {}))
    return {
        "GroupId": made.id,
        "SecurityGroupArn": world.arn("ec2", f"security-group/{made.id}"),
        "Tags": ec2.tags(world, made.id) or None,
    }


def _group_of(call):
    if call.get("GroupId"):
        return GROUP.find(call.world, call.get("GroupId"))
    name = call.get("GroupName")
    for group in call.world.ec2.groups[call.world.ec2.default_vpc.id].values():
        if group.name == name:
            return group
    raise Fault("InvalidGroup.NotFound", f"The security group '{name}' does not exist in default VPC '{call.world.ec2.default_vpc.id}'")


def uses(world, identifier):
    """What keeps a group from being deleted, if anything."""
    for eni in world.ec2.enis.values():
        if any(group.id == identifier for group in eni._group_set):
            return f"interface {eni.id}"
    for other in all_groups(world).values():
        if other.id != identifier:
            for rule in [*other.ingress_rules, *other.egress_rules]:
                if rule.source_group and rule.source_group.get("GroupId") == identifier:
                    return f"rule of {other.id}"
    return None


def remove(world, group):
    world.ec2.groups.get(group.vpc_id, {}).pop(group.id, None)
    for rule in [*group.ingress_rules, *group.egress_rules]:
        ec2.forget(world, rule.id)
    ec2.forget(world, group.id)


@app.handles("ec2", "DeleteSecurityGroup")
def delete(call):
    world = call.world
    group = _group_of(call)
    if group.is_default:
        raise Fault("CannotDelete", f'the specified group: "{group.id}" name: "{group.name}" cannot be deleted by a user')
    if uses(world, group.id):
        raise Fault("DependencyViolation", f"resource {group.id} has a dependent object")
    remove(world, group)
    return {"Return": True, "GroupId": group.id}


PROTOCOLS = {"6": "tcp", "17": "udp", "1": "icmp", "58": "icmpv6", "all": "-1"}


def _wanted(call):
    """What a request asks for, as single rules: protocol, ports, and one of range, group or list."""
    entries = list(call.get("IpPermissions") or [])
    if call.get("IpProtocol") or call.get("CidrIp") or call.get("SourceSecurityGroupName"):
        entries.append(
            {
                "IpProtocol": call.get("IpProtocol") or "-1",
                "FromPort": call.get("FromPort"),
                "ToPort": call.get("ToPort"),
                "IpRanges": [{"CidrIp": call.get("CidrIp")}] if call.get("CidrIp") else [],
            }
        )
    for entry in entries:
        protocol = str(entry.get("IpProtocol", "")).lower()
        protocol = PROTOCOLS.get(protocol, protocol)
        if not protocol:
            raise Fault("InvalidParameterValue", "Invalid value 'null' for protocol. VPC security group rules must specify protocols explicitly.")
        first, last = entry.get("FromPort"), entry.get("ToPort")
        if protocol == "-1":
            first = last = None
        elif protocol in ("tcp", "udp"):
            if first is None or last is None:
                raise Fault("InvalidParameterValue", "Invalid value for portRange. Must specify both from and to ports with TCP/UDP.")
            if not 0 <= first <= last <= 65535:
                raise Fault("InvalidParameterValue", f"Invalid TCP range ({first}-{last})")
        any_source = False
        for one in entry.get("IpRanges") or []:
            any_source = True
            try:
                block = ipaddress.IPv4Network(one.get("CidrIp"), strict=False)
            except ValueError:
                raise Fault("InvalidParameterValue", f"CIDR block {one.get('CidrIp')} is malformed") from None
            yield protocol, first, last, {**one, "CidrIp": str(block)}, None, None
        for one in entry.get("Ipv6Ranges") or []:
            any_source = True
            try:
                block = ipaddress.IPv6Network(one.get("CidrIpv6"), strict=False)
            except ValueError:
                raise Fault("InvalidParameterValue", f"CIDR block {one.get('CidrIpv6')} is malformed") from None
            yield protocol, first, last, {**one, "CidrIpv6": str(block)}, None, None
        for one in entry.get("UserIdGroupPairs") or []:
            any_source = True
            identifier = one.get("GroupId")
            if not identifier and one.get("GroupName"):
                for group in all_groups(call.world).values():
                    if group.name == one["GroupName"]:
                        identifier = group.id
            GROUP.find(call.world, identifier)
            yield protocol, first, last, None, {
                "GroupId": identifier,
                "UserId": one.get("UserId") or call.account,
                "Description": one.get("Description"),
            }, None
        for one in entry.get("PrefixListIds") or []:
            any_source = True
            yield protocol, first, last, None, None, one
        if not any_source:
            raise Fault("InvalidParameterValue", "The rule must specify a source or destination: a CIDR range, a prefix list or a security group.")


def _identity(rule):
    return (
        rule.ip_protocol,
        rule.from_port,
        rule.to_port,
        rule.ip_range.get("CidrIp"),
        rule.ip_range.get("CidrIpv6"),
        (rule.source_group or {}).get("GroupId"),
        rule.prefix_list_id,
    )


def _rules_from(call, group, egress):
    from moto.ec2.models.security_groups import SecurityGroupRule

    made = []
    for protocol, first, last, block, source, prefixes in _wanted(call):
        rule = SecurityGroupRule(
            call.world.ec2, protocol, group.id, None, None, block, source, prefixes, is_egress=egress
        ) if protocol not in ("tcp", "udp", "icmp", "icmpv6") else SecurityGroupRule(
            call.world.ec2, protocol, group.id, first if first is not None else -1, last if last is not None else -1, block, source, prefixes, is_egress=egress
        )
        rule.note = (prefixes or {}).get("Description")
        made.append(rule)
    return made


def rule_view(world, rule):
    source = rule.source_group or {}
    return {
        "SecurityGroupRuleId": rule.id,
        "GroupId": rule.group_id,
        "GroupOwnerId": world.account,
        "IsEgress": rule.is_egress,
        "IpProtocol": rule.ip_protocol,
        "FromPort": -1 if rule.from_port is None else rule.from_port,
        "ToPort": -1 if rule.to_port is None else rule.to_port,
        "CidrIpv4": rule.ip_range.get("CidrIp"),
        "CidrIpv6": rule.ip_range.get("CidrIpv6"),
        "PrefixListId": rule.prefix_list_id,
        "ReferencedGroupInfo": {"GroupId": source["GroupId"], "UserId": source.get("UserId") or world.account} if source else None,
        "Description": rule.ip_range.get("Description") or source.get("Description") or getattr(rule, "note", None),
        "Tags": ec2.tags(world, rule.id),
        "SecurityGroupRuleArn": world.arn("ec2", f"security-group-rule/{rule.id}"),
    }


@app.handles("ec2", "AuthorizeSecurityGroupIngress", "AuthorizeSecurityGroupEgress")
def authorize(call):
    world = call.world
    group = _group_of(call)
    egress = call.action.endswith("Egress")
    given = ec2.specified(call, "security-group-rule")
    held = group.egress_rules if egress else group.ingress_rules
    rules = _rules_from(call, group, egress)
    if not rules:
        raise Fault("MissingParameter", "The request must contain the parameter ipPermissions")
    known = {_identity(rule) for rule in held}
    for rule in rules:
        identity = _identity(rule)
        if identity in known:
            what = rule.ip_range.get("CidrIp") or rule.ip_range.get("CidrIpv6") or (rule.source_group or {}).get("GroupId") or rule.prefix_list_id
            raise Fault(
                "InvalidPermission.Duplicate",
                f'the specified rule "peer: {what}, {"ALL" if rule.ip_protocol == "-1" else rule.ip_protocol.upper()}, ALLOW" already exists',
            )
        known.add(identity)
    limit = quotas.limit(call.world, "L-0EA8095F", 60)
    if len(held) + len(rules) > limit:
        raise Fault("RulesPerSecurityGroupLimitExceeded", "The maximum number of rules per security group has been reached.")
    held.extend(rules)
    for rule in rules:
        ec2.set_tags(world, rule.id, given.get("security-group-rule", {}))
    return {"Return": True, "SecurityGroupRules": [rule_view(world, rule) for rule in rules]}


@app.handles("ec2", "RevokeSecurityGroupIngress", "RevokeSecurityGroupEgress")
def revoke(call):
    world = call.world
    group = _group_of(call)
    egress = call.action.endswith("Egress")
    held = group.egress_rules if egress else group.ingress_rules
    ids = call.get("SecurityGroupRuleIds")
    if ids:
        known = {rule.id for rule in held}
        for identifier in ids:
            if identifier not in known:
                raise Fault("InvalidSecurityGroupRuleId.NotFound", f"The security group rule ID '{identifier}' does not exist")
        leaving = [rule for rule in held if rule.id in ids]
    else:
        by_identity = {_identity(rule): rule for rule in held}
        leaving = []
        for rule in _rules_from(call, group, egress):
            found = by_identity.get(_identity(rule))
            if found is None:
                raise Fault("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
            leaving.append(found)
    ids_leaving = {rule.id for rule in leaving}
    staying = [rule for rule in held if rule.id not in ids_leaving]
    if egress:
        group.egress_rules = staying
    else:
        group.ingress_rules = staying
    for rule in leaving:
        ec2.forget(world, rule.id)
    return {"Return": True}


@app.handles("ec2", "UpdateSecurityGroupRuleDescriptionsIngress", "UpdateSecurityGroupRuleDescriptionsEgress")
def describe_rules_anew(call):
    group = _group_of(call)
    held = group.egress_rules if call.action.endswith("Egress") else group.ingress_rules
    by_identity = {_identity(rule): rule for rule in held}
    changes = []
    for rule in _rules_from(call, group, call.action.endswith("Egress")):
        found = by_identity.get(_identity(rule))
        if found is None:
            raise Fault("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
        changes.append((found, rule))
    by_id = {rule.id: rule for rule in held}
    for one in call.get("SecurityGroupRuleDescriptions") or []:
        found = by_id.get(one.get("SecurityGroupRuleId"))
        if found is None:
            raise Fault("InvalidSecurityGroupRuleId.NotFound", f"The security group rule ID '{one.get('SecurityGroupRuleId')}' does not exist")
        if found.source_group:
            found.source_group["Description"] = one.get("Description")
        else:
            found.ip_range["Description"] = one.get("Description")
    for found, rule in changes:
        if found.source_group:
            found.source_group["Description"] = rule.source_group.get("Description")
        else:
            found.ip_range = rule.ip_range
        found.note = rule.note
    return {"Return": True}


def all_rules(world):
    return {
        rule.id: rule
        for group in all_groups(world).values()
        for rule in [*group.ingress_rules, *group.egress_rules]
    }


RULE = Kind(
    "sgr",
    "security-group-rule",
    "InvalidSecurityGroupRuleId.NotFound",
    "The security group rule ID '{}' does not exist",
    all_rules,
    rule_view,
    {"group-id": attribute("GroupId"), "security-group-rule-id": attribute("SecurityGroupRuleId")},
)
ec2.describes("DescribeSecurityGroupRules", RULE, "SecurityGroupRules", "SecurityGroupRuleIds")
