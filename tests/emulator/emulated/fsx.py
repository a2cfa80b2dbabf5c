"""FSx for Lustre: file systems and their associations with buckets.

https://docs.aws.amazon.com/fsx/latest/APIReference/API_CreateFileSystem.html and the pages beside it;
https://docs.aws.amazon.com/fsx/latest/LustreGuide/efa-file-systems.html,
https://docs.aws.amazon.com/fsx/latest/LustreGuide/limit-access-security-groups.html. What is checked: sizes by deployment type
(and the larger steps with EFA), throughput, metadata, versions of Lustre, the security groups (port 988; all protocols of the
group itself with EFA), overlapping paths. File systems are `CREATING`, `AVAILABLE`, `UPDATING`, `DELETING` and then
`FileSystemNotFound`; they only grow. Tokens: the same again is the same file system, with other parameters
`IncompatibleParameterError`; when it is gone, a new one.

moto stores what it is told, under no state and no mount name, and knows no updates and no associations. Not here: Windows,
ONTAP, OpenZFS, backups, data repository tasks, file caches, and AWS's pause of six hours between two enlargements.
"""

import ipaddress
import math
import re

from . import app, clock, dump, interfaces, network, policies, quotas, security_groups, tokens, visibility
from . import world as world_module
from .wire import Fault

CREATION = 600
DELETION = 300
UPDATE = 600
ASSOCIATION = 300
DISSOCIATION = 120

PORTS = (
    "The file system cannot be created because the default security group in the subnet provided or the provided security "
    "groups do not permit Lustre LNET network traffic on port 988"
)
EFA_STEPS = {1000: 4800, 500: 9600, 250: 19200, 125: 38400}
THROUGHPUTS = {
    ("PERSISTENT_1", "SSD"): (50, 100, 200),
    ("PERSISTENT_1", "HDD"): (12, 40),
    ("PERSISTENT_2", "SSD"): (125, 250, 500, 1000),
}


def table(world):
    return world.table("file-systems")


def associations(world):
    return world.table("associations")


def bad(message):
    return Fault("BadRequest", message)


def find(world, identifier):
    one = table(world).get(identifier)
    if one is None or visibility.fresh(identifier):
        raise Fault("FileSystemNotFound", f"File system '{identifier}' does not exist.")
    return one


