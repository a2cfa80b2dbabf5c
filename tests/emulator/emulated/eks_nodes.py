"""EKS managed node groups.

https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateNodegroup.html,
https://docs.aws.amazon.com/eks/latest/userguide/launch-templates.html (what a launch template may say, and what then not the
node group), https://docs.aws.amazon.com/eks/latest/userguide/capacity-blocks-mng.html. A node group is an Auto Scaling group
with real instances, a launch template (`eks-…`) and an instance profile that EKS makes; all go with it. It is `CREATING`, then
`ACTIVE`, or `CREATE_FAILED` with an issue that says why instances could not be started (`AsgInstanceLaunchFailures`). Changes
are updates (DescribeUpdate). EKS lets the nodes' role in by itself (an access entry of the type EC2_LINUX).

moto's node groups are active at once, whatever role, template and type they name, and start nothing.
"""

import re

from . import app, clock, dump, ec2, eks, instances, launch_templates, network, offerings, parameters, policies, quotas, scaling, tokens, visibility
from . import eks_access
from . import world as world_module
from .wire import Fault

READY = 120
GIVE_UP = 300
CHECK = 15
UPDATE = 120
CONFIG = 20

ARM, X86 = "arm64", "x86_64"
AMI_TYPES = {
    "AL2023_x86_64_STANDARD": (X86, "standard"),
    "AL2023_ARM_64_STANDARD": (ARM, "standard"),
    "AL2023_x86_64_NEURON": (X86, "neuron"),
    "AL2023_x86_64_NVIDIA": (X86, "nvidia"),
    "AL2023_ARM_64_NVIDIA": (ARM, "nvidia"),
    "BOTTLEROCKET_x86_64": (X86, None),
    "BOTTLEROCKET_ARM_64": (ARM, None),
    "BOTTLEROCKET_x86_64_NVIDIA": (X86, None),
    "BOTTLEROCKET_ARM_64_NVIDIA": (ARM, None),
    "BOTTLEROCKET_x86_64_FIPS": (X86, None),
    "BOTTLEROCKET_ARM_64_FIPS": (ARM, None),
    "BOTTLEROCKET_x86_64_NVIDIA_FIPS": (X86, None),
    "BOTTLEROCKET_ARM_64_NVIDIA_FIPS": (ARM, None),
    "AL2_x86_64": (X86, None),
    "AL2_x86_64_GPU": (X86, None),
    "AL2_ARM_64": (ARM, None),
}
EFFECTS = ("NO_SCHEDULE", "NO_EXECUTE", "PREFER_NO_SCHEDULE")


def table(world):
    return world.table("nodegroups")


def find(world, cluster, name):
    eks.find(world, cluster)
    one = table(world).get((cluster, name))
    if one is None or visibility.fresh("nodegroup", cluster, name):
        raise eks.missing(f"No node group found for name: {name}.", clusterName=cluster, nodegroupName=name)
    return one


def group_of(world, one):
    return scaling.table(world).get(one["_group"])


def schedulable(world, cluster):
    """How many nodes of a cluster take pods without tolerations."""
    count = 0
    for one in table(world).values():
        if one["clusterName"] != cluster or any(taint["effect"] != "PREFER_NO_SCHEDULE" for taint in one["taints"] or []):
            continue
        group = group_of(world, one)
        if group is not None:
            count += sum(1 for member in group.members.values() if member["LifecycleState"] == "InService")
    return count


def release(version):
    return f"{version}.{2 + eks.VERSIONS.index(version) % 3}-20251112"


def _scaling(given, cluster, name):
    given = given or {}
    least = given.get("minSize", 1 if not given else 0)
    most = given.get("maxSize", 2)
    desired = given.get("desiredSize", max(least, min(2, most)))
    named = {"clusterName": cluster, "nodegroupName": name}
    if most < 1:
        raise eks.invalid("Maximum size must be at least 1", **named)
    if least < 0 or least > most:
        raise eks.invalid(f"Minimum capacity {least} can't be greater than maximum size {most}", **named)
    if desired < least:
        raise eks.invalid(f"Minimum capacity {least} can't be greater than desired size {desired}", **named)
    if desired > most:
        raise eks.invalid(f"desired capacity {desired} can't be greater than max size {most}", **named)
    return {"minSize": least, "maxSize": most, "desiredSize": desired}


