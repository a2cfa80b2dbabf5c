"""Auto Scaling groups, also those that EKS makes for its node groups.

https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_CreateAutoScalingGroup.html and the pages beside it. A group
works by itself: it starts what is missing and ends what is too much, after the call that wanted it has been answered; what it
cannot start it tells as a failed activity (DescribeScalingActivities) and tries again. A group with instances is not deleted
unless forced (`ResourceInUse`).

moto's groups start instances within the call, know no failures, and start them without the network cards of the template.
"""

import json

from . import app, clock, dump, ec2, instances, launch_templates, network, policies
from . import world as world_module
from .wire import Fault

TICK = 15
AGAIN = 60
GRACE = 10


def table(world):
    return world.table("scaling-groups")


def _missing(name):
    return Fault("ValidationError", f"AutoScalingGroup name not found - AutoScalingGroup '{name}' not found")


def find(world, name):
    one = table(world).get(name)
    if one is None:
        raise _missing(name)
    return one


class Group:
    """One group."""

    def __init__(self, world, name):
        self.world = world
        self.name = name
        self.arn = f"arn:{world.partition}:autoscaling:{world.region}:{world.account}:autoScalingGroup:{world_module.letters(8)}:autoScalingGroupName/{name}"
        self.created = clock.now()
        self.least = self.most = self.desired = 0
        self.subnets = []
        self.template = None
        self.overrides = []
        self.grace = 0
        self.health = "EC2"
        self.tags = {}
        self.members = {}
        self.activities = []
        self.suspended = {}
        self.hooks = {}
        self.refreshes = []
        self.protect = False
        self.deleting = False
        self.metrics = []
        self.cooldown = 300
        self.policies = ["Default"]
        self.resting = 0
        self.rebalance = False
        self.extra = {}
        # For groups of EKS: gives the launch for a type.
        self.launch = None
        self.ticking = False

    def missing(self):
        return self.desired - sum(1 for one in self.members.values() if one["LifecycleState"] != "Terminating")

    def settled(self):
        """Whether as many instances serve as are wanted, and no more."""
        return self.missing() == 0 and all(one["LifecycleState"] == "InService" for one in self.members.values())

    def failure(self):
        """The last failure, unless a later launch went well."""
        for activity in self.activities:
            if activity["StatusCode"] == "Failed":
                return activity
            if activity["StatusCode"] == "Successful" and activity["Description"].startswith("Launching"):
                return None
        return None


def _zone(group, identifier):
    subnet = network.subnet(group.world, identifier)
    return subnet.availability_zone if subnet is not None else None


def _activity(group, description, cause, status, message=None, subnet=None):
    activity = {
        "ActivityId": world_module.letters(36, "0123456789abcdef"),
        "AutoScalingGroupName": group.name,
        "Description": description,
        "Cause": cause,
        "StartTime": clock.now(),
        "EndTime": clock.now() if status in ("Failed", "Successful") else None,
        "StatusCode": status,
        "StatusMessage": message,
        "Progress": 100 if status in ("Failed", "Successful") else 30,
        "Details": json.dumps({"Subnet ID": subnet, "Availability Zone": _zone(group, subnet)}) if subnet else "{}",
        "AutoScalingGroupARN": group.arn,
    }
    group.activities.insert(0, activity)
    del group.activities[100:]
    return activity


def wake(group, seconds=1):
    """Has a group look at itself soon."""
    if not group.ticking:
        group.ticking = True
        clock.after(seconds, _tick, group)


