"""EKS clusters, their updates and tags.

https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateCluster.html and the pages beside it. A cluster is `CREATING` for
minutes; its endpoint and certificate come when it is `ACTIVE`. EKS makes a security group for it (`eks-cluster-sg-…`) and puts
two to four interfaces into its subnets (https://docs.aws.amazon.com/eks/latest/userguide/network-reqs.html); both go with it,
the group only if nothing uses it. Who may enter is the authentication mode, `CONFIG_MAP` when not chosen. Updates are
objects of their own (DescribeUpdate), one at a time. A cluster with node groups is not deleted (`ResourceInUseException`).

A creation that is repeated with its token gives the same cluster. moto forgets accessConfig, is active at once, has no
updates, no security group and no interfaces.
"""

import base64
import re

from . import app, clock, dump, ec2, interfaces, network, policies, quotas, security_groups, tokens, visibility
from . import world as world_module
from .wire import Fault

CREATION = 600
DELETION = 300
UPDATE = 300
VERSION_UPDATE = 600
NETWORK = 30

VERSIONS = ("1.30", "1.31", "1.32", "1.33", "1.34", "1.35")
DEFAULT_VERSION = "1.34"
STANDARD_SUPPORT = ("1.33", "1.34", "1.35")
LOG_TYPES = ("api", "audit", "authenticator", "controllerManager", "scheduler")


def table(world):
    return world.table("clusters")


def updates(world):
    return world.table("updates")


def missing(message, **members):
    return Fault("ResourceNotFoundException", message, 404, **members)


def invalid(message, **members):
    return Fault("InvalidParameterException", message, 400, **members)


def refused(message, **members):
    return Fault("InvalidRequestException", message, 400, **members)


def in_use(message, **members):
    return Fault("ResourceInUseException", message, 409, **members)


def find(world, name):
    one = table(world).get(name)
    if one is None or visibility.fresh("cluster", world.account, world.region, name):
        raise missing(f"No cluster found for name: {name}.", clusterName=name)
    return one


def active(world, name):
    """A cluster that can be worked with."""
    one = find(world, name)
    if one["status"] not in ("ACTIVE", "UPDATING"):
        raise refused(f"Cluster '{name}' is not in ACTIVE status", clusterName=name)
    return one


def view(one):
    return {name: value for name, value in one.items() if not name.startswith("_")}


def check_tags(given):
    for key, value in (given or {}).items():
        if key.lower().startswith("aws:"):
            raise invalid(f"Tag key {key} is reserved: keys that begin with aws: are for AWS's use")
        if len(key) > 128 or len(value) > 256:
            raise invalid("Tag keys have at most 128 characters, values at most 256")
    if len(given or {}) > 50:
        raise invalid("At most 50 tags")
    return dict(given or {})


def page(call, rows, member):
    """A list's part: EKS gives at most 100 at once."""
    size = int(call.get("maxResults") or 100)
    start = 0
    if call.get("nextToken"):
        try:
            start = int(base64.b64decode(call.get("nextToken")).decode())
        except ValueError:
            raise invalid("Invalid nextToken") from None
    more = start + size < len(rows)
    return {
        member: rows[start : start + size],
        "nextToken": base64.b64encode(str(start + size).encode()).decode() if more else None,
    }


def check_role(world, arn, service, name, needed):
    """A role must exist, trust the service and have policies."""
    one = policies.role(world, arn) if re.fullmatch(r"arn:aws[a-z\-]*:iam::\d{12}:role/.+", arn or "") else None
    if one is None:
        raise invalid(f"Role with arn: {arn}, could not be assumed because it does not exist or the trusted entity is not correct")
    if not policies.trusts(one, service):
        raise invalid(f"Role with arn: {arn}, could not be assumed because it does not exist or the trusted entity is not correct")
    if not one.managed_policies and not one.policies:
        raise invalid(
            "The provided role doesn't have the Amazon EKS Managed Policies associated with it. Please ensure the following "
            f"policies [{', '.join(needed)}] are attached "
        )
    return one


