"""Who may enter a cluster, and what pods may do in AWS.

Access entries: https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateAccessEntry.html,
https://docs.aws.amazon.com/eks/latest/userguide/access-policies.html (entries of nodes take no policies; a cluster of the mode
`CONFIG_MAP` has no entries). Pod identity:
https://docs.aws.amazon.com/eks/latest/APIReference/API_CreatePodIdentityAssociation.html (one for each service account; the
role must trust pods.eks.amazonaws.com). moto has neither.
"""

import re

from . import app, clock, dump, eks, policies, tokens, visibility
from . import world as world_module

POLICIES = (
    "AmazonEKSClusterAdminPolicy",
    "AmazonEKSAdminPolicy",
    "AmazonEKSAdminViewPolicy",
    "AmazonEKSEditPolicy",
    "AmazonEKSViewPolicy",
    "AmazonEKSAutoNodePolicy",
)
TYPES = ("STANDARD", "FARGATE_LINUX", "EC2_LINUX", "EC2_WINDOWS", "EC2", "HYBRID_LINUX", "HYPERPOD_LINUX")


def entries(world):
    return world.table("access-entries")


def identities(world):
    return world.table("pod-identities")


def find(world, cluster, principal):
    eks.find(world, cluster)
    one = entries(world).get((cluster, principal))
    if one is None or visibility.fresh("access-entry", cluster, principal):
        raise eks.missing("The specified principalArn could not be found. You can view your available access entries with 'list-access-entries'.")
    return one


def _needs_api(one):
    if one["accessConfig"]["authenticationMode"] == "CONFIG_MAP":
        raise eks.refused("The cluster's authentication mode must be set to one of [API, API_AND_CONFIG_MAP] to perform this operation.")


def make(world, cluster, principal, kind="STANDARD", groups=(), username=None, tags=None):
    name = principal.rpartition("/")[2]
    if username is None:
        if kind in ("EC2_LINUX", "EC2", "HYBRID_LINUX", "HYPERPOD_LINUX"):
            username = "system:node:{{EC2PrivateDNSName}}"
        elif kind == "FARGATE_LINUX":
            username = "system:node:{{SessionName}}"
        elif kind == "EC2_WINDOWS":
            username = "system:node:{{EC2PrivateDNSName}}"
        elif ":role/" in principal:
            username = f"arn:{world.partition}:sts::{principal.split(':')[4]}:assumed-role/{name}/{{{{SessionName}}}}"
        else:
            username = principal
    if kind in ("EC2_LINUX", "EC2", "HYPERPOD_LINUX", "HYBRID_LINUX"):
        groups = ["system:nodes"]
    elif kind == "EC2_WINDOWS":
        groups = ["eks:kube-proxy-windows", "system:nodes"]
    account, sort = principal.split(":")[4], principal.split(":")[5].partition("/")[0]
    one = {
        "clusterName": cluster,
        "principalArn": principal,
        "kubernetesGroups": list(groups),
        "accessEntryArn": world.arn("eks", f"access-entry/{cluster}/{sort}/{account}/{name}/{world_module.letters(8, '0123456789abcdef')}-{world_module.letters(4, '0123456789abcdef')}"),
        "createdAt": clock.now(),
        "modifiedAt": clock.now(),
        "tags": dict(tags or {}),
        "username": username,
        "type": kind,
        "_policies": {},
        "_token": None,
        "_asked": None,
    }
    entries(world)[(cluster, principal)] = one
    return one


def for_creator(world, cluster, principal):
    """Who makes a cluster administers it, unless the maker says otherwise."""
    one = make(world, cluster["name"], principal)
    _associate(one, f"arn:{world.partition}:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy", {"type": "cluster"})


def for_nodes(world, cluster, role):
    """EKS lets the nodes of its node groups in by itself."""
    if cluster["accessConfig"]["authenticationMode"] == "CONFIG_MAP" or (cluster["name"], role) in entries(world):
        return
    make(world, cluster["name"], role, "EC2_LINUX")["_by_eks"] = True


def _associate(one, policy, scope):
    known = one["_policies"].get(policy)
    one["_policies"][policy] = {
        "policyArn": policy,
        "accessScope": {"type": scope["type"], "namespaces": list(scope.get("namespaces") or [])},
        "associatedAt": known["associatedAt"] if known else clock.now(),
        "modifiedAt": clock.now(),
    }
    one["modifiedAt"] = clock.now()
    return one["_policies"][policy]


