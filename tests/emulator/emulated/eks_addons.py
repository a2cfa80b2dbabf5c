"""EKS add-ons.

https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateAddon.html,
https://docs.aws.amazon.com/eks/latest/APIReference/API_DescribeAddonVersions.html. Add-ons that run on nodes of any kind are
`ACTIVE` soon; those that are Deployments (coredns and the controllers of the storage drivers) are `DEGRADED` for want of
replicas until there is a node without taints that keep pods away, and `ACTIVE` then. moto has no add-ons.
"""

import json

from . import app, clock, dump, eks, eks_access, tokens, visibility
from .wire import Fault

CREATION = 60
PATIENCE = 120
DELETION = 30
UPDATE = 60

# Version numbers are of the form that AWS uses; which is the default goes up with Kubernetes.
ADDONS = {
    "vpc-cni": ("v1.{}.{}-eksbuild.1", 18, "networking", "kube-system", False),
    "coredns": ("v1.{}.{}-eksbuild.2", 11, "networking", "kube-system", True),
    "kube-proxy": ("v{kubernetes}.{}-eksbuild.{}", 3, "networking", "kube-system", False),
    "eks-pod-identity-agent": ("v1.3.{}-eksbuild.{}", 4, "security", "kube-system", False),
    "eks-node-monitoring-agent": ("v1.4.{}-eksbuild.{}", 0, "observability", "kube-system", False),
    "aws-ebs-csi-driver": ("v1.{}.{}-eksbuild.1", 45, "storage", "kube-system", True),
    "aws-efs-csi-driver": ("v2.1.{}-eksbuild.{}", 8, "storage", "kube-system", True),
    "aws-fsx-csi-driver": ("v1.{}.{}-eksbuild.1", 6, "storage", "kube-system", True),
    "aws-mountpoint-s3-csi-driver": ("v2.{}.{}-eksbuild.1", 0, "storage", "kube-system", True),
    "metrics-server": ("v0.8.{}-eksbuild.{}", 0, "observability", "kube-system", True),
    "amazon-cloudwatch-observability": ("v4.{}.{}-eksbuild.1", 2, "observability", "amazon-cloudwatch", True),
    "snapshot-controller": ("v8.3.{}-eksbuild.{}", 0, "storage", "kube-system", True),
}


def versions_of(name, kubernetes):
    """The versions of an add-on for a Kubernetes, the newest first; the second newest is the default."""
    pattern, base, *_ = ADDONS[name]
    step = eks.VERSIONS.index(kubernetes)
    if "{kubernetes}" in pattern:
        return [pattern.format(patch, 1, kubernetes=kubernetes) for patch in (6, 4, 3)]
    return [pattern.format(base + step, patch) for patch in (3, 2, 1)]


def default_version(name, kubernetes):
    return versions_of(name, kubernetes)[1]


def table(world):
    return world.table("addons")


def find(world, cluster, name):
    eks.find(world, cluster)
    one = table(world).get((cluster, name))
    if one is None or visibility.fresh("addon", cluster, name):
        raise eks.missing(f"No addon: {name} found in cluster: {cluster}", clusterName=cluster, addonName=name)
    return one


def has_nodes(world, cluster):
    """Whether a pod without tolerations finds a node."""
    from . import eks_nodes

    return eks_nodes.schedulable(world, cluster) > 0


def refresh(world, one):
    """An add-on's status follows the nodes."""
    if one["status"] not in ("CREATING", "ACTIVE", "DEGRADED") or not one["_settled"]:
        return
    needs = ADDONS[one["addonName"]][4]
    if not needs or has_nodes(world, one["clusterName"]):
        one["status"] = "ACTIVE"
        one["health"] = {"issues": []}
    elif one["status"] != "CREATING" or one["_impatient"]:
        one["status"] = "DEGRADED"
        one["health"] = {
            "issues": [
                {
                    "code": "InsufficientNumberOfReplicas",
                    "message": "The add-on is unhealthy because it doesn't have the desired number of replicas.",
                    "resourceIds": [],
                }
            ]
        }


def view(world, one):
    refresh(world, one)
    return eks.view(one)


def _configuration(text):
    if not text:
        return
    try:
        json.loads(text)
    except ValueError:
        import yaml

        try:
            if not isinstance(yaml.safe_load(text), dict):
                raise ValueError
        except (ValueError, yaml.YAMLError):
            raise eks.invalid("ConfigurationValue provided in request is not supported") from None


