"""Instance types, where they are offered, zones and regions.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstanceTypes.html,
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstanceTypeOfferings.html,
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeAvailabilityZones.html. The data are moto's capture of AWS's
own answers (May 2026), with what it lacks: `p6e-gb200.36xlarge` (network cards as in
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/efa-acc-inst-types.html; offered in the Dallas Local Zone) and
`trn2u.48xlarge` (taken as trn2.48xlarge). The memory of Trainium2 is as the API tells it, which is wrong: so it is in AWS.

Every zone of us-west-2 offers the accelerated types that AWS has in any of its zones or, for trn2, in us-east-2: tests run
there. The setting `unoffered` takes offers away.
"""

import copy

from . import app, ec2, settings
from .ec2 import attribute
from .wire import Fault

DALLAS = "us-east-1-dfw-2a"
TEST_REGION = "us-west-2"
TEST_FAMILIES = ("p4d", "p4de", "p5", "p5e", "p5en", "p6-b200", "p6-b300", "trn1", "trn1n", "trn2", "inf2", "g5", "g6", "g6e", "g7e")

_types = {}
_offers = {}


def _gb200():
    cards = [
        {
            "NetworkCardIndex": index,
            "NetworkPerformance": "100 Gigabit" if index == 0 else "400 Gigabit" if index % 2 else "200 Gigabit",
            "MaximumNetworkInterfaces": 2,
            "BaselineBandwidthInGbps": 100.0 if index == 0 else 400.0 if index % 2 else 200.0,
            "PeakBandwidthInGbps": 100.0 if index == 0 else 400.0 if index % 2 else 200.0,
        }
        for index in range(17)
    ]
    return {
        "InstanceType": "p6e-gb200.36xlarge",
        "CurrentGeneration": True,
        "FreeTierEligible": False,
        "SupportedUsageClasses": ["capacity-block"],
        "SupportedRootDeviceTypes": ["ebs"],
        "SupportedVirtualizationTypes": ["hvm"],
        "BareMetal": False,
        "Hypervisor": "nitro",
        "ProcessorInfo": {"SupportedArchitectures": ["arm64"], "SustainedClockSpeedInGhz": 3.1, "Manufacturer": "NVIDIA"},
        "VCpuInfo": {"DefaultVCpus": 144, "DefaultCores": 144, "DefaultThreadsPerCore": 1},
        "MemoryInfo": {"SizeInMiB": 983040},
        "InstanceStorageSupported": True,
        "InstanceStorageInfo": {
            "TotalSizeInGB": 22500,
            "Disks": [{"SizeInGB": 7500, "Count": 3, "Type": "ssd"}],
            "NvmeSupport": "required",
            "EncryptionSupport": "required",
        },
        "EbsInfo": {"EbsOptimizedSupport": "default", "EncryptionSupport": "supported", "NvmeSupport": "required"},
        "NetworkInfo": {
            "NetworkPerformance": "1600 Gigabit",
            "MaximumNetworkInterfaces": 34,
            "MaximumNetworkCards": 17,
            "DefaultNetworkCardIndex": 0,
            "NetworkCards": cards,
            "Ipv4AddressesPerInterface": 50,
            "Ipv6AddressesPerInterface": 50,
            "Ipv6Supported": True,
            "EnaSupport": "required",
            "EfaSupported": True,
            "EfaInfo": {"MaximumEfaInterfaces": 8},
            "EncryptionInTransitSupported": True,
            "EnaSrdSupported": True,
        },
        "GpuInfo": {
            "Gpus": [{"Name": "GB200", "Manufacturer": "NVIDIA", "Count": 4, "MemoryInfo": {"SizeInMiB": 189440}}],
            "TotalGpuMemoryInMiB": 757760,
        },
        "PlacementGroupInfo": {"SupportedStrategies": ["cluster", "partition", "spread"]},
        "HibernationSupported": False,
        "BurstablePerformanceSupported": False,
        "DedicatedHostsSupported": False,
        "AutoRecoverySupported": False,
        "SupportedBootModes": ["uefi"],
    }


def types():
    """All instance types by name."""
    if not _types:
        from moto.ec2.models.instance_types import INSTANCE_TYPES

        _types.update(INSTANCE_TYPES)
        _types["p6e-gb200.36xlarge"] = _gb200()
        if "trn2.48xlarge" in _types:
            ultra = copy.deepcopy(_types["trn2.48xlarge"])
            ultra["InstanceType"] = "trn2u.48xlarge"
            ultra["SupportedUsageClasses"] = ["capacity-block"]
            _types["trn2u.48xlarge"] = ultra
    return _types