def _tick(group):
    group.ticking = False
    world = group.world
    if table(world).get(group.name) is not group:
        return
    for identifier, member in list(group.members.items()):
        one = instances.table(world).get(identifier)
        if one is None or one.state == "terminated":
            del group.members[identifier]
            if member["LifecycleState"] != "Terminating":
                _activity(group, f"Terminating EC2 instance: {identifier}", "an instance was taken out of service in response to an EC2 health check.", "Successful")
        elif one.state == "shutting-down" and member["LifecycleState"] != "Terminating":
            member["LifecycleState"], member["HealthStatus"] = "Terminating", "Unhealthy"
        elif one.state == "running" and member["LifecycleState"] == "Pending":
            member["LifecycleState"] = "InService"
            member["_activity"]["StatusCode"] = "Successful"
            member["_activity"]["EndTime"] = clock.now()
            member["_activity"]["Progress"] = 100
    if group.deleting and not group.members:
        del table(world)[group.name]
        return
    missing = group.missing()
    wait = TICK
    if missing > 0 and "Launch" not in group.suspended and not group.deleting:
        if not _start(group, missing):
            wait = AGAIN
    elif missing < 0 and "Terminate" not in group.suspended:
        leaving = [one for one in group.members.values() if one["LifecycleState"] in ("InService", "Pending")]
        leaving.sort(key=lambda one: (one["ProtectedFromScaleIn"], instances.table(world)[one["InstanceId"]].launched))
        for one in leaving[: -missing]:
            if one["ProtectedFromScaleIn"] and not group.deleting:
                continue
            _end(group, one)
    if group.deleting or not group.settled() or group.desired:
        wake(group, wait)


def _start(group, count):
    """Starts what is missing, one by one, in the emptiest subnet that has room; whether all could be."""
    world = group.world
    held = {subnet: 0 for subnet in group.subnets}
    for member in group.members.values():
        one = instances.table(world).get(member["InstanceId"])
        if one is not None and one.subnet_id in held:
            held[one.subnet_id] += 1
    for _ in range(count):
        failures = []
        made = None
        for subnet in sorted(group.subnets, key=lambda subnet: held[subnet]):
            for kind in group.overrides or [None]:
                try:
                    made = _launch(group, subnet, kind)
                except Fault as fault:
                    failures.append((fault, subnet))
                    continue
                except Exception as error:  # moto's own
                    failures.append((Fault("InternalError", str(error)), subnet))
                    continue
                held[subnet] += 1
                break
            if made:
                break
        if not made:
            fault, tried = failures[0]
            _activity(
                group,
                "Launching a new EC2 instance.  Status Reason: " + _reason(fault),
                f"an instance was started in response to a difference between desired and actual capacity, increasing the capacity from {len(group.members)} to {group.desired}.",
                "Failed",
                _reason(fault),
                subnet=tried,
            )
            group.last_fault = fault
            return False
    return True


def _reason(fault):
    return f"{fault.message} Launching EC2 instance failed."


def _launch(group, subnet, kind):
    world = group.world
    tags = {key: tag["Value"] for key, tag in group.tags.items() if tag["PropagateAtLaunch"]}
    tags["aws:autoscaling:groupName"] = group.name
    if group.launch is not None:
        given = group.launch(kind)
    else:
        given = {
            "LaunchTemplate": {
                "LaunchTemplateId": group.template["LaunchTemplateId"],
                "Version": group.template.get("Version") or "$Default",
            }
        }
        if kind:
            given["InstanceType"] = kind
    data, _ = instances.settle(world, given)
    if any(nic.get("SubnetId") for nic in data.get("NetworkInterfaces") or []):
        raise Fault("InvalidParameterCombination", "Subnet IDs cannot be specified in the network interfaces of the launch template.")
    given["SubnetId"] = subnet
    made = instances.launch(world, given, 1, tags=tags)[0]
    activity = _activity(
        group,
        f"Launching a new EC2 instance: {made.id}",
        "an instance was started in response to a difference between desired and actual capacity.",
        "InProgress",
        subnet=subnet,
    )
    group.members[made.id] = {
        "InstanceId": made.id,
        "InstanceType": made.instance_type,
        "AvailabilityZone": made.zone,
        "LifecycleState": "Pending",
        "HealthStatus": "Healthy",
        "LaunchTemplate": _resolved(group),
        "ProtectedFromScaleIn": group.protect,
        "_activity": activity,
    }
    return made