def _version(name, cluster, wanted):
    if wanted is None:
        return default_version(name, cluster["version"])
    if wanted not in versions_of(name, cluster["version"]):
        raise eks.invalid(f"Addon version specified is not supported: {wanted} for Kubernetes {cluster['version']}", addonName=name, clusterName=cluster["name"])
    return wanted


def _identify(world, one, wanted):
    """The pod identities of an add-on become those that are wanted."""
    cluster, owner = one["clusterName"], one["addonArn"]
    held = {
        inner["serviceAccount"]: key for key, inner in eks_access.identities(world).items() if inner["ownerArn"] == owner
    }
    for association in wanted:
        account = association["serviceAccount"]
        if account in held:
            eks_access.identities(world)[held.pop(account)]["roleArn"] = association["roleArn"]
        else:
            eks_access.identity(world, cluster, one["namespaceConfig"]["namespace"], account, association["roleArn"], owner=owner)
    for key in held.values():
        del eks_access.identities(world)[key]
    one["podIdentityAssociations"] = [
        inner["associationArn"] for inner in eks_access.identities(world).values() if inner["ownerArn"] == owner
    ]


@app.handles("eks", "CreateAddon")
def create(call):
    world = call.world
    cluster = eks.active(world, call.get("clusterName"))
    name = call.get("addonName")
    token, wanted = call.get("clientRequestToken"), tokens.digest(call.params, "clientRequestToken")
    known = table(world).get((cluster["name"], name))
    if known is not None:
        if token and (known["_token"], known["_asked"]) == (token, wanted):
            return {"addon": view(world, known)}
        raise eks.in_use("Addon already exists.", clusterName=cluster["name"], addonName=name)
    if name not in ADDONS:
        raise eks.invalid(f"Addon {name} specified is not supported", addonName=name, clusterName=cluster["name"])
    version = _version(name, cluster, call.get("addonVersion"))
    _configuration(call.get("configurationValues"))
    namespace = (call.get("namespaceConfig") or {}).get("namespace") or ADDONS[name][3]
    associations = call.get("podIdentityAssociations") or []
    for association in associations:
        eks_access.check_identity(world, cluster["name"], namespace, association.get("serviceAccount"), association.get("roleArn"))
    held_tags = eks.check_tags(call.get("tags"))
    from . import world as world_module

    one = {
        "addonName": name,
        "clusterName": cluster["name"],
        "status": "CREATING",
        "addonVersion": version,
        "health": {"issues": []},
        "addonArn": world.arn("eks", f"addon/{cluster['name']}/{name}/{world_module.letters(8, '0123456789abcdef')}"),
        "createdAt": clock.now(),
        "modifiedAt": clock.now(),
        "serviceAccountRoleArn": call.get("serviceAccountRoleArn"),
        "tags": held_tags,
        "configurationValues": call.get("configurationValues"),
        "podIdentityAssociations": [],
        "namespaceConfig": {"namespace": namespace},
        "owner": "aws",
        "publisher": "eks",
        "_token": token,
        "_asked": wanted,
        "_settled": False,
        "_impatient": False,
    }
    _identify(world, one, associations)
    table(world)[(cluster["name"], name)] = one
    visibility.born("addon", cluster["name"], name)
    clock.after(CREATION, _settled, one)
    clock.after(CREATION + PATIENCE, _impatient, one)
    return {"addon": view(world, one)}


def _settled(one):
    one["_settled"] = True


def _impatient(one):
    one["_impatient"] = True


@app.handles("eks", "DescribeAddon")
def describe(call):
    return {"addon": view(call.world, find(call.world, call.get("clusterName"), call.get("addonName")))}


@app.handles("eks", "ListAddons")
def list_addons(call):
    eks.find(call.world, call.get("clusterName"))
    names = [
        name for cluster, name in table(call.world) if cluster == call.get("clusterName") and not visibility.fresh("addon", cluster, name)
    ]
    return eks.page(call, names, "addons")


