"""Placement groups.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreatePlacementGroup.html: a name once in a region
(`InvalidPlacementGroup.Duplicate`), 1 to 7 partitions of the strategy `partition`, at most 500 groups; a group with instances
that are not terminated is not deleted (`InvalidPlacementGroup.InUse`); unknown names are `InvalidPlacementGroup.Unknown`.

moto has no placement groups.
"""

from . import app, ec2, quotas, visibility
from . import world as world_module
from .ec2 import Kind, attribute
from .wire import Fault


def table(world):
    return world.table("placement-groups")


def view(world, one):
    return {**one, "Tags": ec2.tags(world, one["GroupId"])}


GROUP = Kind(
    "pg",
    "placement-group",
    "InvalidPlacementGroup.Unknown",
    "The Placement Group '{}' is unknown.",
    table,
    view,
    {
        "group-name": attribute("GroupName"),
        "group-arn": attribute("GroupArn"),
        "spread-level": attribute("SpreadLevel"),
        "state": attribute("State"),
        "strategy": attribute("Strategy"),
    },
)


def find(world, name=None, identifier=None, arn=None):
    """A group by any of its names."""
    wanted = name or identifier or arn
    for one in table(world).values():
        if wanted in (one["GroupName"], one["GroupId"], one["GroupArn"]) and not visibility.fresh(one["GroupId"]):
            return one
    raise GROUP.missing(wanted)


@app.handles("ec2", "CreatePlacementGroup")
def create(call):
    world = call.world
    given = ec2.specified(call, "placement-group")
    name = call.get("GroupName")
    if not name:
        raise Fault("MissingParameter", "The request must contain the parameter groupName")
    if len(name) > 255:
        raise Fault("InvalidParameterValue", f"Value ({name}) for parameter groupName is invalid.")
    strategy = call.get("Strategy") or "cluster"
    if strategy not in ("cluster", "spread", "partition"):
        raise Fault("InvalidParameterValue", f"Value ({strategy}) for parameter strategy is invalid.")
    partitions = call.get("PartitionCount")
    if partitions is not None and strategy != "partition":
        raise Fault("InvalidParameterCombination", "The parameter PartitionCount may only be used with the partition strategy.")
    if partitions is not None and not 1 <= int(partitions) <= 7:
        raise Fault("InvalidParameterValue", "Value for parameter PartitionCount is invalid. It must be between 1 and 7.")
    if any(one["GroupName"] == name for one in table(world).values()):
        raise Fault("InvalidPlacementGroup.Duplicate", f"The Placement Group '{name}' already exists.")
    quotas.check_count(
        call, None, len(table(world)), "PlacementGroupLimitExceeded", "The maximum number of placement groups has been reached.", 500
    )
    identifier = world_module.identifier("pg")
    one = {
        "GroupName": name,
        "State": "available",
        "Strategy": strategy,
        "GroupId": identifier,
        "GroupArn": world.arn("ec2", f"placement-group/{name}"),
    }
    if strategy == "partition":
        one["PartitionCount"] = int(partitions or 2)
    if strategy == "spread":
        one["SpreadLevel"] = call.get("SpreadLevel") or "rack"
    table(world)[identifier] = one
    ec2.set_tags(world, identifier, given.get("placement-group", {}))
    return {"PlacementGroup": view(world, one)}


@app.handles("ec2", "DescribePlacementGroups")
def describe(call):
    ids = list(call.get("GroupIds") or [])
    for name in call.get("GroupNames") or []:
        ids.append(find(call.world, name=name)["GroupId"])
    return {"PlacementGroups": ec2.listing(call, GROUP, ids)}


@app.handles("ec2", "DeletePlacementGroup")
def delete(call):
    world = call.world
    from . import capacity, instances

    one = find(world, name=call.get("GroupName"))
    used = any(
        instance.placement_group == one["GroupName"] and instance.state != "terminated"
        for instance in instances.table(world).values()
    ) or any(
        reservation.get("PlacementGroupArn") == one["GroupArn"] and reservation["State"] in ("active", "pending", "scheduled")
        for reservation in capacity.table(world).values()
    )
    if used:
        raise Fault("InvalidPlacementGroup.InUse", f"The placement group '{one['GroupName']}' is in use and may not be deleted.")
    table(world).pop(one["GroupId"])
    ec2.forget(world, one["GroupId"])
    return {}