def _taints(given, named):
    seen = set()
    for taint in given or []:
        if taint.get("effect") not in EFFECTS:
            raise eks.invalid(f"Invalid taint effect: {taint.get('effect')}", **named)
        key = (taint.get("key"), taint["effect"])
        if key in seen:
            raise eks.invalid(f"Duplicate taints: {key}", **named)
        seen.add(key)
    if len(given or []) > 50:
        raise eks.invalid("At most 50 taints", **named)
    return [dict(taint) for taint in given or []]


def _labels(given, named):
    for key in given or {}:
        if key.startswith(("eks.amazonaws.com/", "kubernetes.io/")):
            raise eks.invalid(f"Label cannot contain reserved prefixes [kubernetes.io/, k8s.io/, eks.amazonaws.com/]: {key}", **named)
    return dict(given or {})


def _update_config(given, named):
    if not given:
        return {"maxUnavailable": 1}
    count, percentage = given.get("maxUnavailable"), given.get("maxUnavailablePercentage")
    if count is not None and percentage is not None:
        raise eks.invalid("Only one of maxUnavailable and maxUnavailablePercentage can be given", **named)
    if count is not None and not 1 <= count <= 100:
        raise eks.invalid("maxUnavailable must be between 1 and 100", **named)
    return {name: value for name, value in given.items() if value is not None} or {"maxUnavailable": 1}


def template_of(world, given, named):
    """The launch template that a node group names, and its version; checked as EKS does."""
    if bool(given.get("id")) == bool(given.get("name")):
        raise eks.invalid("You must specify either the launch template name or the launch template ID, but not both.", **named)
    try:
        template = launch_templates.find(world, given.get("id"), given.get("name"))
        version = launch_templates.version_of(template, given.get("version") or "$Default")
    except Fault as fault:
        raise eks.invalid(f"Launch template was not found or its version does not exist: {fault.message}", **named) from None
    data = version["data"]
    if data.get("IamInstanceProfile"):
        raise eks.invalid("Launch template should not specify an instance profile. The noderole in your request will be used to construct an instance profile.", **named)
    if data.get("InstanceInitiatedShutdownBehavior"):
        raise eks.invalid("Launch template should not specify an instance initiated shutdown behavior.", **named)
    if (data.get("HibernationOptions") or {}).get("Configured"):
        raise eks.invalid("Launch template should not specify hibernation options.", **named)
    if any(nic.get("SubnetId") for nic in data.get("NetworkInterfaces") or []):
        raise eks.invalid("Launch template should not specify a subnet in its network interfaces. Subnets are given in the node group.", **named)
    if data.get("SecurityGroups"):
        raise eks.invalid("Launch template should specify security groups by ID.", **named)
    if data.get("NetworkInterfaces") and data.get("SecurityGroupIds"):
        raise eks.invalid("Security groups cannot be specified both at instance level and in network interfaces of the launch template.", **named)
    market = (data.get("InstanceMarketOptions") or {}).get("MarketType")
    if market == "spot":
        raise eks.invalid("Launch template should not request spot instances: use the capacity type of the node group.", **named)
    return template, version


def check_types(world, types, ami, subnets, named):
    for kind in types:
        if kind not in offerings.types():
            raise eks.invalid(f"The following supplied instance types do not exist: [{kind}]", **named)
        architectures = offerings.types()[kind]["ProcessorInfo"]["SupportedArchitectures"]
        if ami in AMI_TYPES and AMI_TYPES[ami][0] not in architectures:
            raise eks.invalid(f"[{kind}] is not a valid instance type for requested amiType {ami}", **named)
    zones = {network.subnet(world, identifier).availability_zone for identifier in subnets}
    if types and not any(offerings.offered(world, kind, zone) for kind in types for zone in zones):
        raise eks.invalid(
            f"Your requested instance type(s) {types} are not supported in your requested Availability Zone(s) {sorted(zones)}.", **named
        )