@app.handles("eks", "UpdateAddon")
def update(call):
    world = call.world
    cluster = eks.active(world, call.get("clusterName"))
    one = find(world, cluster["name"], call.get("addonName"))
    name = one["addonName"]
    refresh(world, one)
    if one["status"] in ("CREATING", "UPDATING", "DELETING"):
        raise eks.in_use(f"Addon {name} is in status {one['status']} and cannot be updated", clusterName=cluster["name"], addonName=name)
    version = one["addonVersion"] if call.get("addonVersion") is None else _version(name, cluster, call.get("addonVersion"))
    _configuration(call.get("configurationValues"))
    associations = call.get("podIdentityAssociations")
    for association in associations or []:
        from . import policies

        role = policies.role(world, association.get("roleArn"))
        if role is None or not policies.trusts(role, "pods.eks.amazonaws.com"):
            raise eks.invalid("Role provided in the request does not exist or does not trust pods.eks.amazonaws.com.")
    params = [("AddonVersion", version)]
    if call.get("resolveConflicts"):
        params.append(("ResolveConflicts", call.get("resolveConflicts")))
    if call.get("configurationValues") is not None:
        params.append(("ConfigurationValues", call.get("configurationValues")))
    one["status"] = "UPDATING"

    def done():
        one["addonVersion"] = version
        if call.get("configurationValues") is not None:
            one["configurationValues"] = call.get("configurationValues") or None
        if call.get("serviceAccountRoleArn") is not None:
            one["serviceAccountRoleArn"] = call.get("serviceAccountRoleArn") or None
        if associations is not None:
            _identify(world, one, associations)
        one["modifiedAt"] = clock.now()
        if one["status"] == "UPDATING":
            one["status"] = "ACTIVE"
            refresh(world, one)

    made = eks.begin_update(world, cluster["name"], ("addon", name), "AddonUpdate", params, UPDATE, done)
    return {"update": eks.view(made)}


@app.handles("eks", "DeleteAddon")
def delete(call):
    world = call.world
    one = find(world, call.get("clusterName"), call.get("addonName"))
    if one["status"] == "UPDATING":
        raise eks.in_use(f"Addon {one['addonName']} is being updated", clusterName=one["clusterName"], addonName=one["addonName"])
    if one["status"] != "DELETING":
        one["status"] = "DELETING"
        clock.after(DELETION, _gone, world, one)
    return {"addon": eks.view(one)}


def _gone(world, one):
    table(world).pop((one["clusterName"], one["addonName"]), None)
    visibility.gone("addon", one["clusterName"], one["addonName"])
    for key in [key for key, inner in eks_access.identities(world).items() if inner["ownerArn"] == one["addonArn"]]:
        del eks_access.identities(world)[key]


@app.handles("eks", "DescribeAddonVersions")
def describe_versions(call):
    wanted = call.get("addonName")
    kubernetes = call.get("kubernetesVersion")
    if kubernetes is not None and kubernetes not in eks.VERSIONS:
        return {"addons": []}
    rows = []
    for name, (_, _, kind, namespace, _) in ADDONS.items():
        if wanted not in (None, name):
            continue
        found = {}
        for version in reversed(eks.VERSIONS if kubernetes is None else (kubernetes,)):
            for number in versions_of(name, version):
                entry = found.setdefault(
                    number,
                    {
                        "addonVersion": number,
                        "architecture": ["amd64", "arm64"],
                        "computeTypes": ["ec2", "auto", "hybrid"],
                        "compatibilities": [],
                        "requiresConfiguration": False,
                        "requiresIamPermissions": name in ("vpc-cni", "aws-ebs-csi-driver", "aws-fsx-csi-driver", "aws-mountpoint-s3-csi-driver", "amazon-cloudwatch-observability"),
                    },
                )
                entry["compatibilities"].append(
                    {"clusterVersion": version, "platformVersions": ["*"], "defaultVersion": number == default_version(name, version)}
                )
        rows.append(
            {
                "addonName": name,
                "type": kind,
                "addonVersions": list(found.values()),
                "publisher": "eks",
                "owner": "aws",
                "defaultNamespace": namespace,
            }
        )
    return eks.page(call, rows, "addons")


@app.handles("eks", "DescribeAddonConfiguration")
def describe_configuration(call):
    name = call.get("addonName")
    if name not in ADDONS:
        raise eks.missing(f"No addon: {name} found", addonName=name)
    known = {number for version in eks.VERSIONS for number in versions_of(name, version)}
    if call.get("addonVersion") not in known:
        raise Fault("ResourceNotFoundException", f"No addon version {call.get('addonVersion')} found", 404, addonName=name)
    return {
        "addonName": name,
        "addonVersion": call.get("addonVersion"),
        "configurationSchema": json.dumps({"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"}),
        "podIdentityConfiguration": [],
    }


@dump.source
def rows(world):
    for one in table(world).values():
        yield "eks", "addon", one["addonArn"], one["addonName"], dict(one["tags"])
