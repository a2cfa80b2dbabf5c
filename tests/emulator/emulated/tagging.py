"""The Resource Groups Tagging API over everything that is held.

https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html: resources of the region that have
tags. IAM is global and answers in us-east-1; of it, roles and users are not found this way, nor are Auto Scaling groups
(https://docs.aws.amazon.com/ARG/latest/userguide/supported-resources.html). moto knows some services' resources, none of
those that are added here.
"""

import base64

from . import app, dump, ec2, visibility
from .wire import Fault

EC2_TYPES = {
    "vpc": "vpc",
    "subnet": "subnet",
    "route-table": "route-table",
    "security-group": "security-group",
    "internet-gateway": "internet-gateway",
    "elastic-ip": "elastic-ip",
    "natgateway": "natgateway",
    "vpc-endpoint": "vpc-endpoint",
    "network-interface": "network-interface",
    "launch-template": "launch-template",
    "placement-group": "placement-group",
    "capacity-reservation": "capacity-reservation",
    "instance": "instance",
    "volume": "volume",
}


def mappings(world):
    """What is tagged: (ARN, type, tags, name to set tags by)."""
    for row in dump.ec2_rows(world):
        kind = EC2_TYPES.get(row["type"])
        if kind and row["tags"] and not visibility.fresh(row["id"]):
            yield world.arn("ec2", f"{kind}/{row['id']}"), f"ec2:{kind}", row["tags"]
    from . import eks, eks_access, eks_addons, eks_nodes, fsx

    for table, member, kind in (
        (eks.table(world), "arn", "eks:cluster"),
        (eks_nodes.table(world), "nodegroupArn", "eks:nodegroup"),
        (eks_addons.table(world), "addonArn", "eks:addon"),
        (eks_access.entries(world), "accessEntryArn", "eks:access-entry"),
        (eks_access.identities(world), "associationArn", "eks:podidentityassociation"),
    ):
        for one in table.values():
            if one["tags"] and not _fresh_of_eks(world, kind, one):
                yield one[member], kind, one["tags"]
    for table, kind, member in ((fsx.table(world), "fsx:file-system", "FileSystemId"), (fsx.associations(world), "fsx:association", "AssociationId")):
        for one in table.values():
            if one["_tags"] and not visibility.fresh(one[member]):
                yield one["ResourceARN"], kind, one["_tags"]
    for row in dump.s3_rows(world):
        from moto.s3.models import s3_backends

        bucket = s3_backends[world.account][world.partition].buckets[row["name"]]
        if row["tags"] and bucket.region_name == world.region:
            yield row["id"], "s3:bucket", row["tags"]
    if world.region == "us-east-1":
        for row in dump.iam_rows(world):
            if row["type"] in ("instance-profile", "oidc-provider", "policy") and row["tags"]:
                if not visibility.fresh("iam", world.account, row["type"], row["name"] if row["type"] != "oidc-provider" else row["id"]):
                    yield row["id"], f"iam:{row['type']}", row["tags"]


def _fresh_of_eks(world, kind, one):
    if kind == "eks:cluster":
        return visibility.fresh("cluster", world.account, world.region, one["name"])
    if kind == "eks:nodegroup":
        return visibility.fresh("nodegroup", one["clusterName"], one["nodegroupName"])
    if kind == "eks:addon":
        return visibility.fresh("addon", one["clusterName"], one["addonName"])
    if kind == "eks:access-entry":
        return visibility.fresh("access-entry", one["clusterName"], one["principalArn"])
    return visibility.fresh("identity", one["associationId"])


def _fits(kind, tags, types, filters):
    if types and not any(kind == one or kind.partition(":")[0] == one for one in types):
        return False
    for one in filters:
        if one["Key"] not in tags:
            return False
        if one.get("Values") and tags[one["Key"]] not in one["Values"]:
            return False
    return True


@app.handles("resourcegroupstaggingapi", "GetResources")
def get(call):
    types, filters = call.get("ResourceTypeFilters") or [], call.get("TagFilters") or []
    arns = call.get("ResourceARNList")
    if arns and (types or filters):
        raise Fault("InvalidParameterException", "ResourceARNList cannot be used with other filters.")
    call.world.ec2  # noqa: B018  the region's own things are there from the first look
    rows = [
        {"ResourceARN": arn, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
        for arn, kind, tags in mappings(call.world)
        if _fits(kind, tags, types, filters) and (not arns or arn in arns)
    ]
    size = int(call.get("ResourcesPerPage") or 100)
    start = 0
    if call.get("PaginationToken"):
        try:
            start = int(base64.b64decode(call.get("PaginationToken")).decode())
        except ValueError:
            raise Fault("PaginationTokenExpiredException", "The pagination token is not valid.") from None
    more = start + size < len(rows)
    return {
        "ResourceTagMappingList": rows[start : start + size],
        "PaginationToken": base64.b64encode(str(start + size).encode()).decode() if more else "",
    }


@app.handles("resourcegroupstaggingapi", "GetTagKeys")
def keys(call):
    return {"TagKeys": sorted({key for _, _, tags in mappings(call.world) for key in tags}), "PaginationToken": ""}


@app.handles("resourcegroupstaggingapi", "GetTagValues")
def tag_values(call):
    wanted = call.get("Key")
    return {"TagValues": sorted({tags[wanted] for _, _, tags in mappings(call.world) if wanted in tags}), "PaginationToken": ""}


@app.handles("resourcegroupstaggingapi", "TagResources", "UntagResources")
def change(call):
    world = call.world
    failed = {}
    for arn in call.get("ResourceARNList") or []:
        service, resource = arn.split(":")[2], arn.split(":", 5)[5]
        try:
            if service == "ec2":
                identifier = resource.rpartition("/")[2]
                kind = ec2.kind_of(identifier)
                if kind is None:
                    raise Fault("InvalidParameterException", "The resource is not known.")
                kind.find(world, identifier)
                held = world.ec2.tags[identifier]
            elif service == "eks":
                from . import eks

                held = eks.by_arn(world, arn)["tags"]
            elif service == "fsx":
                from . import fsx

                held = fsx.by_arn(world, arn)["_tags"]
            else:
                raise Fault("InvalidParameterException", f"Tags of {service} cannot be changed this way here.")
        except Fault as fault:
            failed[arn] = {"StatusCode": fault.status, "ErrorCode": "InvalidParameterException", "ErrorMessage": fault.message}
            continue
        if call.action == "TagResources":
            held.update(call.get("Tags") or {})
        else:
            for key in call.get("TagKeys") or []:
                held.pop(key, None)
    return {"FailedResourcesMap": failed}