@app.handles("eks", "CreateAccessEntry")
def create(call):
    world = call.world
    cluster = eks.find(world, call.get("clusterName"))
    principal = call.get("principalArn") or ""
    token, wanted = call.get("clientRequestToken"), tokens.digest(call.params, "clientRequestToken")
    known = entries(world).get((cluster["name"], principal))
    if known is not None:
        if token and (known["_token"], known["_asked"]) == (token, wanted):
            return {"accessEntry": eks.view(known)}
        raise eks.in_use("The specified access entry resource is already in use on this cluster.")
    _needs_api(cluster)
    if cluster["status"] not in ("ACTIVE", "UPDATING"):
        raise eks.refused(f"Cluster '{cluster['name']}' is not in ACTIVE status", clusterName=cluster["name"])
    kind = call.get("type") or "STANDARD"
    if kind not in TYPES:
        raise eks.invalid(f"Invalid access entry type: {kind}")
    if not re.fullmatch(r"arn:aws[a-z\-]*:iam::\d{12}:(role|user|root)(/.+)?", principal):
        raise eks.invalid("The specified principalArn is invalid: invalid principal.")
    if ":role/" in principal and policies.role(world, principal) is None and principal.split(":")[4] == world.account:
        raise eks.invalid("The specified principalArn is invalid: invalid principal.")
    groups = call.get("kubernetesGroups") or []
    if kind != "STANDARD" and (groups or call.get("username")):
        raise eks.refused(f"Access entries of the type {kind} take no groups and no username.")
    for group in groups:
        if group.startswith(("system:", "eks:", "aws:", "amazon:", "iam:")):
            raise eks.invalid(f"The kubernetes group name {group} is invalid, it cannot start with system:, eks:, aws:, amazon:, or iam:")
    one = make(world, cluster["name"], principal, kind, groups, call.get("username"), eks.check_tags(call.get("tags")))
    one["_token"], one["_asked"] = token, wanted
    visibility.born("access-entry", cluster["name"], principal)
    return {"accessEntry": eks.view(one)}


@app.handles("eks", "DescribeAccessEntry")
def describe(call):
    return {"accessEntry": eks.view(find(call.world, call.get("clusterName"), call.get("principalArn")))}


@app.handles("eks", "ListAccessEntries")
def list_entries(call):
    cluster = eks.find(call.world, call.get("clusterName"))
    _needs_api(cluster)
    policy = call.get("associatedPolicyArn")
    names = [
        one["principalArn"]
        for one in entries(call.world).values()
        if one["clusterName"] == cluster["name"]
        and (not policy or policy in one["_policies"])
        and not visibility.fresh("access-entry", cluster["name"], one["principalArn"])
    ]
    return eks.page(call, names, "accessEntries")


@app.handles("eks", "UpdateAccessEntry")
def update(call):
    one = find(call.world, call.get("clusterName"), call.get("principalArn"))
    if one["type"] != "STANDARD":
        raise eks.refused(f"Access entries of the type {one['type']} cannot be updated.")
    if call.get("kubernetesGroups") is not None:
        one["kubernetesGroups"] = list(call.get("kubernetesGroups"))
    if call.get("username"):
        one["username"] = call.get("username")
    one["modifiedAt"] = clock.now()
    return {"accessEntry": eks.view(one)}


@app.handles("eks", "DeleteAccessEntry")
def delete(call):
    one = find(call.world, call.get("clusterName"), call.get("principalArn"))
    del entries(call.world)[(one["clusterName"], one["principalArn"])]
    visibility.gone("access-entry", one["clusterName"], one["principalArn"])
    return {}


@app.handles("eks", "AssociateAccessPolicy")
def associate(call):
    one = find(call.world, call.get("clusterName"), call.get("principalArn"))
    policy = call.get("policyArn") or ""
    if policy.rpartition("/")[2] not in POLICIES or ":eks::aws:cluster-access-policy/" not in policy:
        raise eks.invalid("The specified policyArn is invalid: invalid policy.")
    if one["type"] != "STANDARD" and not (one["type"] == "EC2" and policy.endswith("AmazonEKSAutoNodePolicy")):
        raise eks.refused(f"You can't associate an access policy with an access entry of the type {one['type']}.")
    scope = call.get("accessScope") or {}
    if scope.get("type") not in ("cluster", "namespace"):
        raise eks.invalid("The accessScope type must be cluster or namespace.")
    if (scope["type"] == "namespace") != bool(scope.get("namespaces")):
        raise eks.invalid("Namespaces must be given for the scope namespace, and only for it.")
    return {
        "clusterName": one["clusterName"],
        "principalArn": one["principalArn"],
        "associatedAccessPolicy": _associate(one, policy, scope),
    }


@app.handles("eks", "DisassociateAccessPolicy")
def disassociate(call):
    one = find(call.world, call.get("clusterName"), call.get("principalArn"))
    if one["_policies"].pop(call.get("policyArn"), None) is None:
        raise eks.missing("The specified policyArn is not associated with the access entry.")
    one["modifiedAt"] = clock.now()
    return {}


@app.handles("eks", "ListAssociatedAccessPolicies")
def list_policies(call):
    one = find(call.world, call.get("clusterName"), call.get("principalArn"))
    answer = eks.page(call, list(one["_policies"].values()), "associatedAccessPolicies")
    return {"clusterName": one["clusterName"], "principalArn": one["principalArn"], **answer}


@app.handles("eks", "ListAccessPolicies")
def known_policies(call):
    rows = [{"name": name, "arn": f"arn:{call.world.partition}:eks::aws:cluster-access-policy/{name}"} for name in POLICIES]
    return eks.page(call, rows, "accessPolicies")