def _network(world, given, name):
    """The subnets and groups of a cluster, checked."""
    ids = given.get("subnetIds") or []
    found = []
    for identifier in ids:
        subnet = network.subnet(world, identifier)
        if subnet is None or visibility.fresh(identifier):
            raise invalid(f"The subnet ID '{identifier}' does not exist (Service: AmazonEC2; Status Code: 400; Error Code: InvalidSubnetID.NotFound)", clusterName=name)
        found.append(subnet)
    if len({subnet.availability_zone for subnet in found}) < 2:
        raise invalid("Subnets specified must be in at least two different AZs", clusterName=name)
    if len({subnet.vpc_id for subnet in found}) > 1:
        raise invalid("Subnets specified must belong to the same VPC", clusterName=name)
    for subnet in found:
        if subnet.availability_zone_id in ("use1-az3", "usw1-az2", "cac1-az3"):
            raise Fault(
                "UnsupportedAvailabilityZoneException",
                f"Cannot create cluster '{name}' because {subnet.availability_zone}, the targeted availability zone, does not "
                "currently have sufficient capacity to support the cluster.",
                400,
                clusterName=name,
            )
        if subnet._available_ip_addresses - network.used_addresses(world).get(subnet.id, 0) < 6:
            raise invalid(f"Subnet {subnet.id} does not have enough free IP addresses: at least 6 are needed.", clusterName=name)
    for identifier in given.get("securityGroupIds") or []:
        group = security_groups.all_groups(world).get(identifier)
        if group is None or visibility.fresh(identifier):
            raise invalid(f"The security group '{identifier}' does not exist (Service: AmazonEC2; Status Code: 400; Error Code: InvalidGroup.NotFound)", clusterName=name)
        if group.vpc_id != found[0].vpc_id:
            raise invalid(f"Security group(s) [{identifier}] are not in the same VPC as the subnets", clusterName=name)
    return found


def _logging(given):
    """Which logs are on: EKS tells both lists."""
    enabled = set()
    for one in (given or {}).get("clusterLogging") or []:
        for kind in one.get("types") or []:
            if kind not in LOG_TYPES:
                raise invalid(f"Invalid log type: {kind}")
            if one.get("enabled"):
                enabled.add(kind)
            else:
                enabled.discard(kind)
    return enabled


def logging_view(enabled):
    rows = []
    if enabled:
        rows.append({"types": [kind for kind in LOG_TYPES if kind in enabled], "enabled": True})
    if len(enabled) < len(LOG_TYPES):
        rows.append({"types": [kind for kind in LOG_TYPES if kind not in enabled], "enabled": False})
    return {"clusterLogging": rows}


