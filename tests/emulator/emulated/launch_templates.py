"""Launch templates and their versions.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateLaunchTemplate.html and the pages beside it. Versions are
numbered from 1 and never reused; a version may be made from another (`SourceVersion`), whose settings it takes over one by
one; the default version is not deleted. Tags of the template are its own and no part of what it launches.

moto writes the template's tags into its data as a tag specification, ignores tokens, pages of versions and SourceVersion.
"""

import re

from . import app, clock, ec2, visibility
from . import world as world_module
from .ec2 import Kind, attribute
from .wire import Fault


class Template:
    def __init__(self, world, name):
        self.id = world_module.identifier("lt")
        self.name = name
        self.created = clock.now()
        self.author = f"arn:{world.partition}:iam::{world.account}:root"
        self.versions = {}
        self.default = 1
        self.latest = 0

    def add(self, data, description):
        self.latest += 1
        self.versions[self.latest] = {"number": self.latest, "data": data, "description": description, "created": clock.now()}
        return self.versions[self.latest]

    def version(self, wanted):
        """A version by number, `$Latest` or `$Default`; nothing where there is none."""
        text = str(wanted)
        if text == "$Latest":
            return self.versions.get(self.latest) or (self.versions[max(self.versions)] if self.versions else None)
        if text == "$Default":
            return self.versions.get(self.default)
        return self.versions.get(int(text)) if text.isdigit() else None


def table(world):
    return world.table("launch-templates")


def view(world, one):
    return {
        "LaunchTemplateId": one.id,
        "LaunchTemplateName": one.name,
        "CreateTime": one.created,
        "CreatedBy": one.author,
        "DefaultVersionNumber": one.default,
        "LatestVersionNumber": one.latest,
        "Tags": ec2.tags(world, one.id),
    }


TEMPLATE = Kind(
    "lt",
    "launch-template",
    "InvalidLaunchTemplateId.NotFound",
    "The specified launch template, with template ID {}, does not exist.",
    table,
    view,
    {"create-time": attribute("CreateTime"), "launch-template-name": attribute("LaunchTemplateName")},
)


def by_name(world, name):
    for one in table(world).values():
        if one.name == name:
            return one
    return None


def find(world, identifier=None, name=None):
    """The template that a caller names, by identifier or by name."""
    if identifier and name:
        raise Fault("InvalidParameterCombination", "Either provide launch template ID or launch template name.")
    if identifier:
        return TEMPLATE.find(world, identifier)
    if not name:
        raise Fault("MissingParameter", "Either launch template ID or launch template name is required")
    one = by_name(world, name)
    if one is None or visibility.fresh(one.id):
        raise Fault(
            "InvalidLaunchTemplateName.NotFoundException",
            f"The specified launch template, with template name {name}, does not exist.",
        )
    return one


def of_call(call):
    return find(call.world, call.get("LaunchTemplateId"), call.get("LaunchTemplateName"))


def version_of(template, wanted):
    found = template.version(wanted)
    if found is None:
        raise Fault(
            "InvalidLaunchTemplateId.VersionNotFound",
            f"Could not find launch template version {wanted} for {template.id}",
        )
    return found


def fit(shape, value):
    """What of a value a shape of an answer has."""
    if shape.type_name == "structure" and isinstance(value, dict):
        return {name: fit(shape.members[name], inner) for name, inner in value.items() if name in shape.members}
    if shape.type_name == "list" and isinstance(value, list):
        return [fit(shape.member, inner) for inner in value]
    return value


def version_view(call, template, version):
    shape = app.operation_of("ec2", "CreateLaunchTemplateVersion").output_shape.members["LaunchTemplateVersion"]
    return {
        "LaunchTemplateId": template.id,
        "LaunchTemplateName": template.name,
        "VersionNumber": version["number"],
        "VersionDescription": version["description"],
        "CreateTime": version["created"],
        "CreatedBy": template.author,
        "DefaultVersion": version["number"] == template.default,
        "LaunchTemplateData": fit(shape.members["LaunchTemplateData"], version["data"]),
    }


INTERFACE_TYPES = ("interface", "efa", "efa-only")


def check(data):
    """What AWS refuses already when a template is made."""
    if not data:
        raise Fault("InvalidRequest", "The request must include at least one parameter of the launch template data.")
    for nic in data.get("NetworkInterfaces") or []:
        kind = nic.get("InterfaceType")
        if kind and kind not in INTERFACE_TYPES:
            raise Fault("InvalidInterfaceType", f"{kind} is not a valid network interface type.")
    user_data = data.get("UserData")
    if user_data and not re.fullmatch(r"[A-Za-z0-9+/=\s]*", str(user_data)):
        raise Fault("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.")
    for specification in data.get("TagSpecifications") or []:
        ec2.check_tags(specification.get("Tags") or [])