# Pod identity.


def identity(world, cluster, namespace, account, role, tags=None, owner=None, **more):
    key = "a-" + world_module.letters(17)
    one = {
        "clusterName": cluster,
        "namespace": namespace,
        "serviceAccount": account,
        "roleArn": role,
        "associationArn": world.arn("eks", f"podidentityassociation/{cluster}/{key}"),
        "associationId": key,
        "tags": dict(tags or {}),
        "createdAt": clock.now(),
        "modifiedAt": clock.now(),
        "ownerArn": owner,
        "disableSessionTags": False,
        "_token": None,
        "_asked": None,
        **more,
    }
    identities(world)[key] = one
    visibility.born("identity", key)
    return one


def check_identity(world, cluster, namespace, account, role):
    found = policies.role(world, role)
    if found is None:
        raise eks.invalid("Role provided in the request does not exist.")
    if not policies.trusts(found, "pods.eks.amazonaws.com"):
        raise eks.invalid("Trust policy of role provided in the request must include the service principal pods.eks.amazonaws.com with the actions sts:AssumeRole and sts:TagSession.")
    for one in identities(world).values():
        if (one["clusterName"], one["namespace"], one["serviceAccount"]) == (cluster, namespace, account):
            raise eks.in_use(f"Association already exists: {one['associationId']}")


@app.handles("eks", "CreatePodIdentityAssociation")
def create_identity(call):
    world = call.world
    cluster = eks.active(world, call.get("clusterName"))
    token, wanted = call.get("clientRequestToken"), tokens.digest(call.params, "clientRequestToken")
    for one in identities(world).values():
        if token and one["clusterName"] == cluster["name"] and one["_token"] == token and one["_asked"] == wanted:
            return {"association": eks.view(one)}
    check_identity(world, cluster["name"], call.get("namespace"), call.get("serviceAccount"), call.get("roleArn"))
    one = identity(
        world,
        cluster["name"],
        call.get("namespace"),
        call.get("serviceAccount"),
        call.get("roleArn"),
        eks.check_tags(call.get("tags")),
        disableSessionTags=bool(call.get("disableSessionTags")),
        targetRoleArn=call.get("targetRoleArn"),
    )
    one["_token"], one["_asked"] = token, wanted
    return {"association": eks.view(one)}


def find_identity(call):
    eks.find(call.world, call.get("clusterName"))
    one = identities(call.world).get(call.get("associationId"))
    if one is None or one["clusterName"] != call.get("clusterName") or visibility.fresh("identity", one["associationId"]):
        raise eks.missing(f"The specified association ID {call.get('associationId')} could not be found.")
    return one


@app.handles("eks", "DescribePodIdentityAssociation")
def describe_identity(call):
    return {"association": eks.view(find_identity(call))}


@app.handles("eks", "ListPodIdentityAssociations")
def list_identities(call):
    eks.find(call.world, call.get("clusterName"))
    rows = [
        {name: one[name] for name in ("clusterName", "namespace", "serviceAccount", "associationArn", "associationId", "ownerArn")}
        for one in identities(call.world).values()
        if one["clusterName"] == call.get("clusterName")
        and call.get("namespace") in (None, one["namespace"])
        and call.get("serviceAccount") in (None, one["serviceAccount"])
        and not visibility.fresh("identity", one["associationId"])
    ]
    return eks.page(call, rows, "associations")


@app.handles("eks", "UpdatePodIdentityAssociation")
def update_identity(call):
    one = find_identity(call)
    if one["ownerArn"]:
        raise eks.refused(f"The association is owned by {one['ownerArn']}")
    if call.get("roleArn"):
        found = policies.role(call.world, call.get("roleArn"))
        if found is None or not policies.trusts(found, "pods.eks.amazonaws.com"):
            raise eks.invalid("Role provided in the request does not exist or does not trust pods.eks.amazonaws.com.")
        one["roleArn"] = call.get("roleArn")
    if call.get("disableSessionTags") is not None:
        one["disableSessionTags"] = bool(call.get("disableSessionTags"))
    if call.get("targetRoleArn") is not None:
        one["targetRoleArn"] = call.get("targetRoleArn")
    one["modifiedAt"] = clock.now()
    return {"association": eks.view(one)}


@app.handles("eks", "DeletePodIdentityAssociation")
def delete_identity(call):
    one = find_identity(call)
    if one["ownerArn"]:
        raise eks.refused(f"The association is owned by {one['ownerArn']}")
    del identities(call.world)[one["associationId"]]
    visibility.gone("identity", one["associationId"])
    return {"association": eks.view(one)}


@dump.source
def rows(world):
    for one in entries(world).values():
        yield "eks", "access-entry", one["accessEntryArn"], one["principalArn"], dict(one["tags"])
    for one in identities(world).values():
        yield "eks", "pod-identity", one["associationArn"], f"{one['namespace']}/{one['serviceAccount']}", dict(one["tags"])
