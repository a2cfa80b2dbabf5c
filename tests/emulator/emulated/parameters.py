"""AWS's public parameters in Systems Manager: the images of EKS, Amazon Linux, deep learning and Neuron.

https://docs.aws.amazon.com/eks/latest/userguide/retrieve-ami-id.html,
https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-public-parameters-ami.html,
https://docs.aws.amazon.com/dlami/latest/devguide/find-dlami-id.html,
https://awsdocs-neuron.readthedocs-hosted.com/en/latest/dlami/index.html. Identifiers of images are made up, the same every time
for a region and a parameter. Other parameters are moto's; moto has none of these.

DescribeImages tells the images of these parameters, and takes any other identifier of the right form for an image of x86_64
(https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeImages.html).
"""

import functools
import hashlib
import re

from . import app, ec2, eks
from .wire import Fault


def image(region, name):
    return "ami-" + hashlib.sha256(f"{region}:{name}".encode()).hexdigest()[:17]


PATTERNS = (
    r"/aws/service/eks/optimized-ami/1\.\d+/amazon-linux-2023/(x86_64/(standard|nvidia|neuron)|arm64/(standard|nvidia))/recommended/(image_id|release_version|image_name)",
    r"/aws/service/bottlerocket/aws-k8s-1\.\d+(-nvidia)?/(x86_64|arm64)/latest/(image_id|image_version)",
    r"/aws/service/ami-amazon-linux-latest/al2023-ami-(minimal-)?kernel-(default|6\.1|6\.12)-(x86_64|arm64)",
    r"/aws/service/ami-amazon-linux-latest/amzn2-ami-hvm-x86_64-gp2",
    r"/aws/service/deeplearning/ami/(x86_64|arm64)/base-(oss|with-single-cuda)-nvidia-driver-gpu-amazon-linux-2023/latest/ami-id",
    r"/aws/service/deeplearning/ami/(x86_64|arm64)/base-oss-nvidia-driver-gpu-(amazon-linux-2023|ubuntu-22\.04|ubuntu-24\.04)/latest/ami-id",
    r"/aws/service/neuron/dlami/(base|multi-framework|pytorch-[0-9.]+)/(amazon-linux-2023|ubuntu-22\.04|ubuntu-24\.04)/latest/image_id",
)


def public(region, name):
    """The value of a public parameter, or nothing."""
    if not any(re.fullmatch(pattern, name) for pattern in PATTERNS):
        return None
    found = re.search(r"(?:optimized-ami/|aws-k8s-)(1\.\d+)", name)
    if found and found.group(1) not in eks.VERSIONS:
        return None
    if name.endswith("/release_version"):
        return f"{found.group(1)}.2-20251112"
    if name.endswith("/image_version"):
        return "1.50.0-6e1fa1bb"
    if name.endswith("/image_name"):
        return "amazon-eks-node-al2023-" + "-".join(name.split("/")[7:9]) + f"-{found.group(1)}-v20251112"
    return image(region, name)


def value(world, name):
    """The value of any parameter, as launches resolve it; a version or label after a colon is left out."""
    name = name.partition(":")[0]
    found = public(world.region, name)
    if found is not None:
        return found
    from moto.ssm.models import ssm_backends

    held = ssm_backends[world.account][world.region].get_parameter(name)
    return held.value if held is not None else None


def node_image(world, ami_type, kubernetes):
    """The image that EKS takes for a type of image."""
    from . import eks_nodes

    architecture, variant = eks_nodes.AMI_TYPES.get(ami_type, (None, None))
    if variant:
        return image(world.region, f"/aws/service/eks/optimized-ami/{kubernetes}/amazon-linux-2023/{architecture}/{variant}/recommended/image_id")
    return image(world.region, f"{ami_type}/{kubernetes}")


@functools.cache
def images(region):
    """The images of the public parameters: identifier to name and architecture."""
    found = {}
    for version in eks.VERSIONS:
        for variant in ("x86_64/standard", "x86_64/nvidia", "x86_64/neuron", "arm64/standard", "arm64/nvidia"):
            path = f"/aws/service/eks/optimized-ami/{version}/amazon-linux-2023/{variant}/recommended/"
            found[image(region, path + "image_id")] = (public(region, path + "image_name"), variant.partition("/")[0])
    for architecture in ("x86_64", "arm64"):
        for kernel in ("default", "6.1", "6.12"):
            path = f"/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-{kernel}-{architecture}"
            found[image(region, path)] = (f"al2023-ami-2023.9.20251110.1-kernel-{kernel}-{architecture}", architecture)
        path = f"/aws/service/deeplearning/ami/{architecture}/base-oss-nvidia-driver-gpu-amazon-linux-2023/latest/ami-id"
        found[image(region, path)] = (f"Deep Learning Base OSS Nvidia Driver GPU AMI (Amazon Linux 2023) {architecture} 20251107", architecture)
    path = "/aws/service/neuron/dlami/base/amazon-linux-2023/latest/image_id"
    found[image(region, path)] = ("Deep Learning Base Neuron AMI (Amazon Linux 2023) 20251107", "x86_64")
    return found