@app.handles("ec2", "CreateLaunchTemplate")
def create(call):
    world = call.world
    given = ec2.specified(call, "launch-template")
    name = call.get("LaunchTemplateName") or ""
    if not 3 <= len(name) <= 128 or not re.fullmatch(r"[A-Za-z0-9()./_\-]+", name):
        raise Fault(
            "InvalidLaunchTemplateName.MalformedException",
            "Launch template names must be between 3 and 128 characters, and may contain letters, numbers, and the following "
            "characters: -()./_.",
        )
    if by_name(world, name) is not None:
        raise Fault(
            "InvalidLaunchTemplateName.AlreadyExistsException", "Launch template name already in use."
        )
    data = call.get("LaunchTemplateData")
    check(data)
    one = Template(world, name)
    one.add(data, call.get("VersionDescription"))
    table(world)[one.id] = one
    ec2.set_tags(world, one.id, given.get("launch-template", {}))
    return {"LaunchTemplate": view(world, one)}


@app.handles("ec2", "CreateLaunchTemplateVersion")
def create_version(call):
    template = of_call(call)
    data = call.get("LaunchTemplateData")
    source = call.get("SourceVersion")
    if source:
        data = {**version_of(template, source)["data"], **(data or {})}
    check(data)
    version = template.add(data, call.get("VersionDescription"))
    return {"LaunchTemplateVersion": version_view(call, template, version)}


@app.handles("ec2", "ModifyLaunchTemplate")
def modify(call):
    template = of_call(call)
    wanted = call.get("DefaultVersion") or call.get("SetDefaultVersion")
    if wanted:
        template.default = version_of(template, wanted)["number"]
    return {"LaunchTemplate": view(call.world, template)}


@app.handles("ec2", "DeleteLaunchTemplate")
def delete(call):
    template = of_call(call)
    shown = view(call.world, template)
    table(call.world).pop(template.id)
    ec2.forget(call.world, template.id)
    return {"LaunchTemplate": {**shown, "Tags": None}}


@app.handles("ec2", "DeleteLaunchTemplateVersions")
def delete_versions(call):
    template = of_call(call)
    done, failed = [], []
    for text in call.get("Versions") or []:
        number = int(text)
        known = {"LaunchTemplateId": template.id, "LaunchTemplateName": template.name, "VersionNumber": number}
        if number == template.default:
            failed.append({**known, "ResponseError": {"Code": "unexpectedError", "Message": "The default version cannot be deleted."}})
        elif number not in template.versions:
            failed.append({**known, "ResponseError": {"Code": "launchTemplateVersionDoesNotExist", "Message": f"Could not find version {number}"}})
        else:
            del template.versions[number]
            done.append(known)
    return {"SuccessfullyDeletedLaunchTemplateVersions": done, "UnsuccessfullyDeletedLaunchTemplateVersions": failed}


@app.handles("ec2", "DescribeLaunchTemplates")
def describe(call):
    names = call.get("LaunchTemplateNames")
    ids = list(call.get("LaunchTemplateIds") or [])
    for name in names or []:
        ids.append(find(call.world, name=name).id)
    rows, token = ec2.page(call, ec2.listing(call, TEMPLATE, ids), 200)
    return {"LaunchTemplates": rows, "NextToken": token}


@app.handles("ec2", "DescribeLaunchTemplateVersions")
def describe_versions(call):
    wanted = call.get("Versions") or []
    if not call.get("LaunchTemplateId") and not call.get("LaunchTemplateName"):
        if not wanted or any(one not in ("$Latest", "$Default") for one in wanted):
            raise Fault("MissingParameter", "Either launch template ID or launch template name is required")
        templates = [one for one in table(call.world).values() if not visibility.fresh(one.id)]
    else:
        templates = [of_call(call)]
    rows = []
    for template in templates:
        if wanted:
            found = {}
            for one in wanted:
                version = version_of(template, one)
                found[version["number"]] = version
            versions = list(found.values())
        else:
            first, last = int(call.get("MinVersion") or 1), int(call.get("MaxVersion") or template.latest)
            versions = [
                version for number, version in sorted(template.versions.items(), reverse=True) if first <= number <= last
            ]
        rows += [version_view(call, template, version) for version in versions]
    chosen, token = ec2.page(call, rows, 200)
    return {"LaunchTemplateVersions": chosen, "NextToken": token}
