"""Capacity: what can be started, reservations, capacity blocks.

Reservations: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateCapacityReservation.html and the pages beside
it. A reservation that no capacity is there for is refused with `InsufficientInstanceCapacity`; one that is full refuses
instances that name it with `ReservationCapacityExceeded`; one that has not begun with
`InvalidCapacityReservationState.PendingActivation`.

Capacity blocks: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeCapacityBlockOfferings.html and
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_PurchaseCapacityBlock.html. They last 1 to 14 days, or a multiple of
7 up to 182; end at 11:30 UTC; are `payment-pending`, `scheduled` and then `active`; cannot be cancelled. The purchase takes
no client token: repeated, it buys again.

moto has none of it. How much can be started is the setting `capacity`; what is absent there has no bound.
"""

import base64
import datetime
import json

from . import app, clock, ec2, offerings, placement, quotas, settings
from . import world as world_module
from .ec2 import Kind, attribute
from .wire import Fault

SHORT = (
    "We currently do not have sufficient {type} capacity in the Availability Zone you requested ({zone}). Our system will be "
    "working on provisioning additional capacity. You can currently get {type} capacity by not specifying an Availability Zone "
    "in your request or choosing another."
)
PAYMENT = 30
SHOWN = 3600

# US dollars per accelerator and hour in a block, and accelerators by type (survey of AWS's price sheets, September 2026).
PRICES = {
    "p4d.24xlarge": (1.475, 8),
    "p4de.24xlarge": (2.214, 8),
    "p5.4xlarge": (4.72, 1),
    "p5.48xlarge": (5.191, 8),
    "p5e.48xlarge": (5.97, 8),
    "p5en.48xlarge": (6.24, 8),
    "p6-b200.48xlarge": (12.355, 8),
    "p6-b300.48xlarge": (14.04, 8),
    "p6e-gb200.36xlarge": (10.582, 4),
    "trn1.32xlarge": (0.596, 16),
    "trn2.3xlarge": (2.235, 1),
    "trn2.48xlarge": (2.235, 16),
    "trn2u.48xlarge": (2.235, 16),
}


def table(world):
    return world.table("capacity-reservations")


def blocks(world):
    return world.table("capacity-blocks")


def _matching(zone, instance_type, market):
    for one in settings.get("capacity"):
        if one.get("zone") in (None, zone) and one.get("instance_type") in (None, instance_type):
            if one.get("market") in (None, market):
                return one
    return None


def room(world, zone, instance_type, market="on-demand"):
    """How many more could be started; nothing when there is no bound."""
    entry = _matching(zone, instance_type, market)
    if entry is None:
        return None
    from . import instances

    used = sum(
        1
        for one in instances.table(world).values()
        if one.instance_type == instance_type
        and one.zone == zone
        and one.state in ("pending", "running", "shutting-down")
        and not one.reservation
        and entry.get("market") in (None, one.market)
    )
    for one in table(world).values():
        if one["InstanceType"] == instance_type and one["AvailabilityZone"] == zone and one["State"] in ("active", "scheduled", "payment-pending", "pending"):
            kind = "capacity-block" if one.get("ReservationType") == "capacity-block" else "on-demand"
            if entry.get("market") in (None, kind):
                used += one["TotalInstanceCount"]
    return entry["available"] - used


def take(world, zone, instance_type, count, market="on-demand"):
    """Refuses what there is no capacity for."""
    left = room(world, zone, instance_type, market)
    if left is not None and left < count:
        raise Fault("InsufficientInstanceCapacity", SHORT.format(type=instance_type, zone=zone), 500)


