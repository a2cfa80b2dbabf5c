"""IAM: what may be done, roles that services make for themselves, and what IAM does not let go.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html: everything is allowed but what the
setting `denied` lists. Services make their service-linked roles when they first need them
(https://docs.aws.amazon.com/IAM/latest/UserGuide/using-service-linked-roles.html); they carry the path
`/aws-service-role/<service>/`. AWS's own policies are there without being made
(https://docs.aws.amazon.com/aws-managed-policy/latest/reference/policy-list.html).

moto has no simulation, and its services make no service-linked roles.
"""

import json
import re

from . import app, clock, dryrun, quotas, visibility
from . import world as world_module
from .wire import Fault

_managed = {}


def managed(world, arn=None):
    """Makes a policy of AWS's own known to moto's IAM, or all of them."""
    from moto.iam.aws_managed_policies import aws_managed_policies_data
    from moto.iam.models import AWSManagedPolicy

    if not _managed:
        _managed.update(json.loads(aws_managed_policies_data))
    iam = world.iam
    names = [arn.rpartition("/")[2]] if arn else list(_managed)
    for name in names:
        if name in _managed:
            policy = AWSManagedPolicy.from_data(name, iam.account_id, iam.region_name, _managed[name])
            if policy.arn not in iam.managed_policies and arn in (None, policy.arn):
                iam.managed_policies[policy.arn] = policy
                iam.aws_managed_policies.append(policy)


@app.before("iam", "AttachRolePolicy", "AttachUserPolicy", "AttachGroupPolicy", "GetPolicy", "GetPolicyVersion", "ListPolicyVersions", "ListEntitiesForPolicy")
def named(call):
    arn = call.get("PolicyArn") or ""
    if "::aws:policy/" in arn and arn not in call.world.iam.managed_policies:
        managed(call.world, arn)


@app.before("iam", "ListPolicies")
def listed(call):
    if call.get("Scope") != "Local":
        managed(call.world)


LINKED = {
    "eks.amazonaws.com": ("AWSServiceRoleForAmazonEKS", "AmazonEKSServiceRolePolicy"),
    "eks-nodegroup.amazonaws.com": ("AWSServiceRoleForAmazonEKSNodegroup", "AWSServiceRoleForAmazonEKSNodegroup"),
    "autoscaling.amazonaws.com": ("AWSServiceRoleForAutoScaling", "AutoScalingServiceRolePolicy"),
    "spot.amazonaws.com": ("AWSServiceRoleForEC2Spot", "AWSEC2SpotServiceRolePolicy"),
    "fsx.amazonaws.com": ("AWSServiceRoleForAmazonFSx", "AmazonFSxServiceRolePolicy"),
    "s3.data-source.lustre.fsx.amazonaws.com": ("AWSServiceRoleForFSxS3Access_fs", "AmazonFSxServiceRolePolicy"),
}


def linked(world, service):
    """A service makes the role that it needs, if it is not there."""
    name, _ = LINKED[service]
    iam = world.iam
    if any(role.name == name for role in iam.roles.values()):
        return
    trust = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}],
        }
    )
    iam.create_role(
        role_name=name,
        assume_role_policy_document=trust,
        path=f"/aws-service-role/{service}/",
        permissions_boundary=None,
        description="",
        tags=[],
        max_session_duration="3600",
        linked_service=service,
    )


def role(world, arn):
    """The role of an ARN, or nothing while it is not seen."""
    for one in world.iam.roles.values():
        if one.arn == arn:
            if visibility.fresh("iam", world.account, "role", one.name):
                return None
            return one
    return None


def trusts(one, service):
    """Whether a role lets a service assume it."""
    document = one.assume_role_policy_document
    if isinstance(document, str):
        import urllib.parse

        try:
            document = json.loads(document)
        except ValueError:
            document = json.loads(urllib.parse.unquote(document))
    for statement in document.get("Statement", []):
        if statement.get("Effect") != "Allow":
            continue
        principals = statement.get("Principal", {})
        services = principals.get("Service", []) if isinstance(principals, dict) else []
        services = [services] if isinstance(services, str) else services
        if service in services:
            return True
    return False