def _resolved(group):
    if not group.template:
        return None
    template = launch_templates.table(group.world).get(group.template.get("LaunchTemplateId"))
    if template is None:
        return dict(group.template)
    version = template.version(group.template.get("Version") or "$Default")
    return {
        "LaunchTemplateId": template.id,
        "LaunchTemplateName": template.name,
        "Version": str(version["number"]) if version else group.template.get("Version"),
    }


def _end(group, member):
    one = instances.table(group.world).get(member["InstanceId"])
    member["LifecycleState"] = "Terminating"
    _activity(group, f"Terminating EC2 instance: {member['InstanceId']}", "an instance was taken out of service in response to a difference between desired and actual capacity.", "Successful")
    if one is not None:
        instances.terminate(group.world, one)


def replace(group, identifiers):
    """Ends instances of a group that then starts others in their place."""
    for identifier in identifiers:
        member = group.members.get(identifier)
        if member is not None:
            _end(group, member)
    wake(group)


def begin(world, name, least, most, desired, subnets, tags=None):
    """A new group, without the checks of the API."""
    group = Group(world, name)
    group.least, group.most, group.desired = least, most, desired
    group.subnets = list(subnets)
    group.tags = tags or {}
    table(world)[name] = group
    return group


def remove(world, name):
    """A group goes, with its instances."""
    group = table(world).get(name)
    if group is not None:
        group.deleting = True
        group.least = group.desired = 0
        _tick(group)


def _tags(call, given, name):
    held = {}
    for tag in given or []:
        if tag["Key"].lower().startswith("aws:"):
            raise Fault("ValidationError", "Tag key must not begin with aws:")
        held[tag["Key"]] = {"Value": tag.get("Value", ""), "PropagateAtLaunch": bool(tag.get("PropagateAtLaunch", True))}
    return held


def _template(world, given):
    if not given:
        return None
    try:
        found = launch_templates.find(world, given.get("LaunchTemplateId"), given.get("LaunchTemplateName"))
        launch_templates.version_of(found, given.get("Version") or "$Default")
    except Fault as fault:
        raise Fault("ValidationError", f"You must use a valid fully-formed launch template. {fault.message}") from None
    return {"LaunchTemplateId": found.id, "LaunchTemplateName": found.name, "Version": given.get("Version") or "$Default"}


def _subnets(world, text):
    found = [one.strip() for one in (text or "").split(",") if one.strip()]
    vpcs = set()
    for identifier in found:
        try:
            subnet = network.SUBNET.find(world, identifier)
        except Fault:
            raise Fault("ValidationError", f"The subnet ID '{identifier}' does not exist") from None
        vpcs.add(subnet.vpc_id)
    if len(vpcs) > 1:
        raise Fault("ValidationError", "The subnets of a group must be of one VPC")
    return found


def _sizes(least, most, desired):
    if least > most:
        raise Fault("ValidationError", f"Max bound, {most}, must be greater than or equal to min bound, {least}")
    if desired < least:
        raise Fault("ValidationError", f"Desired capacity:{desired} must be specified and must be greater than or equal to min size:{least}.")
    if desired > most:
        raise Fault("ValidationError", f"Desired capacity:{desired} must be less than or equal to max size:{most}.")


def _mixed(world, group, policy):
    if not policy:
        return
    template = policy.get("LaunchTemplate") or {}
    group.template = _template(world, template.get("LaunchTemplateSpecification"))
    group.overrides = [one["InstanceType"] for one in template.get("Overrides") or [] if one.get("InstanceType")]
    group.extra["MixedInstancesPolicy"] = policy