def vcpus_in_use(world, code):
    """vCPUs that count against a quota: of running instances outside reservations, and of reservations."""
    from . import instances

    total = 0
    for one in instances.table(world).values():
        if one.state in ("pending", "running") and not one.reservation and one.market != "capacity-block":
            if quotas.code_of(one.instance_type, one.market == "spot") == code:
                total += offerings.vcpus(one.instance_type)
    for one in table(world).values():
        if one["State"] in ("active", "pending") and one.get("ReservationType") != "capacity-block":
            if quotas.code_of(one["InstanceType"], False) == code:
                total += offerings.vcpus(one["InstanceType"]) * one["TotalInstanceCount"]
    return total


def check_vcpus(world, instance_type, count, spot=False, error="VcpuLimitExceeded"):
    code = quotas.code_of(instance_type, spot)
    allowed = quotas.limit(world, code)
    if vcpus_in_use(world, code) + offerings.vcpus(instance_type) * count > allowed:
        if spot:
            raise Fault("MaxSpotInstanceCountExceeded", "Max spot instance count exceeded")
        raise Fault(
            error,
            f"You have requested more vCPU capacity than your current vCPU limit of {int(allowed)} allows for the instance "
            "bucket that the specified instance type belongs to. Please visit http://aws.amazon.com/contact-us/ec2-request to "
            "request an adjustment to this limit.",
        )


def used_of(world, identifier):
    from . import instances

    return sum(
        1
        for one in instances.table(world).values()
        if one.reservation == identifier and one.state in ("pending", "running", "shutting-down", "stopping")
    )


def view(world, one):
    total = one["TotalInstanceCount"]
    free = total - used_of(world, one["CapacityReservationId"]) if one["State"] == "active" else 0
    return {
        **{name: value for name, value in one.items() if not name.startswith("_")},
        "AvailableInstanceCount": max(free, 0),
        "Tags": ec2.tags(world, one["CapacityReservationId"]),
    }


RESERVATION = Kind(
    "cr",
    "capacity-reservation",
    "InvalidCapacityReservationId.NotFound",
    "The capacity reservation '{}' does not exist",
    table,
    view,
    {
        "instance-type": attribute("InstanceType"),
        "owner-id": attribute("OwnerId"),
        "instance-platform": attribute("InstancePlatform"),
        "availability-zone": attribute("AvailabilityZone"),
        "availability-zone-id": attribute("AvailabilityZoneId"),
        "tenancy": attribute("Tenancy"),
        "state": attribute("State"),
        "start-date": attribute("StartDate"),
        "end-date": attribute("EndDate"),
        "end-date-type": attribute("EndDateType"),
        "instance-match-criteria": attribute("InstanceMatchCriteria"),
        "placement-group-arn": attribute("PlacementGroupArn"),
        "reservation-type": attribute("ReservationType"),
    },
)
ec2.describes("DescribeCapacityReservations", RESERVATION, "CapacityReservations", "CapacityReservationIds")


def zone_of(call):
    """The zone that a request names, by name or identifier: (name, identifier)."""
    name, identifier = call.get("AvailabilityZone"), call.get("AvailabilityZoneId")
    for zone in offerings.zones(call.world):
        if (name or identifier) in (zone["ZoneName"], zone["ZoneId"]):
            return zone["ZoneName"], zone["ZoneId"]
    if not name and not identifier:
        raise Fault("MissingParameter", "The request must contain the parameter AvailabilityZone or AvailabilityZoneId")
    raise Fault("InvalidParameterValue", f"Invalid availability zone: [{name or identifier}]")


def unsupported(world, instance_type, zone):
    others = ", ".join(one for one in offerings.offers(world).get(instance_type, []) if one != zone)
    return Fault(
        "Unsupported",
        f"Your requested instance type ({instance_type}) is not supported in your requested Availability Zone ({zone}). "
        f"Please retry your request by not specifying an Availability Zone or choosing {others}.",
    )


def check_type(world, instance_type, zone):
    if instance_type not in offerings.types():
        raise Fault("InvalidParameterValue", f"Invalid value '{instance_type}' for InstanceType.")
    if not offerings.offered(world, instance_type, zone):
        raise unsupported(world, instance_type, zone)