@app.handles("eks", "CreateCluster")
def create(call):
    world = call.world
    params = call.params
    name = params.get("name") or ""
    token = params.get("clientRequestToken")
    wanted = tokens.digest(params, "clientRequestToken")
    known = table(world).get(name)
    if known is not None:
        if token and known["_token"] == token and known["_asked"] == wanted:
            return {"cluster": view(known)}
        raise in_use(f"Cluster already exists with name: {name}", clusterName=name)
    if not re.fullmatch(r"[0-9A-Za-z][A-Za-z0-9\-_]{0,99}", name):
        raise invalid("The cluster name must match ^[0-9A-Za-z][A-Za-z0-9-_]* and have at most 100 characters", clusterName=name)
    version = params.get("version") or DEFAULT_VERSION
    if version not in VERSIONS:
        raise invalid(f"unsupported Kubernetes version {version}", clusterName=name)
    held_tags = check_tags(params.get("tags"))
    access = params.get("accessConfig") or {}
    mode = access.get("authenticationMode") or "CONFIG_MAP"
    if mode not in ("API", "API_AND_CONFIG_MAP", "CONFIG_MAP"):
        raise invalid(f"Invalid authenticationMode: {mode}", clusterName=name)
    given = params.get("resourcesVpcConfig") or {}
    public = given.get("endpointPublicAccess", True)
    private = given.get("endpointPrivateAccess", False)
    if not public and not private:
        raise invalid("Private and public endpoint access cannot be false", clusterName=name)
    subnets = _network(world, given, name)
    check_role(world, params.get("roleArn"), "eks.amazonaws.com", name, ["arn:aws:iam::aws:policy/AmazonEKSClusterPolicy"])
    enabled = _logging(params.get("logging"))
    for one in params.get("encryptionConfig") or []:
        if one.get("resources") != ["secrets"] or not (one.get("provider") or {}).get("keyArn"):
            raise invalid("encryptionConfig must have the resources [secrets] and a keyArn", clusterName=name)
    if len(table(world)) >= quotas.limit(world, "L-1194D53C"):
        raise Fault(
            "ResourceLimitExceededException",
            f"Cluster limit exceeded for account, max limit is {int(quotas.limit(world, 'L-1194D53C'))}",
            400,
            clusterName=name,
        )
    policies.linked(world, "eks.amazonaws.com")
    networking = params.get("kubernetesNetworkConfig") or {}
    vpc = world.ec2.vpcs[subnets[0].vpc_id]
    one = {
        "name": name,
        "arn": world.arn("eks", f"cluster/{name}"),
        "createdAt": clock.now(),
        "version": version,
        "roleArn": params.get("roleArn"),
        "resourcesVpcConfig": {
            "subnetIds": list(given.get("subnetIds") or []),
            "securityGroupIds": list(given.get("securityGroupIds") or []),
            "vpcId": subnets[0].vpc_id,
            "endpointPublicAccess": public,
            "endpointPrivateAccess": private,
            "publicAccessCidrs": list(given.get("publicAccessCidrs") or ["0.0.0.0/0"]) if public else [],
        },
        "kubernetesNetworkConfig": {
            "serviceIpv4Cidr": networking.get("serviceIpv4Cidr") or ("10.100.0.0/16" if not vpc.cidr_block.startswith("10.") else "172.20.0.0/16"),
            "ipFamily": networking.get("ipFamily") or "ipv4",
            "elasticLoadBalancing": {"enabled": False},
        },
        "logging": logging_view(enabled),
        "status": "CREATING",
        "certificateAuthority": {},
        "platformVersion": "eks.1",
        "tags": held_tags,
        "encryptionConfig": params.get("encryptionConfig"),
        "accessConfig": {
            "bootstrapClusterCreatorAdminPermissions": access.get("bootstrapClusterCreatorAdminPermissions", True),
            "authenticationMode": mode,
        },
        "upgradePolicy": {"supportType": (params.get("upgradePolicy") or {}).get("supportType") or "EXTENDED"},
        "deletionProtection": bool(params.get("deletionProtection")),
        "zonalShiftConfig": params.get("zonalShiftConfig"),
        "health": {"issues": []},
        "_token": token,
        "_asked": wanted,
        "_logs": enabled,
        "_enis": [],
        "_issuer": world_module.letters(32, "0123456789ABCDEF"),
    }
    table(world)[name] = one
    visibility.born("cluster", world.account, world.region, name)
    if mode != "CONFIG_MAP" and one["accessConfig"]["bootstrapClusterCreatorAdminPermissions"]:
        from . import eks_access

        eks_access.for_creator(world, one, f"arn:{world.partition}:iam::{world.account}:user/moto")
    clock.after(NETWORK, _network_up, world, one)
    clock.after(CREATION, _active, world, one)
    return {"cluster": view(one)}


def _network_up(world, one):
    """The group and the interfaces that EKS makes for a cluster."""
    if table(world).get(one["name"]) is not one or one["status"] == "DELETING":
        return
    config = one["resourcesVpcConfig"]
    if config["vpcId"] not in world.ec2.vpcs:
        one["status"] = "FAILED"
        return
    group_name = f"eks-cluster-sg-{one['name']}-{world_module.letters(10, '0123456789')}"
    group = world.ec2.create_security_group(
        group_name,
        "EKS created security group applied to ENI that is attached to EKS Control Plane master nodes, as well as any managed workloads.",
        vpc_id=config["vpcId"],
        force=True,
    )
    ec2.set_tags(
        world,
        group.id,
        {
            "Name": group_name,
            f"kubernetes.io/cluster/{one['name']}": "owned",
            "aws:eks:cluster-name": one["name"],
        },
    )
    from moto.ec2.models.security_groups import SecurityGroupRule

    group.ingress_rules.append(
        SecurityGroupRule(
            world.ec2, "-1", group.id, None, None, None, {"GroupId": group.id, "UserId": world.account}, is_egress=False
        )
    )
    config["clusterSecurityGroupId"] = group.id
    _stand(world, one)


