"""Everything that is held, for tests that look for what was left behind.

Left out is what a fresh account has (the default VPC and its subnets), what came with something else and goes with it (a
VPC's main route table, default security group and network ACL), and what AWS keeps showing after its end (terminated
instances, deleted NAT gateways, cancelled reservations). Service-linked roles, which services make and nobody deletes, are
listed under a key of their own.
"""

from . import world as world_module

SOURCES = []


def source(function):
    """Registers what lists the resources of a service: yields (service, type, id, name, tags, account, region)."""
    SOURCES.append(function)
    return function


def _row(service, kind, identifier, name, tags, world, **more):
    return {
        "service": service,
        "type": kind,
        "id": identifier,
        "name": name,
        "tags": tags,
        "account": world.account,
        "region": world.region,
        **more,
    }


def _named(tags):
    return tags.get("Name")


def ec2_rows(world):
    from moto.ec2.models import ec2_backends

    if world.account not in ec2_backends or world.region not in ec2_backends[world.account]:
        return
    from . import capacity, endpoints, instances, launch_templates, network, placement, security_groups

    backend = world.ec2

    def row(kind, identifier, name=None, **more):
        held = {key: value for key, value in (backend.tags.get(identifier) or {}).items()}
        return _row("ec2", kind, identifier, name or _named(held), held, world, **more)

    for vpc in backend.vpcs.values():
        if not vpc.is_default:
            yield row("vpc", vpc.id)
    for subnet in network.all_subnets(world).values():
        if not subnet.default_for_az:
            yield row("subnet", subnet.id)
    for table in backend.route_tables.values():
        if table.main_association_id is None:
            yield row("route-table", table.id)
    for group in security_groups.all_groups(world).values():
        if not group.is_default:
            yield row("security-group", group.id, group.name)
    for gateway in backend.internet_gateways.values():
        yield row("internet-gateway", gateway.id)
    for address in backend.addresses:
        yield row("elastic-ip", address.allocation_id)
    for nat in backend.nat_gateways.values():
        if nat.state not in ("deleted", "failed"):
            yield row("natgateway", nat.id, state=nat.state)
    for one in endpoints.table(world).values():
        yield row("vpc-endpoint", one["VpcEndpointId"], state=one["State"])
    for eni in backend.enis.values():
        yield row("network-interface", eni.id, eni.description or None, requester_managed=bool(eni.requester_managed))
    for one in launch_templates.table(world).values():
        yield row("launch-template", one.id, one.name)
    for one in placement.table(world).values():
        yield row("placement-group", one["GroupId"], one["GroupName"])
    for one in capacity.table(world).values():
        if one["State"] not in ("cancelled", "expired"):
            yield row("capacity-reservation", one["CapacityReservationId"], state=one["State"], reservation_type=one.get("ReservationType"))
    for one in instances.table(world).values():
        if one.state != "terminated":
            yield row("instance", one.id, state=one.state)
    for volume in backend.volumes.values():
        yield row("volume", volume.id)
    for pair in backend.key_pairs.values():
        yield row("key-pair", pair.id if hasattr(pair, "id") else pair.name, pair.name)


def _tag_pairs(held):
    if isinstance(held, dict):
        return {key: value["Value"] if isinstance(value, dict) else value for key, value in held.items()}
    return {one.get("Key", one.get("key")): one.get("Value", one.get("value")) for one in held or []}


def iam_rows(world):
    from moto.iam.models import iam_backends

    if world.account not in iam_backends or world.partition not in iam_backends[world.account]:
        return
    iam = iam_backends[world.account][world.partition]
    for role in iam.roles.values():
        held = _tag_pairs(role.tags)
        linked = "/aws-service-role/" in role.path if role.path else False
        yield _row("iam", "role", role.arn, role.name, held, world, linked=linked)
    for one in iam.instance_profiles.values():
        yield _row("iam", "instance-profile", one.arn, one.name, _tag_pairs(one.tags), world)
    for one in iam.open_id_providers.values():
        yield _row("iam", "oidc-provider", one.arn, one.url, _tag_pairs(one.tags), world)
    for one in iam.managed_policies.values():
        if "::aws:policy" not in one.arn:
            yield _row("iam", "policy", one.arn, one.name, _tag_pairs(one.tags), world)
    for one in iam.users.values():
        yield _row("iam", "user", one.arn, one.name, _tag_pairs(getattr(one, "tags", None)), world)


def s3_rows(world):
    from moto.s3.models import s3_backends

    if world.account not in s3_backends or world.partition not in s3_backends[world.account]:
        return
    for bucket in s3_backends[world.account][world.partition].buckets.values():
        yield _row(
            "s3",
            "bucket",
            bucket.arn,
            bucket.name,
            _tag_pairs(s3_backends[world.account][world.partition].tagger.get_tag_dict_for_resource(bucket.arn)),
            world,
            objects=sum(1 for _ in bucket.keys.values()),
        )


def everything():
    """All rows, and the service-linked roles apart."""
    rows, linked, accounts = [], [], set()
    for world in world_module.everywhere():
        rows += ec2_rows(world)
        for function in SOURCES:
            rows += [_row(*found, world) if isinstance(found, tuple) else found for found in function(world)]
        if (world.account, world.partition) not in accounts:
            accounts.add((world.account, world.partition))
            for row in [*iam_rows(world), *s3_rows(world)]:
                row["region"] = "global" if row["service"] == "iam" else row["region"]
                (linked if row.pop("linked", False) else rows).append(row)
    return {"resources": rows, "service_linked_roles": linked}