@app.handles("eks", "CreateNodegroup")
def create(call):
    world = call.world
    params = call.params
    cluster = eks.find(world, params.get("clusterName"))
    name = params.get("nodegroupName") or ""
    named = {"clusterName": cluster["name"], "nodegroupName": name}
    token, wanted = params.get("clientRequestToken"), tokens.digest(params, "clientRequestToken")
    known = table(world).get((cluster["name"], name))
    if known is not None:
        if token and (known["_token"], known["_asked"]) == (token, wanted):
            return {"nodegroup": view(world, known)}
        raise eks.in_use(f"NodeGroup already exists with name {name} and cluster name {cluster['name']}", **named)
    if cluster["status"] not in ("ACTIVE", "UPDATING"):
        raise eks.refused(f"Cluster '{cluster['name']}' is not in ACTIVE status", **named)
    if not re.fullmatch(r"[0-9A-Za-z][A-Za-z0-9\-_]{0,62}", name):
        raise eks.invalid("The node group name must match ^[0-9A-Za-z][A-Za-z0-9-_]* and have at most 63 characters", **named)
    sizes = _scaling(params.get("scalingConfig"), cluster["name"], name)
    subnets = params.get("subnets") or []
    if not subnets:
        raise eks.invalid("Subnets must be specified", **named)
    for identifier in subnets:
        subnet = network.subnet(world, identifier)
        if subnet is None or visibility.fresh(identifier):
            raise eks.invalid(f"The following supplied subnets do not exist: [{identifier}]", **named)
        if subnet.vpc_id != cluster["resourcesVpcConfig"]["vpcId"]:
            raise eks.invalid(f"Subnet {identifier} is not in the VPC of the cluster", **named)
    role = policies.role(world, params.get("nodeRole") or "")
    if role is None:
        raise eks.invalid(
            f"The role with name {(params.get('nodeRole') or '').rpartition('/')[2]} cannot be found. (Service: AmazonIdentityManagement; Status Code: 404; Error Code: NoSuchEntity) does not exist",
            **named,
        )
    if not policies.trusts(role, "ec2.amazonaws.com"):
        raise eks.invalid(
            f"Following required service principals [ec2.amazonaws.com] were not found in the trust relationships of nodeRole {role.arn}", **named
        )
    if not role.managed_policies and not role.policies:
        raise eks.invalid(
            "The provided role doesn't have the Amazon EKS Managed Policies associated with it. Please ensure the following "
            "policies [arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy, arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryReadOnly] are attached ",
            **named,
        )
    market = params.get("capacityType") or "ON_DEMAND"
    if market not in ("ON_DEMAND", "SPOT", "CAPACITY_BLOCK"):
        raise eks.invalid(f"Invalid capacityType: {market}", **named)
    ami = params.get("amiType")
    if ami is not None and ami not in AMI_TYPES and ami != "CUSTOM":
        raise eks.invalid(f"Invalid amiType: {ami}", **named)
    types = list(params.get("instanceTypes") or [])
    given = params.get("launchTemplate")
    template = version = None
    custom = False
    if given:
        template, version = template_of(world, given, named)
        data = version["data"]
        if params.get("diskSize") is not None:
            raise eks.invalid("Disk size must be specified within the launch template.", **named)
        if params.get("remoteAccess") is not None:
            raise eks.invalid("Remote access configuration cannot be specified with a launch template.", **named)
        if data.get("InstanceType") and types:
            raise eks.invalid("Instance types must be specified in either the launch template or the node group request, not both.", **named)
        custom = bool(data.get("ImageId"))
        if custom and ami not in (None, "CUSTOM"):
            raise eks.invalid("You cannot specify an AMI Type other than CUSTOM, when specifying an image id in your launch template.", **named)
        if custom and (params.get("version") or params.get("releaseVersion")):
            raise eks.invalid("You cannot specify the field releaseVersion or version when specifying an image id in your launch template.", **named)
    if ami == "CUSTOM" and not custom:
        raise eks.invalid("The amiType CUSTOM needs an image id in the launch template.", **named)
    if custom:
        ami = "CUSTOM"
    if ami is None:
        ami = "AL2023_x86_64_STANDARD"
    effective = types or ([version["data"]["InstanceType"]] if version and version["data"].get("InstanceType") else ["t3.medium"])
    check_types(world, effective, ami, subnets, named)
    if version and version["data"].get("NetworkInterfaces"):
        for kind in effective:
            try:
                instances.check_interfaces({"NetworkInterfaces": version["data"]["NetworkInterfaces"]}, offerings.types()[kind])
            except Fault as fault:
                raise eks.invalid(f"Launch template is not valid for {kind}: {fault.message}", **named) from None
    block = version is not None and (version["data"].get("InstanceMarketOptions") or {}).get("MarketType") == "capacity-block"
    if market == "CAPACITY_BLOCK":
        target = (((version or {}).get("data") or {}).get("CapacityReservationSpecification") or {}).get("CapacityReservationTarget") or {}
        if not block or not target.get("CapacityReservationId"):
            raise eks.invalid(
                "Node groups of the capacity type CAPACITY_BLOCK need a launch template with the market type capacity-block and a target capacity reservation.",
                **named,
            )
        if types:
            raise eks.invalid("The instance type of a CAPACITY_BLOCK node group must be specified in its launch template.", **named)
    elif block:
        raise eks.invalid("A launch template with the market type capacity-block needs the capacity type CAPACITY_BLOCK.", **named)
    kubernetes = params.get("version") or cluster["version"]
    if kubernetes not in eks.VERSIONS or eks.VERSIONS.index(kubernetes) > eks.VERSIONS.index(cluster["version"]):
        raise eks.invalid(f"Requested Kubernetes version {kubernetes} is not supported by the cluster's version {cluster['version']}", **named)
    if sum(1 for one in table(world).values() if one["clusterName"] == cluster["name"]) >= quotas.limit(world, "L-6D54EA21"):
        raise Fault("ResourceLimitExceededException", "Nodegroup limit exceeded for the cluster", 400, **named)
    if sizes["maxSize"] > quotas.limit(world, "L-BD136A63"):
        raise eks.invalid(f"Nodes per node group exceed the limit of {int(quotas.limit(world, 'L-BD136A63'))}", **named)
    repair = params.get("nodeRepairConfig")
    for override in (repair or {}).get("nodeRepairConfigOverrides") or []:
        if any(override.get(field) is None for field in ("nodeMonitoringCondition", "nodeUnhealthyReason", "minRepairWaitTimeMins", "repairAction")):
            raise eks.invalid("All fields of a node repair override must be specified", **named)
    one = {
        "nodegroupName": name,
        "clusterName": cluster["name"],
        "version": kubernetes,
        "releaseVersion": params.get("releaseVersion") or (release(kubernetes) if not custom else None),
        "createdAt": clock.now(),
        "modifiedAt": clock.now(),
        "status": "CREATING",
        "capacityType": market,
        "scalingConfig": sizes,
        "instanceTypes": types or (None if version and version["data"].get("InstanceType") else ["t3.medium"]),
        "subnets": list(subnets),
        "remoteAccess": params.get("remoteAccess"),
        "amiType": ami,
        "nodeRole": params.get("nodeRole"),
        "labels": _labels(params.get("labels"), named),
        "taints": _taints(params.get("taints"), named),
        "resources": {"autoScalingGroups": []},
        "diskSize": None if given else params.get("diskSize") or 20,
        "health": {"issues": []},
        "updateConfig": _update_config(params.get("updateConfig"), named),
        "nodeRepairConfig": repair or {"enabled": False},
        "launchTemplate": {"name": template.name, "version": str(version["number"]), "id": template.id} if template else None,
        "tags": eks.check_tags(params.get("tags")),
        "_token": token,
        "_asked": wanted,
        "_types": effective,
    }
    identifier = "-".join(world_module.letters(length, "0123456789abcdef") for length in (8, 4, 4, 4, 12))
    one["_uuid"] = identifier
    one["nodegroupArn"] = world.arn("eks", f"nodegroup/{cluster['name']}/{name}/{identifier}")
    one["_group"] = f"eks-{name}-{identifier}"
    table(world)[(cluster["name"], name)] = one
    visibility.born("nodegroup", cluster["name"], name)
    policies.linked(world, "eks-nodegroup.amazonaws.com")
    policies.linked(world, "autoscaling.amazonaws.com")
    if market == "SPOT":
        policies.linked(world, "spot.amazonaws.com")
    eks_access.for_nodes(world, cluster, role.arn)
    clock.after(5, _begin, world, one)
    return {"nodegroup": view(world, one)}