def _stand(world, one):
    """Interfaces of the control plane, in two to four of the subnets."""
    config = one["resourcesVpcConfig"]
    for identifier in config["subnetIds"][:4]:
        subnet = network.subnet(world, identifier)
        if subnet is None:
            continue
        eni = interfaces.make(
            world,
            subnet,
            [config["clusterSecurityGroupId"], *config["securityGroupIds"]],
            f"Amazon EKS {one['name']}",
            requester_managed=True,
        )
        one["_enis"].append(eni.id)


def _active(world, one):
    if one["status"] != "CREATING":
        return
    one["status"] = "ACTIVE"
    issuer = one["_issuer"]
    one["endpoint"] = f"https://{issuer}.gr7.{world.region}.eks.amazonaws.com"
    one["certificateAuthority"] = {
        "data": base64.b64encode(b"-----BEGIN CERTIFICATE-----\nemulated " + one["name"].encode() + b"\n-----END CERTIFICATE-----\n").decode()
    }
    one["identity"] = {"oidc": {"issuer": f"https://oidc.eks.{world.region}.amazonaws.com/id/{issuer}"}}


@app.handles("eks", "DescribeCluster")
def describe(call):
    return {"cluster": view(find(call.world, call.get("name")))}


@app.handles("eks", "ListClusters")
def list_clusters(call):
    world = call.world
    names = [name for name in table(world) if not visibility.fresh("cluster", world.account, world.region, name)]
    return page(call, names, "clusters")


@app.handles("eks", "DeleteCluster")
def delete(call):
    world = call.world
    one = find(world, call.get("name"))
    name = one["name"]
    from . import eks_nodes

    if any(group["clusterName"] == name for group in eks_nodes.table(world).values()):
        raise in_use("Cluster has nodegroups attached", clusterName=name)
    if one["deletionProtection"]:
        raise refused(f"Cluster {name} has deletion protection enabled. Disable it before you delete the cluster.", clusterName=name)
    if one["status"] == "CREATING":
        raise in_use(f"Cannot delete because cluster {name} is being created", clusterName=name)
    busy = _busy(world, name)
    if busy:
        raise in_use(f"Cannot delete because cluster {name} currently has an update in progress", clusterName=name)
    if one["status"] != "DELETING":
        one["status"] = "DELETING"
        clock.after(DELETION, _gone, world, one)
    return {"cluster": view(one)}


def _gone(world, one):
    from . import eks_access, eks_addons

    name = one["name"]
    for eni in one["_enis"]:
        interfaces.remove(world, eni)
    group = security_groups.all_groups(world).get(one["resourcesVpcConfig"].get("clusterSecurityGroupId"))
    # What still uses the group keeps it: EKS leaves it behind then.
    if group is not None and not security_groups.uses(world, group.id):
        security_groups.remove(world, group)
    table(world).pop(name, None)
    visibility.gone("cluster", world.account, world.region, name)
    for held in (eks_addons.table(world), eks_access.entries(world), eks_access.identities(world)):
        for key in [key for key, inner in held.items() if inner["clusterName"] == name]:
            del held[key]
    for key in [key for key, inner in updates(world).items() if inner["_cluster"] == name]:
        del updates(world)[key]


# Updates.


def _busy(world, cluster):
    """An update of the cluster itself that is under way."""
    for one in updates(world).values():
        if one["_cluster"] == cluster and one["_what"] == "cluster" and one["status"] == "InProgress":
            return one
    return None