def seconds(value):
    """Seconds since 1970 of a time that a request gives."""
    if isinstance(value, datetime.datetime):
        if value.tzinfo is None:
            value = value.replace(tzinfo=datetime.timezone.utc)
        return value.timestamp()
    return float(value)


def begin(world, count, instance_type, platform, zone, zone_id, **more):
    identifier = world_module.identifier("cr")
    one = {
        "CapacityReservationId": identifier,
        "OwnerId": world.account,
        "CapacityReservationArn": world.arn("ec2", f"capacity-reservation/{identifier}"),
        "AvailabilityZoneId": zone_id,
        "InstanceType": instance_type,
        "InstancePlatform": platform,
        "AvailabilityZone": zone,
        "Tenancy": "default",
        "TotalInstanceCount": count,
        "EbsOptimized": False,
        "EphemeralStorage": False,
        "State": "active",
        "StartDate": clock.now(),
        "EndDateType": "unlimited",
        "InstanceMatchCriteria": "open",
        "CreateDate": clock.now(),
        **more,
    }
    table(world)[identifier] = one
    return one


@app.handles("ec2", "CreateCapacityReservation")
def create(call):
    world = call.world
    given = ec2.specified(call, "capacity-reservation")
    zone, zone_id = zone_of(call)
    instance_type = call.get("InstanceType")
    count = int(call.get("InstanceCount") or 0)
    if count < 1:
        raise Fault("InvalidParameterValue", "Value for parameter InstanceCount is invalid.")
    if not call.get("InstancePlatform"):
        raise Fault("MissingParameter", "The request must contain the parameter InstancePlatform")
    check_type(world, instance_type, zone)
    if "on-demand" not in offerings.types()[instance_type].get("SupportedUsageClasses", []):
        raise Fault("Unsupported", f"On-Demand Capacity Reservations are not supported for instance type {instance_type}.")
    end_kind = call.get("EndDateType") or ("limited" if call.get("EndDate") else "unlimited")
    if (end_kind == "limited") != bool(call.get("EndDate")):
        raise Fault("InvalidParameterCombination", "EndDate must be given if and only if EndDateType is 'limited'.")
    if call.get("EndDate") and seconds(call.get("EndDate")) <= clock.now():
        raise Fault("InvalidParameterValue", "EndDate must be in the future.")
    if call.get("PlacementGroupArn"):
        group = placement.find(world, arn=call.get("PlacementGroupArn"))
        if group["Strategy"] != "cluster":
            raise Fault("InvalidParameterValue", "Capacity Reservations can be created in cluster placement groups only.")
    check_vcpus(world, instance_type, count, error="InstanceLimitExceeded")
    take(world, zone, instance_type, count)
    one = begin(
        world,
        count,
        instance_type,
        call.get("InstancePlatform"),
        zone,
        zone_id,
        Tenancy=call.get("Tenancy") or "default",
        EbsOptimized=bool(call.get("EbsOptimized")),
        EndDateType=end_kind,
        EndDate=seconds(call.get("EndDate")) if call.get("EndDate") else None,
        InstanceMatchCriteria=call.get("InstanceMatchCriteria") or "open",
        PlacementGroupArn=call.get("PlacementGroupArn"),
        ReservationType="default",
    )
    ec2.set_tags(world, one["CapacityReservationId"], given.get("capacity-reservation", {}))
    return {"CapacityReservation": view(world, one)}