@app.handles("autoscaling", "CreateAutoScalingGroup")
def create(call):
    world = call.world
    name = call.get("AutoScalingGroupName")
    if not name or len(name) > 255:
        raise Fault("ValidationError", "Value at 'autoScalingGroupName' failed to satisfy constraint: Member must have length between 1 and 255")
    if name in table(world):
        raise Fault("AlreadyExists", f"AutoScalingGroup by this name already exists - A group with the name {name} already exists")
    if not call.get("LaunchTemplate") and not call.get("MixedInstancesPolicy"):
        raise Fault("ValidationError", "Valid requests must contain either LaunchTemplate, LaunchConfigurationName, InstanceId or MixedInstancesPolicy parameter.")
    template = _template(world, call.get("LaunchTemplate"))
    subnets = _subnets(world, call.get("VPCZoneIdentifier"))
    if not subnets:
        raise Fault("ValidationError", "At least one Availability Zone or VPC Subnet is required.")
    least, most = int(call.get("MinSize")), int(call.get("MaxSize"))
    desired = int(call.get("DesiredCapacity")) if call.get("DesiredCapacity") is not None else least
    _sizes(least, most, desired)
    policies.linked(world, "autoscaling.amazonaws.com")
    group = begin(world, name, least, most, desired, subnets, _tags(call, call.get("Tags"), name))
    group.template = template
    try:
        _mixed(world, group, call.get("MixedInstancesPolicy"))
    except Fault:
        del table(world)[name]
        raise
    group.grace = int(call.get("HealthCheckGracePeriod") or 0)
    group.health = call.get("HealthCheckType") or "EC2"
    group.protect = bool(call.get("NewInstancesProtectedFromScaleIn"))
    group.rebalance = bool(call.get("CapacityRebalance"))
    group.cooldown = int(call.get("DefaultCooldown") or 300)
    group.policies = call.get("TerminationPolicies") or ["Default"]
    for field in ("InstanceMaintenancePolicy", "AvailabilityZoneDistribution", "CapacityReservationSpecification", "DefaultInstanceWarmup"):
        if call.get(field) is not None:
            group.extra[field] = call.get(field)
    for hook in call.get("LifecycleHookSpecificationList") or []:
        group.hooks[hook["LifecycleHookName"]] = hook
    wake(group)
    return {}


def tag_rows(group):
    return [
        {
            "ResourceId": group.name,
            "ResourceType": "auto-scaling-group",
            "Key": key,
            "Value": tag["Value"],
            "PropagateAtLaunch": tag["PropagateAtLaunch"],
        }
        for key, tag in group.tags.items()
    ]


def view(group):
    world = group.world
    zones = []
    for identifier in group.subnets:
        subnet = network.subnet(world, identifier)
        if subnet is not None and subnet.availability_zone not in zones:
            zones.append(subnet.availability_zone)
    return {
        "AutoScalingGroupName": group.name,
        "AutoScalingGroupARN": group.arn,
        "LaunchTemplate": dict(group.template) if group.template and "MixedInstancesPolicy" not in group.extra else None,
        "MinSize": group.least,
        "MaxSize": group.most,
        "DesiredCapacity": group.desired,
        "DefaultCooldown": group.cooldown,
        "AvailabilityZones": zones,
        "LoadBalancerNames": [],
        "TargetGroupARNs": [],
        "HealthCheckType": group.health,
        "HealthCheckGracePeriod": group.grace,
        "Instances": [
            {name: value for name, value in one.items() if not name.startswith("_")} for one in group.members.values()
        ],
        "CreatedTime": group.created,
        "SuspendedProcesses": [{"ProcessName": name, "SuspensionReason": reason} for name, reason in group.suspended.items()],
        "VPCZoneIdentifier": ",".join(group.subnets),
        "EnabledMetrics": [{"Metric": one, "Granularity": "1Minute"} for one in group.metrics],
        "Status": "Delete in progress" if group.deleting else None,
        "Tags": tag_rows(group),
        "TerminationPolicies": group.policies,
        "NewInstancesProtectedFromScaleIn": group.protect,
        "ServiceLinkedRoleARN": f"arn:{world.partition}:iam::{world.account}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling",
        "CapacityRebalance": group.rebalance,
        **group.extra,
    }


def _page(call, rows, member, size=100):
    wanted = int(call.get("MaxRecords") or size)
    start = int(call.get("NextToken") or 0)
    more = start + wanted < len(rows)
    return {member: rows[start : start + wanted], "NextToken": str(start + wanted) if more else None}