def begin_update(world, cluster, what, kind, params, seconds, done):
    """A new update; `done` is called when its time has come and may give errors."""
    identifier = "-".join(world_module.letters(length, "0123456789abcdef") for length in (8, 4, 4, 4, 12))
    one = {
        "id": identifier,
        "status": "InProgress",
        "type": kind,
        "params": [{"type": name, "value": value if isinstance(value, str) else str(value)} for name, value in params],
        "createdAt": clock.now(),
        "errors": [],
        "_cluster": cluster,
        "_what": what,
    }
    updates(world)[identifier] = one
    clock.after(seconds, _finish, one, done)
    return one


def _finish(one, done):
    again = done()
    if isinstance(again, (int, float)) and not isinstance(again, bool):
        clock.after(again, _finish, one, done)
        return
    one["status"] = "Failed" if again else "Successful"
    one["errors"] = again or []


def _known_token(world, call):
    token = call.get("clientRequestToken")
    held = world.table("update-tokens")
    return held.get((call.action, token)) if token else None


def _keep_token(world, call, one):
    if call.get("clientRequestToken"):
        world.table("update-tokens")[(call.action, call.get("clientRequestToken"))] = one


@app.handles("eks", "UpdateClusterConfig")
def update_config(call):
    world = call.world
    known = _known_token(world, call)
    if known:
        return {"update": view(known)}
    one = find(world, call.get("name"))
    name = one["name"]
    kinds = [
        member
        for member in ("resourcesVpcConfig", "logging", "accessConfig", "upgradePolicy", "zonalShiftConfig", "deletionProtection", "computeConfig")
        if call.get(member) is not None
    ]
    if not kinds:
        raise invalid("No changes needed for the logging config provided", clusterName=name)
    if len(kinds) > 1:
        raise invalid("Only one type of update can be allowed.", clusterName=name)
    if one["status"] != "ACTIVE":
        raise in_use(f"Cannot {'VpcConfigUpdate' if kinds[0] == 'resourcesVpcConfig' else 'update'} because cluster {name} currently has update in progress" if one["status"] == "UPDATING" else f"Cluster {name} is in status {one['status']}", clusterName=name)
    busy = _busy(world, name)
    if busy:
        raise in_use(f"Cannot update because cluster {name} currently has update {busy['id']} in progress", clusterName=name)
    kind = kinds[0]
    given = call.get(kind)
    config = one["resourcesVpcConfig"]
    params = []
    if kind == "resourcesVpcConfig":
        moves = {member: given[member] for member in ("subnetIds", "securityGroupIds") if given.get(member) is not None}
        reach = {member: given[member] for member in ("endpointPublicAccess", "endpointPrivateAccess", "publicAccessCidrs") if given.get(member) is not None}
        if moves and reach:
            raise invalid("Only one type of update can be allowed.", clusterName=name)
        changed = {**config, **moves, **reach}
        if not changed["endpointPublicAccess"] and not changed["endpointPrivateAccess"]:
            raise invalid("Private and public endpoint access cannot be false", clusterName=name)
        if changed == config:
            raise invalid(
                "Cluster is already at the desired configuration with endpointPrivateAccess: "
                f"{str(config['endpointPrivateAccess']).lower()} , endpointPublicAccess: {str(config['endpointPublicAccess']).lower()}, and "
                f"Public Endpoint Restrictions: {config['publicAccessCidrs']}",
                clusterName=name,
            )
        if moves:
            found = _network(world, changed, name)
            if found[0].vpc_id != config["vpcId"]:
                raise invalid("Subnets must belong to the VPC of the cluster", clusterName=name)
        type_name = "VpcConfigUpdate" if moves else "EndpointAccessUpdate"
        for member, label in (("endpointPrivateAccess", "EndpointPrivateAccess"), ("endpointPublicAccess", "EndpointPublicAccess"), ("publicAccessCidrs", "PublicAccessCidrs"), ("subnetIds", "Subnets"), ("securityGroupIds", "SecurityGroups")):
            if given.get(member) is not None:
                value = given[member]
                params.append((label, str(value).lower() if isinstance(value, bool) else str(list(value)).replace("'", '"')))

        def change():
            config.update(moves)
            config.update(reach)
            if not config["endpointPublicAccess"]:
                config["publicAccessCidrs"] = []
            elif not config["publicAccessCidrs"]:
                config["publicAccessCidrs"] = ["0.0.0.0/0"]
            if moves:
                for eni in one["_enis"]:
                    interfaces.remove(world, eni)
                one["_enis"] = []
                _stand(world, one)

    elif kind == "logging":
        wanted = set(one["_logs"])
        for entry in given.get("clusterLogging") or []:
            for log in entry.get("types") or []:
                if log not in LOG_TYPES:
                    raise invalid(f"Invalid log type: {log}", clusterName=name)
                (wanted.add if entry.get("enabled") else wanted.discard)(log)
        if wanted == one["_logs"]:
            raise invalid("No changes needed for the logging config provided", clusterName=name)
        type_name = "LoggingUpdate"
        params.append(("ClusterLogging", str(logging_view(wanted)).replace("'", '"')))

        def change():
            one["_logs"] = wanted
            one["logging"] = logging_view(wanted)

    elif kind == "accessConfig":
        order = ("CONFIG_MAP", "API_AND_CONFIG_MAP", "API")
        mode = given.get("authenticationMode")
        current = one["accessConfig"]["authenticationMode"]
        if mode not in order:
            raise invalid(f"Invalid authenticationMode: {mode}", clusterName=name)
        if mode == current:
            raise invalid(f"Cluster is already at the desired authentication mode {mode}", clusterName=name)
        if order.index(mode) < order.index(current) or (current, mode) == ("CONFIG_MAP", "API"):
            raise invalid(f"Unsupported authentication mode update from {current} to {mode}", clusterName=name)
        type_name = "AccessConfigUpdate"
        params.append(("AuthenticationMode", mode))

        def change():
            one["accessConfig"]["authenticationMode"] = mode

    elif kind == "deletionProtection":
        type_name = "DeletionProtectionUpdate"
        if bool(given) == one["deletionProtection"]:
            raise invalid("Deletion protection is already as wanted", clusterName=name)
        # Holds at once.
        one["deletionProtection"] = bool(given)

        def change():
            pass

    else:
        type_name = {"upgradePolicy": "UpgradePolicyUpdate", "zonalShiftConfig": "ZonalShiftConfigUpdate", "computeConfig": "AutoModeUpdate"}[kind]
        if one.get(kind) == given:
            raise invalid("Cluster is already at the desired configuration", clusterName=name)

        def change():
            one[kind] = given

    slow = type_name in ("EndpointAccessUpdate", "VpcConfigUpdate", "LoggingUpdate", "AccessConfigUpdate")
    if slow:
        one["status"] = "UPDATING"

    def done():
        change()
        if one["status"] == "UPDATING":
            one["status"] = "ACTIVE"

    update = begin_update(world, name, "cluster", type_name, params, UPDATE if slow else 10, done)
    _keep_token(world, call, update)
    return {"update": view(update)}