@app.handles("ec2", "ModifyCapacityReservation")
def modify(call):
    world = call.world
    one = RESERVATION.find(world, call.get("CapacityReservationId"))
    if one.get("ReservationType") == "capacity-block":
        raise Fault("Unsupported", "You cannot modify a Capacity Block.")
    if one["State"] not in ("active", "scheduled"):
        raise Fault("InvalidCapacityReservationState", f"The Capacity Reservation is in the state {one['State']}.")
    count = call.get("InstanceCount")
    if count is not None:
        count = int(count)
        if count < 1 or count < used_of(world, one["CapacityReservationId"]):
            raise Fault("InvalidParameterValue", "The instance count is smaller than the number of instances that use the reservation.")
        more = count - one["TotalInstanceCount"]
        if more > 0:
            check_vcpus(world, one["InstanceType"], more, error="InstanceLimitExceeded")
            take(world, one["AvailabilityZone"], one["InstanceType"], more)
        one["TotalInstanceCount"] = count
    if call.get("EndDate"):
        one["EndDate"], one["EndDateType"] = seconds(call.get("EndDate")), "limited"
    if call.get("EndDateType") == "unlimited":
        one["EndDate"], one["EndDateType"] = None, "unlimited"
    if call.get("InstanceMatchCriteria"):
        one["InstanceMatchCriteria"] = call.get("InstanceMatchCriteria")
    return {"Return": True}


@app.handles("ec2", "CancelCapacityReservation")
def cancel(call):
    world = call.world
    one = RESERVATION.find(world, call.get("CapacityReservationId"))
    if one.get("ReservationType") == "capacity-block":
        raise Fault("Unsupported", "You cannot cancel a Capacity Block.")
    if one["State"] in ("cancelled", "expired"):
        raise Fault("InvalidCapacityReservationState", f"The Capacity Reservation is in the state {one['State']}.")
    one["State"] = "cancelled"
    for identifier, instance in _instances(world):
        if instance.reservation == one["CapacityReservationId"]:
            instance.reservation = None
    clock.after(SHOWN, _forget, world, one["CapacityReservationId"])
    return {"Return": True}


def _instances(world):
    from . import instances

    return list(instances.table(world).items())


def _forget(world, identifier):
    table(world).pop(identifier, None)
    ec2.forget(world, identifier)


def reserve(world, identifier, instance_type, zone, count):
    """Instances that name a reservation take their places in it."""
    one = RESERVATION.find(world, identifier)
    if one["State"] in ("scheduled", "pending", "payment-pending"):
        raise Fault(
            "InvalidCapacityReservationState.PendingActivation",
            "The Capacity Block is not active yet. Try again once it has become active.",
        )
    if one["State"] != "active":
        raise Fault("InvalidCapacityReservationState", f"The Capacity Reservation {identifier} is not active.")
    if one["InstanceType"] != instance_type or one["AvailabilityZone"] != zone:
        raise Fault(
            "InvalidParameterValue",
            f"The instance type or Availability Zone does not match the Capacity Reservation {identifier}.",
        )
    if one["TotalInstanceCount"] - used_of(world, identifier) < count:
        raise Fault(
            "ReservationCapacityExceeded",
            "The targeted Capacity Reservation does not have enough available instance capacity to fulfill your request. "
            "Either increase the instance capacity for the targeted Capacity Reservation, or target a different one.",
        )
    return one


def open_reservation(world, instance_type, zone, group):
    """A reservation that takes any instance that fits, if one has a place."""
    for one in table(world).values():
        if (
            one["State"] == "active"
            and one["InstanceMatchCriteria"] == "open"
            and one.get("ReservationType") != "capacity-block"
            and one["InstanceType"] == instance_type
            and one["AvailabilityZone"] == zone
            and one.get("PlacementGroupArn") in (None, group)
            and one["TotalInstanceCount"] > used_of(world, one["CapacityReservationId"])
        ):
            return one
    return None


def _end_of(start, hours):
    """Blocks end at 11:30 UTC."""
    end = datetime.datetime.fromtimestamp(start + hours * 3600, datetime.timezone.utc)
    at = end.replace(hour=11, minute=30, second=0, microsecond=0)
    if at > end:
        at -= datetime.timedelta(days=1)
    if at.timestamp() <= start:
        at += datetime.timedelta(days=1)
    return at.timestamp()