@app.handles("autoscaling", "DescribeAutoScalingGroups")
def describe(call):
    world = call.world
    names = call.get("AutoScalingGroupNames")
    filters = ec2.Filters(call.get("Filters"), {})
    rows = []
    for group in table(world).values():
        if names and group.name not in names:
            continue
        if filters.by_tags({key: tag["Value"] for key, tag in group.tags.items()}):
            rows.append(view(group))
    return _page(call, rows, "AutoScalingGroups", 50)


@app.handles("autoscaling", "UpdateAutoScalingGroup")
def update(call):
    world = call.world
    group = find(world, call.get("AutoScalingGroupName"))
    if group.deleting:
        raise Fault("ScalingActivityInProgress", f"AutoScalingGroup {group.name} is being deleted")
    template = _template(world, call.get("LaunchTemplate"))
    subnets = _subnets(world, call.get("VPCZoneIdentifier"))
    least = int(call.get("MinSize")) if call.get("MinSize") is not None else group.least
    most = int(call.get("MaxSize")) if call.get("MaxSize") is not None else group.most
    if call.get("DesiredCapacity") is not None:
        desired = int(call.get("DesiredCapacity"))
    else:
        desired = min(max(group.desired, least), most)
    _sizes(least, most, desired)
    group.least, group.most, group.desired = least, most, desired
    if template:
        group.template = template
    if subnets:
        group.subnets = subnets
    _mixed(world, group, call.get("MixedInstancesPolicy"))
    if call.get("HealthCheckGracePeriod") is not None:
        group.grace = int(call.get("HealthCheckGracePeriod"))
    if call.get("HealthCheckType"):
        group.health = call.get("HealthCheckType")
    if call.get("NewInstancesProtectedFromScaleIn") is not None:
        group.protect = bool(call.get("NewInstancesProtectedFromScaleIn"))
    if call.get("CapacityRebalance") is not None:
        group.rebalance = bool(call.get("CapacityRebalance"))
    if call.get("DefaultCooldown") is not None:
        group.cooldown = int(call.get("DefaultCooldown"))
    if call.get("TerminationPolicies"):
        group.policies = call.get("TerminationPolicies")
    for field in ("InstanceMaintenancePolicy", "AvailabilityZoneDistribution", "CapacityReservationSpecification", "DefaultInstanceWarmup"):
        if call.get(field) is not None:
            group.extra[field] = call.get(field)
    wake(group)
    return {}


@app.handles("autoscaling", "SetDesiredCapacity")
def set_desired(call):
    group = find(call.world, call.get("AutoScalingGroupName"))
    desired = int(call.get("DesiredCapacity"))
    if desired > group.most:
        raise Fault("ValidationError", f"New SetDesiredCapacity value {desired} is above max value {group.most} for the AutoScalingGroup.")
    if desired < group.least:
        raise Fault("ValidationError", f"New SetDesiredCapacity value {desired} is below min value {group.least} for the AutoScalingGroup.")
    group.desired = desired
    wake(group)
    return {}


@app.handles("autoscaling", "DeleteAutoScalingGroup")
def delete(call):
    world = call.world
    group = find(world, call.get("AutoScalingGroupName"))
    if group.members and not call.get("ForceDelete"):
        raise Fault("ResourceInUse", "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) still in the group.")
    remove(world, group.name)
    return {}


@app.handles("autoscaling", "DescribeScalingActivities")
def activities(call):
    world = call.world
    name = call.get("AutoScalingGroupName")
    if name:
        rows = list(find(world, name).activities)
    else:
        rows = [activity for group in table(world).values() for activity in group.activities]
    wanted = call.get("ActivityIds")
    if wanted:
        rows = [row for row in rows if row["ActivityId"] in wanted]
    return _page(call, rows, "Activities")


@app.handles("autoscaling", "DescribeAutoScalingInstances")
def describe_members(call):
    rows = []
    wanted = call.get("InstanceIds")
    for group in table(call.world).values():
        for one in group.members.values():
            if not wanted or one["InstanceId"] in wanted:
                rows.append(
                    {
                        **{name: value for name, value in one.items() if not name.startswith("_")},
                        "AutoScalingGroupName": group.name,
                        "HealthStatus": one["HealthStatus"].upper(),
                    }
                )
    return _page(call, rows, "AutoScalingInstances", 50)