@app.handles("eks", "AssociateEncryptionConfig")
def encrypt(call):
    world = call.world
    one = find(world, call.get("clusterName"))
    if one.get("encryptionConfig"):
        raise refused("Encryption config is already associated with the cluster", clusterName=one["name"])
    config = call.get("encryptionConfig")

    def done():
        one["encryptionConfig"] = config

    update = begin_update(world, one["name"], "cluster", "AssociateEncryptionConfig", [("EncryptionConfig", str(config).replace("'", '"'))], UPDATE, done)
    return {"update": view(update)}


@app.handles("eks", "UpdateClusterVersion")
def update_version(call):
    world = call.world
    known = _known_token(world, call)
    if known:
        return {"update": view(known)}
    one = find(world, call.get("name"))
    name, wanted = one["name"], call.get("version") or ""
    if one["status"] != "ACTIVE" or _busy(world, name):
        raise in_use(f"Cannot VersionUpdate because cluster {name} currently has an update in progress or is in status {one['status']}", clusterName=name)
    if wanted not in VERSIONS:
        raise invalid(f"unsupported Kubernetes version {wanted}", clusterName=name)
    if wanted == one["version"]:
        raise invalid(f"Cluster already at target version {wanted}", clusterName=name)
    if VERSIONS.index(wanted) != VERSIONS.index(one["version"]) + 1:
        raise invalid(f"Unsupported Kubernetes minor version update from {one['version']} to {wanted}", clusterName=name)
    from . import eks_nodes

    for group in eks_nodes.table(world).values():
        if group["clusterName"] == name and VERSIONS.index(wanted) - VERSIONS.index(group["version"]) > 3:
            raise refused(f"Nodegroups {group['nodegroupName']} must be updated to match cluster version {one['version']} before updating cluster version", clusterName=name)
    one["status"] = "UPDATING"

    def done():
        one["version"] = wanted
        one["platformVersion"] = "eks.1"
        if one["status"] == "UPDATING":
            one["status"] = "ACTIVE"

    update = begin_update(world, name, "cluster", "VersionUpdate", [("Version", wanted), ("PlatformVersion", "eks.1")], VERSION_UPDATE, done)
    _keep_token(world, call, update)
    return {"update": view(update)}