def _own_tags(one):
    return {"eks:cluster-name": one["clusterName"], "eks:nodegroup-name": one["nodegroupName"]}


def _begin(world, one):
    """What EKS makes for a node group: profile, launch template, Auto Scaling group."""
    if one["status"] != "CREATING":
        return
    profile = f"eks-{one['_uuid']}"
    role_name = one["nodeRole"].rpartition("/")[2]
    world.iam.create_instance_profile(profile, "/", [], [{"Key": key, "Value": value} for key, value in _own_tags(one).items()])
    world.iam.add_role_to_instance_profile(profile, role_name)
    template = launch_templates.Template(world, f"eks-{one['_uuid']}")
    template.add(_data(world, one), "EKS managed node group")
    launch_templates.table(world)[template.id] = template
    ec2.set_tags(world, template.id, _own_tags(one))
    one["_template"] = template.id
    tags = {
        **{key: {"Value": value, "PropagateAtLaunch": True} for key, value in _own_tags(one).items()},
        f"kubernetes.io/cluster/{one['clusterName']}": {"Value": "owned", "PropagateAtLaunch": True},
        f"k8s.io/cluster-autoscaler/{one['clusterName']}": {"Value": "owned", "PropagateAtLaunch": False},
        "k8s.io/cluster-autoscaler/enabled": {"Value": "true", "PropagateAtLaunch": False},
    }
    sizes = one["scalingConfig"]
    group = scaling.begin(world, one["_group"], sizes["minSize"], sizes["maxSize"], sizes["desiredSize"], one["subnets"], tags)
    group.template = {"LaunchTemplateId": template.id, "LaunchTemplateName": template.name, "Version": "$Latest"}
    group.overrides = list(one["_types"])
    group.policies = ["AllocationStrategy", "OldestLaunchTemplate", "OldestInstance"]
    group.rebalance = True
    group.launch = lambda kind: {**_launch(world, one), "InstanceType": kind}
    one["resources"] = {"autoScalingGroups": [{"name": group.name}]}
    scaling.wake(group)
    one["_began"] = clock.now()
    clock.after(READY, _check, world, one, GIVE_UP)