@app.handles("autoscaling", "CreateOrUpdateTags")
def set_tags(call):
    for tag in call.get("Tags") or []:
        group = find(call.world, tag.get("ResourceId"))
        group.tags.update(_tags(call, [tag], group.name))
    return {}


@app.handles("autoscaling", "DeleteTags")
def delete_tags(call):
    for tag in call.get("Tags") or []:
        find(call.world, tag.get("ResourceId")).tags.pop(tag["Key"], None)
    return {}


@app.handles("autoscaling", "DescribeTags")
def describe_tags(call):
    rows = [row for group in table(call.world).values() for row in tag_rows(group)]
    for one in call.get("Filters") or []:
        member = {"auto-scaling-group": "ResourceId", "key": "Key", "value": "Value"}.get(one["Name"])
        if member:
            rows = [row for row in rows if row[member] in one.get("Values", [])]
    return _page(call, rows, "Tags", 50)


PROCESSES = ("Launch", "Terminate", "AddToLoadBalancer", "AlarmNotification", "AZRebalance", "HealthCheck", "InstanceRefresh", "ReplaceUnhealthy", "ScheduledActions")


@app.handles("autoscaling", "SuspendProcesses", "ResumeProcesses")
def suspend(call):
    group = find(call.world, call.get("AutoScalingGroupName"))
    for name in call.get("ScalingProcesses") or PROCESSES:
        if name not in PROCESSES:
            raise Fault("ValidationError", f"Invalid scaling process: {name}")
        if call.action == "SuspendProcesses":
            group.suspended[name] = "User suspended at " + str(clock.now())
        else:
            group.suspended.pop(name, None)
    wake(group)
    return {}


@app.handles("autoscaling", "PutLifecycleHook")
def put_hook(call):
    group = find(call.world, call.get("AutoScalingGroupName"))
    name = call.get("LifecycleHookName")
    held = group.hooks.get(name) or {"HeartbeatTimeout": 3600, "DefaultResult": "ABANDON", "GlobalTimeout": 172800}
    timeout = call.get("HeartbeatTimeout")
    if timeout is not None and not 30 <= int(timeout) <= 7200:
        raise Fault("ValidationError", "HeartbeatTimeout must be between 30 and 7200 seconds")
    held = {**held, **{key: value for key, value in call.params.items() if value is not None}}
    group.hooks[name] = held
    return {}


@app.handles("autoscaling", "DescribeLifecycleHooks")
def describe_hooks(call):
    group = find(call.world, call.get("AutoScalingGroupName"))
    wanted = call.get("LifecycleHookNames")
    return {
        "LifecycleHooks": [
            {**hook, "AutoScalingGroupName": group.name} for name, hook in group.hooks.items() if not wanted or name in wanted
        ]
    }


@app.handles("autoscaling", "DeleteLifecycleHook")
def delete_hook(call):
    find(call.world, call.get("AutoScalingGroupName")).hooks.pop(call.get("LifecycleHookName"), None)
    return {}


@app.handles("autoscaling", "CompleteLifecycleAction", "RecordLifecycleActionHeartbeat", "EnableMetricsCollection", "DisableMetricsCollection")
def accepted(call):
    group = find(call.world, call.get("AutoScalingGroupName"))
    if call.action == "EnableMetricsCollection":
        group.metrics = call.get("Metrics") or ["GroupDesiredCapacity", "GroupInServiceInstances"]
    elif call.action == "DisableMetricsCollection":
        group.metrics = []
    return {}


@app.handles("autoscaling", "SetInstanceHealth")
def set_health(call):
    for group in table(call.world).values():
        member = group.members.get(call.get("InstanceId"))
        if member:
            member["HealthStatus"] = call.get("HealthStatus")
            if call.get("HealthStatus") == "Unhealthy" and "ReplaceUnhealthy" not in group.suspended:
                replace(group, [member["InstanceId"]])
            return {}
    raise Fault("ValidationError", f"Instance Id not found - No managed instance found for instance ID: {call.get('InstanceId')}")