def _updates_of(call):
    what = "cluster"
    if call.get("nodegroupName"):
        what = ("nodegroup", call.get("nodegroupName"))
    elif call.get("addonName"):
        what = ("addon", call.get("addonName"))
    find(call.world, call.get("name"))
    return [one for one in updates(call.world).values() if one["_cluster"] == call.get("name") and one["_what"] == what]


@app.handles("eks", "DescribeUpdate")
def describe_update(call):
    for one in _updates_of(call):
        if one["id"] == call.get("updateId"):
            return {"update": view(one)}
    raise missing(f"No update found for ID: {call.get('updateId')}", clusterName=call.get("name"))


@app.handles("eks", "ListUpdates")
def list_updates(call):
    return page(call, [one["id"] for one in _updates_of(call)], "updateIds")


@app.handles("eks", "DescribeClusterVersions")
def versions(call):
    rows = [
        {
            "clusterVersion": version,
            "clusterType": "eks",
            "defaultPlatformVersion": "eks.1",
            "defaultVersion": version == DEFAULT_VERSION,
            "status": "standard-support" if version in STANDARD_SUPPORT else "extended-support",
            "versionStatus": "STANDARD_SUPPORT" if version in STANDARD_SUPPORT else "EXTENDED_SUPPORT",
            "kubernetesPatchVersion": f"{version}.1",
        }
        for version in reversed(VERSIONS)
    ]
    wanted = call.get("clusterVersions")
    if wanted:
        rows = [row for row in rows if row["clusterVersion"] in wanted]
    if call.get("defaultOnly"):
        rows = [row for row in rows if row["defaultVersion"]]
    return page(call, rows, "clusterVersions")


# Tags, by ARN, of everything that EKS has.


def by_arn(world, arn):
    from . import eks_access, eks_addons, eks_nodes

    for held, member in (
        (table(world), "arn"),
        (eks_nodes.table(world), "nodegroupArn"),
        (eks_addons.table(world), "addonArn"),
        (eks_access.entries(world), "accessEntryArn"),
        (eks_access.identities(world), "associationArn"),
    ):
        for one in held.values():
            if one[member] == arn:
                return one
    raise Fault("NotFoundException", f"Resource not found: {arn}", 404)


@app.handles("eks", "TagResource")
def tag(call):
    given = check_tags(call.get("tags"))
    by_arn(call.world, call.get("resourceArn"))["tags"].update(given)
    return {}


@app.handles("eks", "UntagResource")
def untag(call):
    one = by_arn(call.world, call.get("resourceArn"))
    for key in call.get("tagKeys") or []:
        one["tags"].pop(key, None)
    return {}


@app.handles("eks", "ListTagsForResource")
def list_tags(call):
    return {"tags": dict(by_arn(call.world, call.get("resourceArn"))["tags"])}


@dump.source
def rows(world):
    for one in table(world).values():
        yield "eks", "cluster", one["arn"], one["name"], dict(one["tags"])