def vcpus(name):
    return types()[name]["VCpuInfo"]["DefaultVCpus"]


def offers(world):
    """The zones that offer each type in a region: {type: [zone name]}."""
    found = _offers.get(world.region)
    if found is None:
        from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS

        found = {}
        for one in INSTANCE_TYPE_OFFERINGS["availability-zone"].get(world.region, []):
            found.setdefault(one["InstanceType"], []).append(one["Location"])
        zones = [zone.name for zone in world.ec2.describe_availability_zones()]
        if world.region == TEST_REGION:
            for name in types():
                if name.partition(".")[0] in TEST_FAMILIES:
                    found[name] = list(zones)
        if world.region == "us-east-2":
            found.setdefault("trn2u.48xlarge", found.get("trn2.48xlarge", []))
        if world.region == "us-east-1":
            found["p6e-gb200.36xlarge"] = [DALLAS]
        _offers[world.region] = found
    taken = {(one.get("instance_type"), one.get("zone")) for one in settings.get("unoffered")}
    if not taken:
        return found
    return {
        name: [zone for zone in zones if (name, zone) not in taken and (name, None) not in taken]
        for name, zones in found.items()
    }


def offered(world, name, zone):
    return zone in offers(world).get(name, [])


FILTERS = {
    "instance-type": attribute("InstanceType"),
    "current-generation": attribute("CurrentGeneration"),
    "bare-metal": attribute("BareMetal"),
    "free-tier-eligible": attribute("FreeTierEligible"),
    "hypervisor": attribute("Hypervisor"),
    "instance-storage-supported": attribute("InstanceStorageSupported"),
    "memory-info.size-in-mib": attribute("MemoryInfo", "SizeInMiB"),
    "network-info.efa-supported": attribute("NetworkInfo", "EfaSupported"),
    "network-info.efa-info.maximum-efa-interfaces": attribute("NetworkInfo", "EfaInfo", "MaximumEfaInterfaces"),
    "network-info.maximum-network-cards": attribute("NetworkInfo", "MaximumNetworkCards"),
    "network-info.maximum-network-interfaces": attribute("NetworkInfo", "MaximumNetworkInterfaces"),
    "network-info.network-performance": attribute("NetworkInfo", "NetworkPerformance"),
    "processor-info.supported-architecture": attribute("ProcessorInfo", "SupportedArchitectures"),
    "supported-usage-class": attribute("SupportedUsageClasses"),
    "supported-virtualization-type": attribute("SupportedVirtualizationTypes"),
    "vcpu-info.default-vcpus": attribute("VCpuInfo", "DefaultVCpus"),
    "vcpu-info.default-cores": attribute("VCpuInfo", "DefaultCores"),
}


@app.handles("ec2", "DescribeInstanceTypes")
def describe_types(call):
    from .launch_templates import fit

    wanted = call.get("InstanceTypes")
    known = types()
    here = offers(call.world)
    if wanted:
        unknown = [name for name in wanted if name not in known or not here.get(name)]
        if unknown:
            raise Fault("InvalidInstanceType", f"The following supplied instance types do not exist: [{', '.join(unknown)}]")
        rows = [known[name] for name in wanted]
    else:
        rows = [known[name] for name in known if here.get(name)]
    filters = ec2.Filters(call.get("Filters"), FILTERS)
    rows = [row for row in rows if filters.by_view(row)]
    chosen, token = ec2.page(call, rows, 100)
    shape = call.operation.output_shape.members["InstanceTypes"].member
    return {"InstanceTypes": [fit(shape, row) for row in chosen], "NextToken": token}


@app.handles("ec2", "DescribeInstanceTypeOfferings")
def describe_offerings(call):
    world = call.world
    kind = call.get("LocationType") or "region"
    zone_ids = {zone.name: zone.zone_id for zone in world.ec2.describe_availability_zones()}
    zone_ids[DALLAS] = "use1-dfw2-az1"
    rows = []
    for name, zones in offers(world).items():
        if kind == "region":
            places = [world.region] if zones else []
        elif kind == "availability-zone":
            places = zones
        elif kind == "availability-zone-id":
            places = [zone_ids.get(zone, zone) for zone in zones]
        else:
            raise Fault("InvalidParameterValue", f"Value ({kind}) for parameter LocationType is invalid.")
        rows += [{"InstanceType": name, "LocationType": kind, "Location": place} for place in places]
    filters = ec2.Filters(
        call.get("Filters"), {"instance-type": attribute("InstanceType"), "location": attribute("Location")}
    )
    rows = [row for row in rows if filters.by_view(row)]
    chosen, token = ec2.page(call, rows, 1000)
    return {"InstanceTypeOfferings": chosen, "NextToken": token}