@app.handles("autoscaling", "TerminateInstanceInAutoScalingGroup")
def terminate_one(call):
    for group in table(call.world).values():
        member = group.members.get(call.get("InstanceId"))
        if member:
            if call.get("ShouldDecrementDesiredCapacity"):
                if group.desired - 1 < group.least:
                    raise Fault("ValidationError", f"Currently, desiredSize equals minSize ({group.least}). Terminating instance without replacement will violate group's min size constraint. Either set shouldDecrementDesiredCapacity flag to false or lower group's min size.")
                group.desired -= 1
            _end(group, member)
            wake(group)
            return {"Activity": group.activities[0]}
    raise Fault("ValidationError", f"Instance Id not found - No managed instance found for instance ID: {call.get('InstanceId')}")


@app.handles("autoscaling", "StartInstanceRefresh")
def refresh(call):
    group = find(call.world, call.get("AutoScalingGroupName"))
    if any(one["Status"] in ("Pending", "InProgress") for one in group.refreshes):
        raise Fault("InstanceRefreshInProgress", "An Instance Refresh is already in progress and blocks the execution of this Instance Refresh.")
    identifier = world_module.letters(36, "0123456789abcdef")
    one = {
        "InstanceRefreshId": identifier,
        "AutoScalingGroupName": group.name,
        "Status": "InProgress",
        "StartTime": clock.now(),
        "PercentageComplete": 0,
        "InstancesToUpdate": len(group.members),
        "Preferences": call.get("Preferences"),
    }
    desired = call.get("DesiredConfiguration") or {}
    if desired.get("LaunchTemplate"):
        group.template = _template(call.world, desired["LaunchTemplate"])
    group.refreshes.insert(0, one)
    replace(group, list(group.members))
    clock.after(120, _refreshed, group, one)
    return {"InstanceRefreshId": identifier}


def _refreshed(group, one):
    if one["Status"] == "InProgress":
        if group.settled():
            one.update(Status="Successful", PercentageComplete=100, InstancesToUpdate=0, EndTime=clock.now())
        else:
            clock.after(30, _refreshed, group, one)


@app.handles("autoscaling", "DescribeInstanceRefreshes")
def refreshes(call):
    group = find(call.world, call.get("AutoScalingGroupName"))
    wanted = call.get("InstanceRefreshIds")
    return _page(call, [one for one in group.refreshes if not wanted or one["InstanceRefreshId"] in wanted], "InstanceRefreshes", 50)


@app.handles("autoscaling", "CancelInstanceRefresh")
def cancel_refresh(call):
    group = find(call.world, call.get("AutoScalingGroupName"))
    for one in group.refreshes:
        if one["Status"] in ("Pending", "InProgress"):
            one["Status"] = "Cancelled"
            return {"InstanceRefreshId": one["InstanceRefreshId"]}
    raise Fault("ActiveInstanceRefreshNotFound", "No in progress or pending Instance Refresh found for Auto Scaling group " + group.name)


@app.handles("autoscaling", "DescribeLoadBalancerTargetGroups", "DescribeLoadBalancers", "DescribePolicies", "DescribeScheduledActions", "DescribeNotificationConfigurations", "DescribeTrafficSources", "DescribeWarmPool")
def none(call):
    members = {
        "DescribeLoadBalancerTargetGroups": "LoadBalancerTargetGroups",
        "DescribeLoadBalancers": "LoadBalancers",
        "DescribePolicies": "ScalingPolicies",
        "DescribeScheduledActions": "ScheduledUpdateGroupActions",
        "DescribeNotificationConfigurations": "NotificationConfigurations",
        "DescribeTrafficSources": "TrafficSources",
        "DescribeWarmPool": "Instances",
    }
    return {members[call.action]: []}


@dump.source
def rows(world):
    for group in table(world).values():
        yield "autoscaling", "group", group.arn, group.name, {key: tag["Value"] for key, tag in group.tags.items()}