@app.handles("ec2", "DescribeCapacityBlockOfferings")
def offers(call):
    world = call.world
    if call.get("UltraserverType"):
        raise Fault(
            "UnauthorizedOperation",
            "This AWS Account is not authorized to call DescribeCapacityBlockOfferings API when requesting an EC2 UltraServer",
            403,
        )
    hours = call.get("CapacityDurationHours")
    instance_type = call.get("InstanceType")
    count = int(call.get("InstanceCount") or 1)
    if hours is None:
        raise Fault("MissingParameter", "The request must contain the parameter CapacityDurationHours")
    days = int(hours) / 24
    if days != int(days) or not (1 <= days <= 14 or (days <= 182 and days % 7 == 0)):
        raise Fault("InvalidParameterValue", f"Value ({hours}) for parameter CapacityDurationHours is invalid.")
    if not 1 <= count <= 64:
        raise Fault("InvalidParameterValue", f"Value ({count}) for parameter InstanceCount is invalid.")
    if instance_type not in offerings.types() or "capacity-block" not in offerings.types()[instance_type].get("SupportedUsageClasses", []):
        raise Fault("InvalidParameterValue", f"Value ({instance_type}) for parameter InstanceType is invalid. Capacity Blocks are not offered for it.")
    price, accelerators = PRICES.get(instance_type, (5.0, 8))
    price = settings.get("capacity_block_prices").get(instance_type, price)
    earliest = clock.now() + 1800
    first = max(seconds(call.get("StartDateRange")), earliest) if call.get("StartDateRange") else earliest
    last = min(seconds(call.get("EndDateRange")), clock.now() + 56 * 86400) if call.get("EndDateRange") else clock.now() + 56 * 86400
    rows = []
    zone_ids = {zone["ZoneName"]: zone["ZoneId"] for zone in offerings.zones(world)}
    for zone in offerings.offers(world).get(instance_type, []):
        left = room(world, zone, instance_type, "capacity-block")
        if left is not None and left < count:
            continue
        for start in (first, first + 86400):
            if start > last:
                continue
            start = int(start) // 60 * 60 + 60
            end = _end_of(start, int(hours))
            named = {"z": zone, "t": instance_type, "n": count, "h": int(hours), "s": start, "p": price}
            rows.append(
                {
                    "CapacityBlockOfferingId": "cb-" + base64.urlsafe_b64encode(json.dumps(named).encode()).decode().rstrip("="),
                    "InstanceType": instance_type,
                    "AvailabilityZone": zone,
                    "InstanceCount": count,
                    "StartDate": start,
                    "EndDate": end,
                    "CapacityBlockDurationHours": int(hours),
                    "UpfrontFee": f"{price * accelerators * count * int(hours):.2f}",
                    "CurrencyCode": "USD",
                    "Tenancy": "default",
                    "CapacityBlockDurationMinutes": int((end - start) // 60),
                }
            )
            world.table("block-offers")[rows[-1]["CapacityBlockOfferingId"]] = {**rows[-1], "zone_id": zone_ids.get(zone)}
    chosen, token = ec2.page(call, rows, 100)
    return {"CapacityBlockOfferings": chosen, "NextToken": token}


@app.handles("ec2", "PurchaseCapacityBlock")
def purchase(call):
    world = call.world
    given = ec2.specified(call, "capacity-reservation", "capacity-block")
    identifier = call.get("CapacityBlockOfferingId") or ""
    if not identifier.startswith("cb-"):
        raise Fault("InvalidCapacityBlockOfferingIdMalformed", f"Invalid id: \"{identifier}\"")
    offer = world.table("block-offers").get(identifier)
    if offer is None:
        raise Fault("InvalidCapacityBlockOfferingIdNotFound", f"The Capacity Block offering '{identifier}' does not exist.")
    if offer["StartDate"] < clock.now():
        raise Fault("InvalidCapacityBlockOfferingIdExpired", f"The Capacity Block offering '{identifier}' has expired.")
    if not call.get("InstancePlatform"):
        raise Fault("MissingParameter", "The request must contain the parameter InstancePlatform")
    left = room(world, offer["AvailabilityZone"], offer["InstanceType"], "capacity-block")
    if left is not None and left < offer["InstanceCount"]:
        raise Fault("InsufficientInstanceCapacity", SHORT.format(type=offer["InstanceType"], zone=offer["AvailabilityZone"]), 500)
    one = begin(
        world,
        offer["InstanceCount"],
        offer["InstanceType"],
        call.get("InstancePlatform"),
        offer["AvailabilityZone"],
        offer["zone_id"],
        State="payment-pending",
        StartDate=offer["StartDate"],
        EndDate=offer["EndDate"],
        EndDateType="limited",
        InstanceMatchCriteria="targeted",
        ReservationType="capacity-block",
    )
    ec2.set_tags(world, one["CapacityReservationId"], given.get("capacity-reservation", {}))
    block = {
        "CapacityBlockId": world_module.identifier("cb"),
        "AvailabilityZone": offer["AvailabilityZone"],
        "AvailabilityZoneId": offer["zone_id"],
        "CapacityReservationIds": [one["CapacityReservationId"]],
        "StartDate": offer["StartDate"],
        "EndDate": offer["EndDate"],
        "CreateDate": clock.now(),
        "State": "payment-pending",
    }
    one["CapacityBlockId"] = block["CapacityBlockId"]
    blocks(world)[block["CapacityBlockId"]] = block
    ec2.set_tags(world, block["CapacityBlockId"], given.get("capacity-block", {}))
    clock.after(PAYMENT, _paid, one, block)
    clock.after(max(offer["StartDate"] - clock.now(), PAYMENT + 1), _active, one, block)
    clock.after(offer["EndDate"] - clock.now(), _expired, one, block)
    return {"CapacityReservation": view(world, one), "CapacityBlocks": [block_view(world, block)]}


def _paid(one, block):
    one["State"] = block["State"] = "scheduled"


def _active(one, block):
    one["State"] = block["State"] = "active"


def _expired(one, block):
    one["State"] = block["State"] = "expired"


def block_view(world, one):
    return {**one, "Tags": ec2.tags(world, one["CapacityBlockId"])}


BLOCK = Kind(
    "cb",
    "capacity-block",
    "InvalidCapacityBlockId.NotFound",
    "The Capacity Block '{}' does not exist",
    blocks,
    block_view,
    {
        "capacity-block-id": attribute("CapacityBlockId"),
        "availability-zone": attribute("AvailabilityZone"),
        "state": attribute("State"),
        "start-date": attribute("StartDate"),
        "end-date": attribute("EndDate"),
    },
)
ec2.describes("DescribeCapacityBlocks", BLOCK, "CapacityBlocks", "CapacityBlockIds")


@app.handles("ec2", "DescribeCapacityBlockStatus")
def block_status(call):
    world = call.world
    rows = [
        {
            "CapacityBlockId": one["CapacityBlockId"],
            "InterconnectStatus": "ok",
            "TotalCapacity": sum(table(world)[cr]["TotalInstanceCount"] for cr in one["CapacityReservationIds"]),
            "TotalAvailableCapacity": sum(view(world, table(world)[cr])["AvailableInstanceCount"] for cr in one["CapacityReservationIds"]),
            "TotalUnavailableCapacity": 0,
            "CapacityReservationStatuses": [
                {
                    "CapacityReservationId": cr,
                    "TotalCapacity": table(world)[cr]["TotalInstanceCount"],
                    "TotalAvailableCapacity": view(world, table(world)[cr])["AvailableInstanceCount"],
                    "TotalUnavailableCapacity": 0,
                }
                for cr in one["CapacityReservationIds"]
            ],
        }
        for one in blocks(world).values()
        if not call.get("CapacityBlockIds") or one["CapacityBlockId"] in call.get("CapacityBlockIds")
    ]
    return {"CapacityBlockStatuses": rows}