def zones(world):
    rows = []
    for zone in world.ec2.describe_availability_zones():
        rows.append(
            {
                "State": "available",
                "OptInStatus": "opt-in-not-required",
                "Messages": [],
                "RegionName": world.region,
                "ZoneName": zone.name,
                "ZoneId": zone.zone_id,
                "GroupName": world.region if world.region not in ("us-west-2", "us-east-1") else f"{world.region}-zg-1",
                "NetworkBorderGroup": world.region,
                "ZoneType": "availability-zone",
            }
        )
    if world.region == "us-east-1":
        rows.append(
            {
                "State": "available",
                "OptInStatus": world.table("zone-groups").get("us-east-1-dfw-2", "not-opted-in"),
                "Messages": [],
                "RegionName": world.region,
                "ZoneName": DALLAS,
                "ZoneId": "use1-dfw2-az1",
                "GroupName": "us-east-1-dfw-2",
                "NetworkBorderGroup": "us-east-1-dfw-2",
                "ZoneType": "local-zone",
                "ParentZoneName": "us-east-1a",
                "ParentZoneId": "use1-az6",
            }
        )
    return rows


@app.handles("ec2", "DescribeAvailabilityZones")
def describe_zones(call):
    filters = ec2.Filters(
        call.get("Filters"),
        {
            "zone-name": attribute("ZoneName"),
            "zone-id": attribute("ZoneId"),
            "zone-type": attribute("ZoneType"),
            "state": attribute("State"),
            "opt-in-status": attribute("OptInStatus"),
            "region-name": attribute("RegionName"),
            "group-name": attribute("GroupName"),
        },
    )
    rows = zones(call.world)
    names, ids = call.get("ZoneNames"), call.get("ZoneIds")
    for name in names or []:
        if name not in {row["ZoneName"] for row in rows}:
            raise Fault("InvalidParameterValue", f"Invalid availability zone: [{name}]")
    for name in ids or []:
        if name not in {row["ZoneId"] for row in rows}:
            raise Fault("InvalidParameterValue", f"Invalid availability zone-id: [{name}]")
    if names:
        rows = [row for row in rows if row["ZoneName"] in names]
    if ids:
        rows = [row for row in rows if row["ZoneId"] in ids]
    if not call.get("AllAvailabilityZones"):
        rows = [row for row in rows if row["OptInStatus"] != "not-opted-in"]
    return {"AvailabilityZones": [row for row in rows if filters.by_view(row)]}


@app.handles("ec2", "ModifyAvailabilityZoneGroup")
def opt_in(call):
    call.world.table("zone-groups")[call.get("GroupName")] = call.get("OptInStatus")
    return {"Return": True}


# Regions that an account has without asking for them (https://docs.aws.amazon.com/accounts/latest/reference/manage-acct-regions.html).
ALWAYS = (
    "us-east-1 us-east-2 us-west-1 us-west-2 ca-central-1 sa-east-1 eu-central-1 eu-west-1 eu-west-2 eu-west-3 eu-north-1 "
    "ap-south-1 ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-southeast-1 ap-southeast-2"
).split()


@app.handles("ec2", "DescribeRegions")
def describe_regions(call):
    from moto.ec2.models.availability_zones_and_regions import RegionsAndZonesBackend

    rows = []
    for one in RegionsAndZonesBackend.regions:
        if one.name.startswith(("cn-", "us-gov-", "us-iso")):
            continue
        status = "opt-in-not-required" if one.name in ALWAYS else "not-opted-in"
        rows.append({"Endpoint": f"ec2.{one.name}.amazonaws.com", "RegionName": one.name, "OptInStatus": status})
    filters = ec2.Filters(
        call.get("Filters"),
        {"region-name": attribute("RegionName"), "opt-in-status": attribute("OptInStatus"), "endpoint": attribute("Endpoint")},
    )
    wanted = call.get("RegionNames")
    for name in wanted or []:
        if name not in {row["RegionName"] for row in rows}:
            raise Fault("InvalidParameterValue", f"Invalid region: [{name}]")
    if wanted:
        rows = [row for row in rows if row["RegionName"] in wanted]
    elif not call.get("AllRegions"):
        rows = [row for row in rows if row["OptInStatus"] != "not-opted-in"]
    return {"Regions": [row for row in rows if filters.by_view(row)]}