def _tags(given):
    if given is not None and len({tag["Key"] for tag in given}) != len(given):
        raise bad("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
    for tag in given or []:
        if tag["Key"].lower().startswith("aws:"):
            raise bad("aws: prefixed tag key names are not allowed for external use.")
    return {tag["Key"]: tag.get("Value", "") for tag in given or []}


def _pairs(held):
    return [{"Key": key, "Value": value} for key, value in held.items()]


def view(one):
    shown = {name: value for name, value in one.items() if not name.startswith("_")}
    shown["Tags"] = _pairs(one["_tags"])
    shown["LustreConfiguration"] = dict(one["LustreConfiguration"])
    return shown


def check_capacity(capacity, deployment, storage, per_unit, efa, least=0):
    """Sizes that FSx takes, in GiB; more than `least`."""
    if capacity is None:
        raise bad("StorageCapacity must be specified")
    if deployment == "PERSISTENT_2" and efa:
        step = EFA_STEPS[per_unit]
        fits = capacity % step == 0 and capacity > 0
        wanted = f"a multiple of {step} GiB for EFA-enabled file systems with {per_unit} MB/s/TiB"
    elif storage == "HDD":
        step = 6000 if per_unit == 12 else 1800
        fits, wanted = capacity > 0 and capacity % step == 0, f"a multiple of {step} GiB"
    elif deployment == "SCRATCH_1":
        fits = capacity in (1200, 2400) or (capacity > 0 and capacity % 3600 == 0)
        wanted = "1200, 2400 or a multiple of 3600 GiB"
    else:
        fits = capacity in (1200, 2400) or (capacity > 0 and capacity % 2400 == 0)
        if least:
            fits = capacity > 0 and capacity % 2400 == 0
        wanted = "1200, 2400 or a multiple of 2400 GiB"
    if not fits:
        raise bad(f"Invalid storage capacity: {capacity}. Storage capacity for deployment type {deployment} must be {wanted}.")
    if capacity <= least:
        raise bad(f"Invalid storage capacity: {capacity}. The new storage capacity must be greater than the current {least} GiB.")


def check_metadata(given, capacity, deployment):
    """The metadata that a file system has: mode and operations per second."""
    if given is None:
        return None
    if deployment != "PERSISTENT_2":
        raise bad("MetadataConfiguration is only supported for PERSISTENT_2 file systems.")
    mode = given.get("Mode")
    iops = given.get("Iops")
    if mode == "AUTOMATIC":
        if iops is not None:
            raise bad("Iops cannot be specified when MetadataConfiguration mode is AUTOMATIC.")
        if capacity <= 1200:
            iops = 1500
        elif capacity <= 2400:
            iops = 3000
        elif capacity <= 9600:
            iops = 6000
        else:
            iops = min(192000, max(12000, capacity // 24000 * 12000))
        return {"Mode": mode, "Iops": iops}
    if mode != "USER_PROVISIONED":
        raise bad(f"Invalid MetadataConfiguration mode: {mode}")
    if iops not in (1500, 3000, 6000, 12000) and not (isinstance(iops, int) and iops % 12000 == 0 and 12000 <= iops <= 192000):
        raise bad(f"Invalid metadata Iops: {iops}. Valid values are 1500, 3000, 6000, 12000, and multiples of 12000 up to 192000.")
    return {"Mode": mode, "Iops": iops}


def _covers(rule, port):
    if rule.ip_protocol == "-1":
        return True
    return rule.ip_protocol == "tcp" and (rule.from_port or 0) <= port <= (rule.to_port if rule.to_port is not None else 65535)


def check_groups(world, groups, subnet, efa):
    """Lustre's port must be open among the file servers themselves; all protocols with EFA."""
    ids = {group.id for group in groups}
    block = ipaddress.IPv4Network(subnet.cidr_block)

    def allows(rules, what):
        for rule in rules:
            if not what(rule):
                continue
            if rule.source_group and rule.source_group.get("GroupId") in ids:
                return True
            wide = rule.ip_range.get("CidrIp")
            if wide and block.subnet_of(ipaddress.IPv4Network(wide)):
                return True
        return False

    ingress = [rule for group in groups for rule in group.ingress_rules]
    egress = [rule for group in groups for rule in group.egress_rules]
    for port in (988, 1018, 1023):
        if not allows(ingress, lambda rule: _covers(rule, port)) or not allows(egress, lambda rule: _covers(rule, port)):
            raise Fault("InvalidNetworkSettings", PORTS, InvalidSecurityGroupId=groups[0].id)
    if efa:
        for rules in (ingress, egress):
            if not any(
                rule.ip_protocol == "-1" and rule.source_group and rule.source_group.get("GroupId") in ids for rule in rules
            ):
                raise Fault(
                    "InvalidNetworkSettings",
                    "The security groups of an EFA-enabled file system must allow all traffic to and from the security group itself.",
                    InvalidSecurityGroupId=groups[0].id,
                )


@app.handles("fsx", "CreateFileSystem")
def create(call):
    world = call.world
    params = call.params
    token = params.get("ClientRequestToken")
    wanted = tokens.digest(params, "ClientRequestToken")
    if token:
        for one in table(world).values():
            if one["_token"] == token and one["Lifecycle"] != "DELETING":
                if one["_asked"] != wanted:
                    raise Fault(
                        "IncompatibleParameterError",
                        "A request with the same client request token but different parameters was received.",
                        Parameter=_differs(one["_params"], params),
                    )
                return {"FileSystem": view(one)}
    if params.get("FileSystemType") != "LUSTRE":
        raise bad("The emulator has file systems of the type LUSTRE only.")
    lustre = dict(params.get("LustreConfiguration") or {})
    deployment = lustre.get("DeploymentType") or "SCRATCH_1"
    storage = params.get("StorageType") or "SSD"
    if storage == "INTELLIGENT_TIERING":
        raise bad("The emulator has no Intelligent-Tiering file systems.")
    efa = bool(lustre.get("EfaEnabled"))
    per_unit = lustre.get("PerUnitStorageThroughput")
    if deployment.startswith("PERSISTENT"):
        valid = THROUGHPUTS.get((deployment, storage))
        if valid is None:
            raise bad(f"Storage type {storage} is not supported for deployment type {deployment}.")
        if per_unit is None:
            raise bad(f"PerUnitStorageThroughput must be specified for deployment type {deployment}.")
        if per_unit not in valid:
            raise Fault(
                "InvalidPerUnitStorageThroughput",
                f"Invalid PerUnitStorageThroughput: {per_unit}. Valid values are {', '.join(map(str, valid))}.",
            )
    else:
        if per_unit is not None:
            raise Fault("InvalidPerUnitStorageThroughput", f"PerUnitStorageThroughput is not supported for {deployment}.")
        if storage != "SSD":
            raise bad(f"Storage type {storage} is not supported for deployment type {deployment}.")
        if lustre.get("AutomaticBackupRetentionDays"):
            raise bad("Automatic backups are not supported on scratch file systems.")
    if efa and deployment != "PERSISTENT_2":
        raise bad("EFA is only supported for PERSISTENT_2 file systems.")
    if efa and not lustre.get("MetadataConfiguration"):
        raise bad("EFA-enabled file systems must have a metadata configuration.")
    capacity = params.get("StorageCapacity")
    check_capacity(capacity, deployment, storage, per_unit, efa)
    metadata = check_metadata(lustre.get("MetadataConfiguration"), capacity, deployment)
    version = params.get("FileSystemTypeVersion")
    if version is None:
        version = "2.15" if metadata else "2.12" if deployment == "PERSISTENT_2" else "2.10"
    if version not in ("2.10", "2.12", "2.15"):
        raise bad(f"Invalid file system type version: {version}")
    if deployment == "PERSISTENT_2" and version == "2.10":
        raise bad("Lustre version 2.10 is not supported for PERSISTENT_2 file systems.")
    if metadata and version != "2.15":
        raise bad("A metadata configuration needs Lustre version 2.15.")
    if not 0 <= (lustre.get("AutomaticBackupRetentionDays") or 0) <= 90:
        raise bad("AutomaticBackupRetentionDays must be between 0 and 90.")
    if lustre.get("DataCompressionType") not in (None, "NONE", "LZ4"):
        raise bad("Invalid DataCompressionType")
    subnets = params.get("SubnetIds") or []
    if len(subnets) != 1:
        raise Fault("InvalidNetworkSettings", "Exactly one subnet must be specified for a Lustre file system.")
    subnet = network.subnet(world, subnets[0])
    if subnet is None or visibility.fresh(subnets[0]):
        raise Fault("InvalidNetworkSettings", f"The subnet ID '{subnets[0]}' does not exist", InvalidSubnetId=subnets[0])
    groups = []
    for identifier in params.get("SecurityGroupIds") or []:
        group = security_groups.all_groups(world).get(identifier)
        if group is None or visibility.fresh(identifier):
            raise Fault(
                "InvalidNetworkSettings", f"The security group '{identifier}' does not exist", InvalidSecurityGroupId=identifier
            )
        if group.vpc_id != subnet.vpc_id:
            raise Fault(
                "InvalidNetworkSettings",
                f"The security group '{identifier}' and the subnet are not in the same VPC.",
                InvalidSecurityGroupId=identifier,
            )
        groups.append(group)
    if not groups:
        groups = [world.ec2.get_default_security_group(subnet.vpc_id)]
    check_groups(world, groups, subnet, efa)
    held = [one for one in table(world).values() if one["Lifecycle"] not in ("FAILED",)]
    kind = "PERSISTENT_2" if deployment == "PERSISTENT_2" else "SCRATCH"
    code_count, code_size = ("L-A3D4E4E8", "L-68DB4C4C") if kind == "PERSISTENT_2" else ("L-4B8A9E1E", "L-FDCB1C05")
    alike = [one for one in held if one["LustreConfiguration"]["DeploymentType"].startswith(kind)]
    if len(alike) >= quotas.limit(world, code_count):
        raise Fault("ServiceLimitExceeded", "The file system count limit has been exceeded.", Limit="FILE_SYSTEM_COUNT")
    if sum(one["StorageCapacity"] for one in alike) + capacity > quotas.limit(world, code_size):
        raise Fault("ServiceLimitExceeded", "The total storage limit has been exceeded.", Limit="TOTAL_STORAGE")
    held_tags = _tags(params.get("Tags"))
    policies.linked(world, "fsx.amazonaws.com")

    identifier = world_module.identifier("fs")
    per_server = EFA_STEPS[per_unit] if efa else 2400
    count = math.ceil(capacity / per_server) + max(1, math.ceil((metadata or {}).get("Iops", 0) / 12000))
    free = subnet._available_ip_addresses - network.used_addresses(world).get(subnet.id, 0)
    if free < count:
        raise Fault("InvalidNetworkSettings", f"Subnet {subnet.id} has not enough free IP addresses: {count} are needed.", InvalidSubnetId=subnet.id)
    enis = [
        interfaces.make(
            world,
            subnet,
            [group.id for group in groups],
            f"Created by Amazon FSx for file system {identifier}",
            "interface",
            requester_managed=True,
        ).id
        for _ in range(count)
    ]
    one = {
        "OwnerId": world.account,
        "CreationTime": clock.now(),
        "FileSystemId": identifier,
        "FileSystemType": "LUSTRE",
        "Lifecycle": "CREATING",
        "StorageCapacity": capacity,
        "StorageType": storage,
        "VpcId": subnet.vpc_id,
        "SubnetIds": list(subnets),
        "NetworkInterfaceIds": enis,
        "DNSName": f"{identifier}.fsx.{world.region}.amazonaws.com",
        "KmsKeyId": params.get("KmsKeyId")
        or (f"arn:{world.partition}:kms:{world.region}:{world.account}:key/00000000-0000-4000-8000-000000000001" if deployment.startswith("PERSISTENT") else None),
        "ResourceARN": world.arn("fsx", f"file-system/{identifier}"),
        "FileSystemTypeVersion": version,
        "AdministrativeActions": [],
        "LustreConfiguration": {
            "WeeklyMaintenanceStartTime": lustre.get("WeeklyMaintenanceStartTime") or "7:08:00",
            "DeploymentType": deployment,
            "PerUnitStorageThroughput": per_unit,
            "MountName": "fsx" if deployment == "SCRATCH_1" else world_module.letters(8),
            "DailyAutomaticBackupStartTime": (lustre.get("DailyAutomaticBackupStartTime") or "05:00") if deployment.startswith("PERSISTENT") else None,
            "AutomaticBackupRetentionDays": lustre.get("AutomaticBackupRetentionDays") or 0 if deployment.startswith("PERSISTENT") else None,
            "CopyTagsToBackups": bool(lustre.get("CopyTagsToBackups")),
            "DriveCacheType": lustre.get("DriveCacheType"),
            "DataCompressionType": lustre.get("DataCompressionType") or "NONE",
            "LogConfiguration": lustre.get("LogConfiguration") or {"Level": "DISABLED"},
            "RootSquashConfiguration": lustre.get("RootSquashConfiguration"),
            "MetadataConfiguration": metadata,
            "EfaEnabled": efa,
        },
        "_token": token,
        "_asked": wanted,
        "_params": params,
        "_tags": held_tags,
    }
    table(world)[identifier] = one
    visibility.born(identifier)
    clock.after(CREATION, _available, one)
    return {"FileSystem": view(one)}


def _differs(known, given):
    for name in sorted(set(known) | set(given)):
        if name != "ClientRequestToken" and known.get(name) != given.get(name):
            return name
    return "LustreConfiguration"


def _available(one):
    if one["Lifecycle"] == "CREATING":
        one["Lifecycle"] = "AVAILABLE"


def _page(call, rows, member):
    size = call.get("MaxResults") or 2147483647
    start = int(call.get("NextToken") or 0)
    more = start + size < len(rows)
    return {member: rows[start : start + size], "NextToken": str(start + size) if more else None}


@app.handles("fsx", "DescribeFileSystems")
def describe(call):
    world = call.world
    ids = call.get("FileSystemIds")
    if ids:
        return {"FileSystems": [view(find(world, identifier)) for identifier in ids]}
    rows = [view(one) for one in table(world).values() if not visibility.fresh(one["FileSystemId"])]
    return _page(call, rows, "FileSystems")


@app.handles("fsx", "UpdateFileSystem")
def update(call):
    world = call.world
    one = find(world, call.get("FileSystemId"))
    token = call.get("ClientRequestToken")
    if token and token == one.get("_update_token"):
        return {"FileSystem": view(one)}
    if one["Lifecycle"] != "AVAILABLE":
        raise bad(f"File system {one['FileSystemId']} is in the state {one['Lifecycle']}; it can be updated when it is AVAILABLE.")
    lustre = call.get("LustreConfiguration") or {}
    held = one["LustreConfiguration"]
    deployment = held["DeploymentType"]
    changes, target = {}, {}
    per_unit = lustre.get("PerUnitStorageThroughput")
    if per_unit is not None and per_unit != held["PerUnitStorageThroughput"]:
        valid = THROUGHPUTS.get((deployment, one["StorageType"]), ())
        if per_unit not in valid or one["StorageType"] == "HDD":
            raise bad(f"Invalid PerUnitStorageThroughput: {per_unit}.")
        if held["EfaEnabled"]:
            raise bad("The throughput tier of EFA-enabled file systems cannot be changed.")
        changes["PerUnitStorageThroughput"] = per_unit
    capacity = call.get("StorageCapacity")
    if capacity is not None and capacity != one["StorageCapacity"]:
        if deployment == "SCRATCH_1":
            raise bad("The storage capacity of SCRATCH_1 file systems cannot be increased.")
        if "PerUnitStorageThroughput" in changes:
            raise bad("Storage capacity and throughput cannot be changed in one request.")
        check_capacity(capacity, deployment, one["StorageType"], held["PerUnitStorageThroughput"], held["EfaEnabled"], one["StorageCapacity"])
        target["StorageCapacity"] = capacity
    elif capacity is not None:
        raise bad(f"Invalid storage capacity: {capacity}. The new storage capacity must be greater than the current {one['StorageCapacity']} GiB.")
    if lustre.get("MetadataConfiguration") is not None:
        if held["MetadataConfiguration"] is None:
            raise bad("Metadata performance can only be changed on file systems that were created with a metadata configuration.")
        metadata = check_metadata(lustre["MetadataConfiguration"], capacity or one["StorageCapacity"], deployment)
        if metadata["Iops"] < held["MetadataConfiguration"]["Iops"]:
            raise bad("The metadata Iops of a file system can only be increased.")
        changes["MetadataConfiguration"] = metadata
    elif capacity and (held["MetadataConfiguration"] or {}).get("Mode") == "AUTOMATIC":
        changes["MetadataConfiguration"] = check_metadata({"Mode": "AUTOMATIC"}, capacity, deployment)
    for name in ("DataCompressionType", "AutomaticBackupRetentionDays", "DailyAutomaticBackupStartTime", "WeeklyMaintenanceStartTime", "LogConfiguration", "RootSquashConfiguration"):
        if lustre.get(name) is not None:
            if name == "AutomaticBackupRetentionDays" and not deployment.startswith("PERSISTENT"):
                raise bad("Automatic backups are not supported on scratch file systems.")
            changes[name] = lustre[name]
    version = call.get("FileSystemTypeVersion")
    if version is not None and version != one["FileSystemTypeVersion"]:
        if version not in ("2.10", "2.12", "2.15") or version < one["FileSystemTypeVersion"]:
            raise bad(f"Invalid file system type version: {version}; it can only be raised.")
        target["FileSystemTypeVersion"] = version
    if not changes and not target:
        raise bad("No updates are to be performed.")
    action = {
        "AdministrativeActionType": "FILE_SYSTEM_UPDATE",
        "RequestTime": clock.now(),
        "Status": "PENDING",
        "TargetFileSystemValues": {**target, **({"LustreConfiguration": changes} if changes else {})},
    }
    actions = [action]
    if "StorageCapacity" in target:
        actions.append(
            {
                "AdministrativeActionType": "STORAGE_OPTIMIZATION",
                "RequestTime": clock.now(),
                "Status": "PENDING",
                "ProgressPercent": 0,
                "TargetFileSystemValues": {"StorageCapacity": capacity},
            }
        )
    one["AdministrativeActions"] = actions + one["AdministrativeActions"]
    one["_update_token"] = token
    one["Lifecycle"] = "UPDATING"
    # What is but a setting holds at once; what moves data takes its time.
    quick = not target and not set(changes) & {"PerUnitStorageThroughput", "MetadataConfiguration"}
    clock.after(30 if quick else UPDATE, _updated, world, one, actions, changes, target)
    for settled in actions:
        settled["Status"] = "IN_PROGRESS"
    return {"FileSystem": view(one)}


def _updated(world, one, actions, changes, target):
    one["LustreConfiguration"].update(changes)
    before = one["StorageCapacity"]
    one.update(target)
    if one["Lifecycle"] == "UPDATING":
        one["Lifecycle"] = "AVAILABLE"
        held = one["LustreConfiguration"]
        per_server = EFA_STEPS[held["PerUnitStorageThroughput"]] if held["EfaEnabled"] else 2400
        subnet = network.subnet(world, one["SubnetIds"][0])
        groups = [group.id for group in world.ec2.enis[one["NetworkInterfaceIds"][0]]._group_set]
        for _ in range(math.ceil(one["StorageCapacity"] / per_server) - math.ceil(before / per_server)):
            try:
                eni = interfaces.make(
                    world, subnet, groups, f"Created by Amazon FSx for file system {one['FileSystemId']}", requester_managed=True
                )
            except Fault:
                break
            one["NetworkInterfaceIds"].append(eni.id)
    actions[0]["Status"] = "UPDATED_OPTIMIZING" if len(actions) > 1 else "COMPLETED"
    if len(actions) > 1:
        clock.after(UPDATE, _optimised, actions)


def _optimised(actions):
    for action in actions:
        action["Status"] = "COMPLETED"
    actions[1]["ProgressPercent"] = 100


@app.handles("fsx", "DeleteFileSystem")
def delete(call):
    world = call.world
    one = find(world, call.get("FileSystemId"))
    identifier = one["FileSystemId"]
    if one["Lifecycle"] == "CREATING":
        raise bad(f"File system {identifier} is in the state CREATING and cannot be deleted yet.")
    if one["Lifecycle"] != "DELETING":
        one["Lifecycle"] = "DELETING"
        for association in associations(world).values():
            if association["FileSystemId"] == identifier:
                association["Lifecycle"] = "DELETING"
        clock.after(DELETION, _gone, world, identifier)
    return {"FileSystemId": identifier, "Lifecycle": "DELETING", "LustreResponse": {}}


def _gone(world, identifier):
    one = table(world).pop(identifier, None)
    if one is None:
        return
    for eni in one["NetworkInterfaceIds"]:
        interfaces.remove(world, eni)
    for key in [key for key, association in associations(world).items() if association["FileSystemId"] == identifier]:
        del associations(world)[key]
    visibility.gone(identifier)


# Associations.


def _find_association(world, identifier):
    one = associations(world).get(identifier)
    if one is None or visibility.fresh(identifier):
        raise Fault("DataRepositoryAssociationNotFound", f"Data repository association '{identifier}' does not exist.")
    return one


def _events(s3):
    for name in ("AutoImportPolicy", "AutoExportPolicy"):
        for event in (s3.get(name) or {}).get("Events") or []:
            if event not in ("NEW", "CHANGED", "DELETED"):
                raise bad(f"Invalid event in {name}: {event}")


@app.handles("fsx", "CreateDataRepositoryAssociation")
def associate(call):
    world = call.world
    params = call.params
    token = params.get("ClientRequestToken")
    wanted = tokens.digest(params, "ClientRequestToken")
    if token:
        for known in associations(world).values():
            if known["_token"] == token and known["Lifecycle"] != "DELETING":
                if known["_asked"] != wanted:
                    raise Fault(
                        "IncompatibleParameterError",
                        "A request with the same client request token but different parameters was received.",
                        Parameter=_differs(known["_params"], params),
                    )
                return {"Association": view_association(known)}
    system = find(world, params.get("FileSystemId"))
    deployment = system["LustreConfiguration"]["DeploymentType"]
    if deployment == "SCRATCH_1" or system["FileSystemTypeVersion"] == "2.10":
        raise Fault(
            "UnsupportedOperation",
            "Data repository associations are supported on Lustre 2.12 and 2.15 file systems, excluding the scratch_1 deployment type.",
        )
    if system["Lifecycle"] not in ("AVAILABLE", "UPDATING"):
        raise bad(f"File system {system['FileSystemId']} is in the state {system['Lifecycle']}.")
    path = params.get("FileSystemPath") or "/"
    source = params.get("DataRepositoryPath") or ""
    if not path.startswith("/"):
        raise bad("FileSystemPath must begin with a forward slash.")
    if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9](/.*)?", source):
        raise bad(f"Invalid data repository path: {source}. It must be of the form s3://bucket-name/prefix/.")
    chunk = params.get("ImportedFileChunkSize") or 1024
    if not 1 <= chunk <= 512000:
        raise bad("ImportedFileChunkSize must be between 1 and 512000 MiB.")
    s3 = params.get("S3") or {}
    _events(s3)
    mine = [one for one in associations(world).values() if one["FileSystemId"] == system["FileSystemId"]]
    if len(mine) >= 8:
        raise Fault("ServiceLimitExceeded", "A file system can have at most 8 data repository associations.", Limit="FILE_SYSTEM_COUNT")

    def parts(text):
        return [part for part in text.split("/") if part]

    for one in mine:
        first, second = parts(one["FileSystemPath"]), parts(path)
        shorter = min(len(first), len(second))
        if first[:shorter] == second[:shorter]:
            raise bad(f"FileSystemPath {path} overlaps with that of association {one['AssociationId']}.")
    identifier = world_module.identifier("dra")
    policies.linked(world, "s3.data-source.lustre.fsx.amazonaws.com")
    one = {
        "AssociationId": identifier,
        "ResourceARN": world.arn("fsx", f"association/{system['FileSystemId']}/{identifier}"),
        "FileSystemId": system["FileSystemId"],
        "Lifecycle": "CREATING",
        "FileSystemPath": path,
        "DataRepositoryPath": source,
        "BatchImportMetaDataOnCreate": bool(params.get("BatchImportMetaDataOnCreate")),
        "ImportedFileChunkSize": chunk,
        "S3": s3,
        "CreationTime": clock.now(),
        "_token": token,
        "_asked": wanted,
        "_params": params,
        "_tags": _tags(params.get("Tags")),
    }
    associations(world)[identifier] = one
    visibility.born(identifier)
    clock.after(ASSOCIATION, _associated, world, one)
    return {"Association": view_association(one)}


def view_association(one):
    return {**{name: value for name, value in one.items() if not name.startswith("_")}, "Tags": _pairs(one["_tags"])}


def _bucket_is_there(world, source):
    from moto.s3.models import s3_backends

    return source.removeprefix("s3://").partition("/")[0] in s3_backends[world.account][world.partition].buckets


def _associated(world, one):
    if one["Lifecycle"] not in ("CREATING", "UPDATING"):
        return
    if _bucket_is_there(world, one["DataRepositoryPath"]):
        one["Lifecycle"] = "AVAILABLE"
        one.pop("FailureDetails", None)
    else:
        one["Lifecycle"] = "MISCONFIGURED"
        one["FailureDetails"] = {"Message": "Amazon FSx is unable to access the S3 bucket of the data repository."}


@app.handles("fsx", "DescribeDataRepositoryAssociations")
def describe_associations(call):
    world = call.world
    ids = call.get("AssociationIds")
    if ids:
        rows = [view_association(_find_association(world, identifier)) for identifier in ids]
    else:
        rows = [view_association(one) for one in associations(world).values() if not visibility.fresh(one["AssociationId"])]
    for one in call.get("Filters") or []:
        if one["Name"] == "file-system-id":
            rows = [row for row in rows if row["FileSystemId"] in one["Values"]]
        elif one["Name"] == "data-repository-type":
            rows = rows if "S3" in one["Values"] else []
    return _page(call, rows, "Associations")


@app.handles("fsx", "UpdateDataRepositoryAssociation")
def update_association(call):
    world = call.world
    one = _find_association(world, call.get("AssociationId"))
    if one["Lifecycle"] not in ("AVAILABLE", "MISCONFIGURED"):
        raise bad(f"Association {one['AssociationId']} is in the state {one['Lifecycle']}.")
    s3 = call.get("S3")
    if s3 is not None:
        _events(s3)
        one["S3"] = {**one["S3"], **s3}
    if call.get("ImportedFileChunkSize") is not None:
        if not 1 <= call.get("ImportedFileChunkSize") <= 512000:
            raise bad("ImportedFileChunkSize must be between 1 and 512000 MiB.")
        one["ImportedFileChunkSize"] = call.get("ImportedFileChunkSize")
    one["Lifecycle"] = "UPDATING"
    clock.after(60, _associated, world, one)
    return {"Association": view_association(one)}


@app.handles("fsx", "DeleteDataRepositoryAssociation")
def dissociate(call):
    world = call.world
    one = _find_association(world, call.get("AssociationId"))
    if one["Lifecycle"] != "DELETING":
        one["Lifecycle"] = "DELETING"
        clock.after(DISSOCIATION, _dissociated, world, one["AssociationId"])
    return {
        "AssociationId": one["AssociationId"],
        "Lifecycle": "DELETING",
        "DeleteDataInFileSystem": bool(call.get("DeleteDataInFileSystem")),
    }


def _dissociated(world, identifier):
    associations(world).pop(identifier, None)
    visibility.gone(identifier)


def by_arn(world, arn):
    for one in [*table(world).values(), *associations(world).values()]:
        if one["ResourceARN"] == arn and not visibility.fresh(one.get("AssociationId") or one["FileSystemId"]):
            return one
    raise Fault("ResourceNotFound", f"The resource {arn} does not exist.", ResourceARN=arn)


@app.handles("fsx", "TagResource")
def tag(call):
    one = by_arn(call.world, call.get("ResourceARN"))
    one["_tags"].update(_tags(call.get("Tags")))
    return {}


@app.handles("fsx", "UntagResource")
def untag(call):
    one = by_arn(call.world, call.get("ResourceARN"))
    for key in call.get("TagKeys") or []:
        one["_tags"].pop(key, None)
    return {}


@app.handles("fsx", "ListTagsForResource")
def list_tags(call):
    return {"Tags": _pairs(by_arn(call.world, call.get("ResourceARN"))["_tags"])}


@dump.source
def rows(world):
    for one in table(world).values():
        yield "fsx", "file-system", one["FileSystemId"], one["_tags"].get("Name"), dict(one["_tags"])
    for one in associations(world).values():
        yield "fsx", "association", one["AssociationId"], one["FileSystemPath"], dict(one["_tags"])
