"""Fresh objects that are not seen yet.

AWS is eventually consistent: what was made a moment ago may be missing from lists and be `NotFound` by its identifier, in EC2
(https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html) as in IAM
(https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency). In moto
everything is seen at once.

The setting `visibility_seconds` says for how many seconds of wall-clock time; `visibility_writes` whether calls that change
something and name a fresh object fail too. Names stay taken meanwhile, as in AWS. S3 is strongly consistent and left alone.
"""

import re
import time

from . import app, settings
from .wire import Fault

_births = {}
IDENTIFIER = re.compile(r"\b((?:vpc|subnet|igw|rtb|sg|eipalloc|nat|vpce|eni|lt|i|pg|cr|vol|acl|fs|dra)-[0-9a-f]{8,17})\b")


def born(*key):
    """An object has been made."""
    _births.setdefault(key, time.monotonic())


def gone(*key):
    _births.pop(key, None)


def fresh(*key):
    """Whether an object is not seen yet."""
    wait = settings.get("visibility_seconds")
    if not wait:
        return False
    birth = _births.get(key)
    return birth is not None and time.monotonic() - birth < wait


@app.finishes
def register(call, status, headers, body):
    """Notes when what a creation of EC2 names was made."""
    if call.service == "ec2" and status < 300 and (call.action or "").startswith(("Create", "Run", "Allocate", "Purchase")):
        text = body if isinstance(body, str) else body.decode()
        for identifier in IDENTIFIER.findall(text):
            born(identifier)
    return status, headers, body


def _strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


@app.guard
def hide(call):
    if not settings.get("visibility_seconds") or not call.action:
        return
    if call.service == "ec2":
        if settings.get("visibility_writes") and not call.action.startswith(("Describe", "Get")):
            from . import ec2

            for value in _strings(call.params):
                if fresh(value):
                    raise ec2.not_found(value)
    elif call.service == "iam":
        return _iam(call)


def _iam(call):
    if not call.action.startswith("Create"):
        for member, kind, name in (
            ("RoleName", "role", "role"),
            ("InstanceProfileName", "instance-profile", "Instance Profile"),
            ("OpenIDConnectProviderArn", "oidc-provider", "OpenIDConnect Provider"),
        ):
            value = call.request.values.get(member)
            if value and fresh("iam", call.account, kind, value):
                raise Fault("NoSuchEntity", f"The {name} with name {value} cannot be found.", 404)
    if call.action.startswith("List") and not call.action.startswith("ListAttached"):
        return _iam_list(call)
    return None


def _iam_list(call):
    """A list of IAM, answered while the fresh are out of moto's dictionaries."""
    iam = call.world.iam
    hidden = []
    for table, kind, name in (
        (iam.roles, "role", lambda key, one: one.name),
        (iam.instance_profiles, "instance-profile", lambda key, one: one.name),
        (iam.open_id_providers, "oidc-provider", lambda key, one: one.arn),
    ):
        for key, one in list(table.items()):
            if fresh("iam", call.account, kind, name(key, one)):
                hidden.append((table, key, table.pop(key)))
    try:
        return app.perform(call)
    finally:
        for table, key, one in hidden:
            table[key] = one


@app.after("iam", "CreateRole")
def _role(call, _):
    born("iam", call.account, "role", call.get("RoleName"))


@app.after("iam", "CreateInstanceProfile")
def _profile(call, _):
    born("iam", call.account, "instance-profile", call.get("InstanceProfileName"))


@app.after("iam", "CreateOpenIDConnectProvider")
def _provider(call, body):
    found = re.search(r"<OpenIDConnectProviderArn>([^<]+)<", body if isinstance(body, str) else body.decode())
    if found:
        born("iam", call.account, "oidc-provider", found.group(1))


@app.after("iam", "DeleteRole")
def _role_gone(call, _):
    gone("iam", call.account, "role", call.get("RoleName"))


@app.after("iam", "DeleteInstanceProfile")
def _profile_gone(call, _):
    gone("iam", call.account, "instance-profile", call.get("InstanceProfileName"))


app.RESETS.append(_births.clear)