@app.handles("iam", "SimulatePrincipalPolicy", "SimulateCustomPolicy")
def simulate(call):
    source = call.get("PolicySourceArn")
    if call.action == "SimulatePrincipalPolicy" and not source:
        raise Fault("ValidationError", "1 validation error detected: Value null at 'policySourceArn' failed to satisfy constraint: Member must not be null")
    if source and ":assumed-role/" in source:
        raise Fault("InvalidInput", f"Invalid Entity Arn: {source} does not clearly define entity type and name.")
    resources = call.get("ResourceArns") or ["*"]
    rows = []
    for action in call.get("ActionNames") or []:
        if not re.fullmatch(r"[a-zA-Z0-9\-]+:[a-zA-Z0-9*]+", action):
            raise Fault("InvalidInput", f"Invalid action name: {action}")
        for resource in resources:
            refused = dryrun.denied(action)
            rows.append(
                {
                    "EvalActionName": action,
                    "EvalResourceName": resource,
                    "EvalDecision": "implicitDeny" if refused else "allowed",
                    "MatchedStatements": [],
                    "MissingContextValues": [],
                }
            )
    size = call.get("MaxItems") or 100
    start = int(call.get("Marker") or 0)
    more = start + size < len(rows)
    return {
        "EvaluationResults": rows[start : start + size],
        "IsTruncated": more,
        "Marker": str(start + size) if more else None,
    }


@app.before("iam", "CreateRole")
def roles_quota(call):
    held = sum(1 for one in call.world.iam.roles.values() if "/aws-service-role/" not in (one.path or ""))
    quotas.check_count(call, "L-FE177D64", held, "LimitExceeded", "Cannot exceed quota for RolesPerAccount: 1000.", status=409)
    document = call.get("AssumeRolePolicyDocument")
    try:
        parsed = json.loads(document or "")
    except ValueError:
        raise Fault("MalformedPolicyDocument", "This policy contains invalid Json") from None
    if not parsed.get("Statement"):
        raise Fault("MalformedPolicyDocument", "Syntax errors in policy.")


@app.before("iam", "DeleteRole")
def role_in_use(call):
    name = call.get("RoleName")
    iam = call.world.iam
    for one in iam.roles.values():
        if one.name == name:
            if "/aws-service-role/" in (one.path or ""):
                raise Fault(
                    "UnmodifiableEntity",
                    f"Cannot perform the operation on the protected role '{name}' - this role is only modifiable by AWS",
                )
            if any(name == held.name for profile in iam.instance_profiles.values() for held in profile.roles):
                raise Fault("DeleteConflict", "Cannot delete entity, must remove roles from instance profile first.", 409)
            if one.managed_policies:
                raise Fault("DeleteConflict", "Cannot delete entity, must detach all policies first.", 409)
            if one.policies:
                raise Fault("DeleteConflict", "Cannot delete entity, must delete policies first.", 409)


@app.before("iam", "DeleteInstanceProfile")
def profile_in_use(call):
    name = call.get("InstanceProfileName")
    for profile in call.world.iam.instance_profiles.values():
        if profile.name == name and profile.roles:
            raise Fault("DeleteConflict", "Cannot delete entity, must remove roles from instance profile first.", 409)


@app.before("iam", "AddRoleToInstanceProfile")
def one_role(call):
    for profile in call.world.iam.instance_profiles.values():
        if profile.name == call.get("InstanceProfileName") and profile.roles:
            raise Fault("LimitExceeded", "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1", 409)


@app.handles("iam", "DeleteServiceLinkedRole")
def delete_linked(call):
    iam = call.world.iam
    for key, one in list(iam.roles.items()):
        if one.name == call.get("RoleName"):
            del iam.roles[key]
            task = f"task/{one.path.strip('/')}/{one.name}/{world_module.letters(36)}"
            call.world.table("linked-deletions")[task] = clock.now()
            return {"DeletionTaskId": task}
    raise Fault("NoSuchEntity", f"The role with name {call.get('RoleName')} cannot be found.", 404)


@app.handles("iam", "GetServiceLinkedRoleDeletionStatus")
def deletion_status(call):
    if call.get("DeletionTaskId") not in call.world.table("linked-deletions"):
        raise Fault("NoSuchEntity", "The task does not exist.", 404)
    return {"Status": "SUCCEEDED"}


@app.handles("iam", "AddClientIDToOpenIDConnectProvider", "RemoveClientIDFromOpenIDConnectProvider")
def clients_of_issuer(call):
    """https://docs.aws.amazon.com/IAM/latest/APIReference/API_AddClientIDToOpenIDConnectProvider.html: adding what is there
    and taking away what is not are no errors. moto has neither."""
    one = call.world.iam.open_id_providers.get(call.get("OpenIDConnectProviderArn"))
    if one is None:
        raise Fault("NoSuchEntity", f"OpenIDConnect Provider not found for arn {call.get('OpenIDConnectProviderArn')}", 404)
    client = call.get("ClientID")
    one.client_id_list = [held for held in one.client_id_list or [] if held != client]
    if call.action.startswith("Add"):
        one.client_id_list.append(client)
    return {}