def _image(identifier, name, architecture):
    return {
        "ImageId": identifier,
        "Name": name,
        "Description": name,
        "Architecture": architecture,
        "CreationDate": "2025-11-12T00:00:00.000Z",
        "ImageLocation": f"amazon/{name}",
        "ImageType": "machine",
        "Public": True,
        "OwnerId": "137112412989",
        "ImageOwnerAlias": "amazon",
        "PlatformDetails": "Linux/UNIX",
        "UsageOperation": "RunInstances",
        "State": "available",
        "BlockDeviceMappings": [
            {
                "DeviceName": "/dev/xvda",
                "Ebs": {"DeleteOnTermination": True, "SnapshotId": identifier.replace("ami-", "snap-"), "VolumeSize": 20, "VolumeType": "gp3", "Encrypted": False},
            }
        ],
        "EnaSupport": True,
        "Hypervisor": "xen",
        "RootDeviceName": "/dev/xvda",
        "RootDeviceType": "ebs",
        "VirtualizationType": "hvm",
        "BootMode": "uefi-preferred",
        "ImdsSupport": "v2.0",
    }


@app.handles("ec2", "DescribeImages")
def describe_images(call):
    known = images(call.region)
    wanted = call.get("ImageIds")
    rows = []
    for identifier in wanted or known:
        if not re.fullmatch(r"ami-[0-9a-f]{8}(?:[0-9a-f]{9})?", identifier):
            raise Fault("InvalidAMIID.Malformed", f'Invalid id: "{identifier}"')
        if not identifier.removeprefix("ami-").strip("0"):
            raise Fault("InvalidAMIID.NotFound", f"The image id '[{identifier}]' does not exist")
        name, architecture = known.get(identifier, (f"image-{identifier}", "x86_64"))
        rows.append(_image(identifier, name, architecture))
    filters = ec2.Filters(
        call.get("Filters"),
        {
            "name": ec2.attribute("Name"),
            "architecture": ec2.attribute("Architecture"),
            "image-id": ec2.attribute("ImageId"),
            "owner-id": ec2.attribute("OwnerId"),
            "owner-alias": ec2.attribute("ImageOwnerAlias"),
            "state": ec2.attribute("State"),
            "root-device-type": ec2.attribute("RootDeviceType"),
            "virtualization-type": ec2.attribute("VirtualizationType"),
            "is-public": ec2.attribute("Public"),
        },
    )
    owners = call.get("Owners")
    rows = [row for row in rows if filters.by_view(row) and (not owners or {"amazon", row["OwnerId"]} & set(owners))]
    return {"Images": rows}


def _parameter(world, name, found):
    return {
        "Name": name,
        "Type": "String",
        "Value": found,
        "Version": 1,
        "LastModifiedDate": 1762905600.0,
        "ARN": f"arn:{world.partition}:ssm:{world.region}::parameter{name}",
        "DataType": "aws:ec2:image" if found.startswith("ami-") else "text",
    }


@app.handles("ssm", "GetParameter")
def get(call):
    name = call.get("Name") or ""
    if name.startswith("/aws/service/"):
        found = public(call.region, name)
        if found is None:
            raise Fault("ParameterNotFound", f"Parameter {name} not found.")
        return {"Parameter": _parameter(call.world, name, found)}
    return call.moto()


@app.handles("ssm", "GetParameters")
def get_many(call):
    names = call.get("Names") or []
    ours = [name for name in names if name.startswith("/aws/service/")]
    if not ours:
        return call.moto()
    rows, unknown = [], []
    from moto.ssm.models import ssm_backends

    backend = ssm_backends[call.account][call.region]
    for name in names:
        found = public(call.region, name)
        if found is not None:
            rows.append(_parameter(call.world, name, found))
            continue
        held = backend.get_parameter(name) if name not in ours else None
        if held is None:
            unknown.append(name)
        else:
            rows.append(held.response_object(call.get("WithDecryption", False), call.region))
    return {"Parameters": rows, "InvalidParameters": unknown}


@app.handles("ssm", "GetParametersByPath")
def by_path(call):
    path = (call.get("Path") or "").rstrip("/")
    if not path.startswith("/aws/service/eks/optimized-ami"):
        return call.moto()
    rows = []
    for version in eks.VERSIONS:
        for variant in ("x86_64/standard", "x86_64/nvidia", "x86_64/neuron", "arm64/standard", "arm64/nvidia"):
            for leaf in ("image_id", "release_version", "image_name"):
                name = f"/aws/service/eks/optimized-ami/{version}/amazon-linux-2023/{variant}/recommended/{leaf}"
                rest = name.removeprefix(path + "/")
                if name.startswith(path + "/") and (call.get("Recursive") or "/" not in rest):
                    rows.append(_parameter(call.world, name, public(call.region, name)))
    size, start = int(call.get("MaxResults") or 10), int(call.get("NextToken") or 0)
    more = start + size < len(rows)
    return {"Parameters": rows[start : start + size], "NextToken": str(start + size) if more else None}