def _launch(world, one):
    return {"LaunchTemplate": {"LaunchTemplateId": one["_template"], "Version": "$Latest"}}


def _data(world, one):
    """What EKS launches: the caller's template, with image, profile, groups and tags of its own."""
    data = {}
    cluster = eks.table(world)[one["clusterName"]]
    if one["launchTemplate"]:
        template = launch_templates.table(world).get(one["launchTemplate"]["id"])
        version = template and template.version(one["launchTemplate"]["version"])
        data = dict(version["data"]) if version else {}
    if not data.get("ImageId"):
        data["ImageId"] = parameters.node_image(world, one["amiType"], one["version"])
    data.setdefault("MetadataOptions", {"HttpPutResponseHopLimit": 2, "HttpTokens": "required"})
    if not data.get("NetworkInterfaces") and not data.get("SecurityGroupIds"):
        data["SecurityGroupIds"] = [cluster["resourcesVpcConfig"]["clusterSecurityGroupId"]]
    elif data.get("NetworkInterfaces") and not any(nic.get("Groups") for nic in data["NetworkInterfaces"]):
        data["NetworkInterfaces"] = [
            {**nic, "Groups": [cluster["resourcesVpcConfig"]["clusterSecurityGroupId"]]} for nic in data["NetworkInterfaces"]
        ]
    data["IamInstanceProfile"] = {"Name": f"eks-{one['_uuid']}"}
    data["TagSpecifications"] = [
        *(data.get("TagSpecifications") or []),
        {"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in _own_tags(one).items()]},
    ]
    if one["capacityType"] == "SPOT":
        data["InstanceMarketOptions"] = {"MarketType": "spot"}
    data.pop("InstanceType", None)
    return data


def _issues(world, one):
    """Why instances are missing, as EKS tells it."""
    group = group_of(world, one)
    failure = group.failure() if group is not None else None
    if failure is None:
        return []
    fault = getattr(group, "last_fault", None)
    code = fault.code if fault else "Unknown"
    kind = {"SPOT": "Spot", "CAPACITY_BLOCK": "Capacity Block"}.get(one["capacityType"], "On-Demand")
    issue = "InstanceLimitExceeded" if code in ("InstanceLimitExceeded",) else "InsufficientFreeAddresses" if code == "InsufficientFreeAddressesInSubnet" else "AsgInstanceLaunchFailures"
    return [
        {
            "code": issue,
            "message": f"Could not launch {kind} Instances. {code} - {failure['StatusMessage']}",
            "resourceIds": [group.name],
        }
    ]


def _check(world, one, left):
    if one["status"] != "CREATING":
        return
    group = group_of(world, one)
    if one["capacityType"] == "CAPACITY_BLOCK" or (group is not None and group.settled()):
        # Whether nodes of a capacity block join, EKS does not look at.
        one["status"] = "ACTIVE"
        one["health"] = {"issues": []}
        one["modifiedAt"] = clock.now()
        return
    one["health"] = {"issues": _issues(world, one)}
    if left <= 0 and one["health"]["issues"]:
        one["status"] = "CREATE_FAILED"
        return
    clock.after(CHECK, _check, world, one, left - CHECK)


def view(world, one):
    if one["status"] in ("ACTIVE", "DEGRADED"):
        group = group_of(world, one)
        issues = _issues(world, one) if group is not None and group.missing() > 0 and one["capacityType"] != "CAPACITY_BLOCK" else []
        one["health"] = {"issues": issues}
        if group is not None and one["status"] == "ACTIVE":
            # What others changed of the group, EKS shows.
            one["scalingConfig"]["desiredSize"] = group.desired
    return eks.view(one)


@app.handles("eks", "DescribeNodegroup")
def describe(call):
    return {"nodegroup": view(call.world, find(call.world, call.get("clusterName"), call.get("nodegroupName")))}


@app.handles("eks", "ListNodegroups")
def list_groups(call):
    eks.find(call.world, call.get("clusterName"))
    names = [
        name
        for cluster, name in table(call.world)
        if cluster == call.get("clusterName") and not visibility.fresh("nodegroup", cluster, name)
    ]
    return eks.page(call, names, "nodegroups")


@app.handles("eks", "DeleteNodegroup")
def delete(call):
    world = call.world
    one = find(world, call.get("clusterName"), call.get("nodegroupName"))
    if one["status"] == "UPDATING":
        raise eks.in_use(
            f"Nodegroup {one['nodegroupName']} cannot be deleted while it is being updated",
            clusterName=one["clusterName"],
            nodegroupName=one["nodegroupName"],
        )
    if one["status"] != "DELETING":
        one["status"] = "DELETING"
        scaling.remove(world, one["_group"])
        clock.after(60, _leaving, world, one)
    return {"nodegroup": eks.view(one)}


def _leaving(world, one):
    if one["_group"] in scaling.table(world):
        clock.after(CHECK, _leaving, world, one)
        return
    iam = world.iam
    profile = iam.instance_profiles.get(f"eks-{one['_uuid']}")
    if profile is not None:
        del iam.instance_profiles[f"eks-{one['_uuid']}"]
    if one.get("_template"):
        launch_templates.table(world).pop(one["_template"], None)
        ec2.forget(world, one["_template"])
    key = (one["clusterName"], one["nodegroupName"])
    table(world).pop(key, None)
    visibility.gone("nodegroup", *key)
    entry = eks_access.entries(world).get((one["clusterName"], one["nodeRole"]))
    if entry is not None and entry.get("_by_eks"):
        if not any(other["nodeRole"] == one["nodeRole"] and other["clusterName"] == one["clusterName"] for other in table(world).values()):
            del eks_access.entries(world)[(one["clusterName"], one["nodeRole"])]


def _may_update(world, call):
    one = find(world, call.get("clusterName"), call.get("nodegroupName"))
    named = {"clusterName": one["clusterName"], "nodegroupName": one["nodegroupName"]}
    if one["status"] not in ("ACTIVE", "DEGRADED"):
        raise eks.in_use(f"Nodegroup cannot be updated as it is currently not in Active State (it is {one['status']})", **named)
    return one, named


@app.handles("eks", "UpdateNodegroupConfig")
def update_config(call):
    world = call.world
    known = eks._known_token(world, call)
    if known:
        return {"update": eks.view(known)}
    one, named = _may_update(world, call)
    params = []
    sizes = None
    if call.get("scalingConfig") is not None:
        sizes = _scaling({**one["scalingConfig"], **call.get("scalingConfig")}, one["clusterName"], one["nodegroupName"])
        params += [("MinSize", sizes["minSize"]), ("MaxSize", sizes["maxSize"]), ("DesiredSize", sizes["desiredSize"])]
    labels = dict(one["labels"])
    change = call.get("labels") or {}
    labels.update(_labels(change.get("addOrUpdateLabels"), named))
    for key in change.get("removeLabels") or []:
        if key not in labels:
            raise eks.invalid(f"Label {key} does not exist in the nodegroup", **named)
        del labels[key]
    if change.get("addOrUpdateLabels"):
        params.append(("LabelsToAdd", str(change["addOrUpdateLabels"]).replace("'", '"')))
    if change.get("removeLabels"):
        params.append(("LabelsToRemove", str(change["removeLabels"]).replace("'", '"')))
    taints = {(taint.get("key"), taint["effect"]): taint for taint in one["taints"]}
    change = call.get("taints") or {}
    for taint in change.get("removeTaints") or []:
        if taints.pop((taint.get("key"), taint.get("effect")), None) is None:
            raise eks.invalid(f"Taint {taint} does not exist in the nodegroup", **named)
    for taint in change.get("addOrUpdateTaints") or []:
        taints[(taint.get("key"), taint.get("effect"))] = dict(taint)
    taints = _taints(list(taints.values()), named)
    if change.get("addOrUpdateTaints"):
        params.append(("TaintsToAdd", str(change["addOrUpdateTaints"]).replace("'", '"')))
    if change.get("removeTaints"):
        params.append(("TaintsToRemove", str(change["removeTaints"]).replace("'", '"')))
    settings_ = _update_config(call.get("updateConfig"), named) if call.get("updateConfig") is not None else one["updateConfig"]
    if call.get("updateConfig") is not None and settings_.get("maxUnavailable"):
        params.append(("MaxUnavailable", settings_["maxUnavailable"]))
    repair = call.get("nodeRepairConfig")
    if repair is not None:
        params.append(("NodeRepairEnabled", str(bool(repair.get("enabled"))).lower()))
    if not params:
        raise eks.invalid("No changes were given", **named)
    one["status"] = "UPDATING"
    if sizes:
        group = group_of(world, one)
        if group is not None:
            group.least, group.most, group.desired = sizes["minSize"], sizes["maxSize"], sizes["desiredSize"]
            scaling.wake(group)

    def done():
        one["labels"], one["taints"], one["updateConfig"] = labels, taints, settings_
        if sizes:
            one["scalingConfig"] = sizes
        if repair is not None:
            one["nodeRepairConfig"] = repair
        one["modifiedAt"] = clock.now()
        if one["status"] == "UPDATING":
            one["status"] = "ACTIVE"

    made = eks.begin_update(world, one["clusterName"], ("nodegroup", one["nodegroupName"]), "ConfigUpdate", params, CONFIG, done)
    eks._keep_token(world, call, made)
    return {"update": eks.view(made)}


@app.handles("eks", "UpdateNodegroupVersion")
def update_version(call):
    world = call.world
    known = eks._known_token(world, call)
    if known:
        return {"update": eks.view(known)}
    one, named = _may_update(world, call)
    cluster = eks.find(world, one["clusterName"])
    params = []
    changed = {}
    given = call.get("launchTemplate")
    if given:
        if not one["launchTemplate"]:
            raise eks.invalid("You cannot add a launch template to a node group that was made without one.", **named)
        template, version = template_of(world, given, named)
        if template.id != one["launchTemplate"]["id"]:
            raise eks.invalid("Launch template of a node group cannot be replaced by another; give another version of it.", **named)
        held = launch_templates.table(world)[template.id].version(one["launchTemplate"]["version"])
        if held and bool(held["data"].get("ImageId")) != bool(version["data"].get("ImageId")):
            raise eks.invalid("You cannot change between a custom image and one of EKS.", **named)
        if held and held["data"].get("InstanceType") != version["data"].get("InstanceType") and one["instanceTypes"]:
            raise eks.invalid("Instance types cannot move between the node group and its launch template.", **named)
        changed["launchTemplate"] = {"name": template.name, "version": str(version["number"]), "id": template.id}
        if version["data"].get("InstanceType"):
            changed["_types"] = [version["data"]["InstanceType"]]
        params += [("LaunchTemplateName", template.name), ("LaunchTemplateVersion", version["number"])]
    kubernetes = call.get("version")
    if one["amiType"] == "CUSTOM" and (kubernetes or call.get("releaseVersion")):
        raise eks.invalid("You cannot specify the field releaseVersion or version when specifying an image id in your launch template.", **named)
    if kubernetes or (not given and one["amiType"] != "CUSTOM"):
        kubernetes = kubernetes or cluster["version"]
        if kubernetes not in eks.VERSIONS or eks.VERSIONS.index(kubernetes) > eks.VERSIONS.index(cluster["version"]):
            raise eks.invalid(f"Requested Kubernetes version {kubernetes} is newer than the cluster's {cluster['version']}", **named)
        if eks.VERSIONS.index(kubernetes) < eks.VERSIONS.index(one["version"]):
            raise eks.invalid("Nodegroup Kubernetes version cannot go back", **named)
        changed["version"] = kubernetes
        changed["releaseVersion"] = call.get("releaseVersion") or release(kubernetes)
        params += [("Version", kubernetes), ("ReleaseVersion", changed["releaseVersion"])]
    elif call.get("releaseVersion"):
        changed["releaseVersion"] = call.get("releaseVersion")
        params.append(("ReleaseVersion", changed["releaseVersion"]))
    one["status"] = "UPDATING"
    before = {name: one.get(name) for name in changed}
    one.update(changed)
    group = group_of(world, one)
    template = launch_templates.table(world).get(one.get("_template"))
    if template is not None:
        template.add(_data(world, one), "EKS managed node group")
    if group is not None:
        group.overrides = list(one["_types"])
        scaling.replace(group, list(group.members))
    tries = [20]

    def done():
        tries[0] -= 1
        if group is not None and not group.settled():
            if tries[0] > 0:
                return CHECK
            issues = _issues(world, one)
            one.update(before)
            one["status"] = "ACTIVE"
            return [
                {"errorCode": "NodeCreationFailure", "errorMessage": issue["message"], "resourceIds": issue["resourceIds"]}
                for issue in issues
            ] or [{"errorCode": "NodeCreationFailure", "errorMessage": "Couldn't proceed with upgrade process as new nodes are not joining node group", "resourceIds": []}]
        one["modifiedAt"] = clock.now()
        if one["status"] == "UPDATING":
            one["status"] = "ACTIVE"
        return None

    made = eks.begin_update(world, one["clusterName"], ("nodegroup", one["nodegroupName"]), "VersionUpdate", params, UPDATE, done)
    eks._keep_token(world, call, made)
    return {"update": eks.view(made)}


@dump.source
def rows(world):
    for one in table(world).values():
        yield "eks", "nodegroup", one["nodegroupArn"], one["nodegroupName"], dict(one["tags"])
