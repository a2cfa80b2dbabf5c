"""What all resources of EC2 have in common: identifiers, `NotFound` errors, lists with filters and pages, tags.

Filters: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Filter.html (several filters: all must match; several
values: one must; `*` and `?` stand for anything). Errors:
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html. Tags:
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateTags.html.

moto answers lists of 1,000 objects in seconds (it searches all tags by regular expression for each object), knows few
filters for some kinds, leaves tags of deleted objects, and pages almost nothing. The answers here come from its own
objects, as dictionaries.
"""

import base64
import re

from . import app, visibility
from .wire import Fault


class Kind:
    """One kind of resource: where its objects are, how one looks in an answer, what it is called in errors."""

    def __init__(self, prefix, tag_type, code, message, items, view=None, filters=None):
        self.prefix = prefix
        self.tag_type = tag_type
        self.code = code
        self.message = message
        self.items = items
        self.view = view
        self.filters = filters or {}
        KINDS[prefix] = self

    def missing(self, identifier):
        return Fault(self.code, self.message.format(identifier))

    def find(self, world, identifier):
        """The object of an identifier that a caller names."""
        found = self.items(world).get(identifier)
        if found is None or visibility.fresh(identifier):
            raise self.missing(identifier)
        return found


KINDS = {}


def kind_of(identifier):
    return KINDS.get(str(identifier).partition("-")[0])


def not_found(identifier):
    kind = kind_of(identifier)
    if kind is None:
        return Fault("InvalidID", f"The ID '{identifier}' is not valid")
    return kind.missing(identifier)


def tags(world, identifier):
    """Tags of an object, as EC2 lists them."""
    return [{"Key": key, "Value": value} for key, value in (world.ec2.tags.get(identifier) or {}).items()]


def set_tags(world, identifier, pairs):
    for key, value in pairs.items():
        world.ec2.tags[identifier][key] = value


def specified(call, *types):
    """The tags that a creation gives: TagSpecifications of the given types. Another type is refused."""
    given = call.get("TagSpecifications") or []
    found = {}
    for specification in given:
        kind = specification.get("ResourceType")
        if not kind:
            raise Fault("InvalidParameterValue", "Tag specification resource type must have a value")
        if kind not in types:
            raise Fault("InvalidParameterValue", f"'{kind}' is not a valid taggable resource type for this operation.")
        if not specification.get("Tags"):
            raise Fault("InvalidParameterValue", "Tag specification must have at least one tag")
        check_tags(specification["Tags"])
        found.setdefault(kind, {}).update({tag["Key"]: tag.get("Value", "") for tag in specification["Tags"]})
    return found


def check_tags(given):
    keys = [tag.get("Key", "") for tag in given]
    if len(set(keys)) != len(keys):
        raise Fault("InvalidParameterValue", "Duplicate tag key")
    for tag in given:
        if tag.get("Key", "").lower().startswith("aws:"):
            raise Fault(
                "InvalidParameterValue",
                f"Value ( {tag['Key']} ) for parameter key is invalid. Tag keys starting with 'aws:' are reserved for internal use",
            )
        if not 1 <= len(tag.get("Key", "")) <= 128:
            raise Fault("InvalidParameterValue", "Tag key is longer than the maximum 128 characters or empty")
        if len(tag.get("Value") or "") > 256:
            raise Fault("InvalidParameterValue", "Tag value exceeds the maximum length of 256 characters")
    if len(given) > 50:
        raise Fault("TagLimitExceeded", "More than 50 tags specified")


def forget(world, identifier):
    """What is left of an object that is gone."""
    world.ec2.tags.pop(identifier, None)
    visibility.gone(identifier)


def _text(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _pattern(value):
    if "*" not in value and "?" not in value:
        return None
    return re.compile("^" + re.escape(value).replace(r"\*", ".*").replace(r"\?", ".") + "$", re.DOTALL)


class Filters:
    """The filters of one request."""

    def __init__(self, given, known):
        self.tag, self.others = [], []
        for one in given or []:
            name = one.get("Name")
            if not name or "Values" not in one:
                raise Fault("InvalidParameterValue", f"The filter '{name or 'null'}' is invalid")
            values = [_text(value) for value in one["Values"]]
            wanted = ({value for value in values if _pattern(value) is None}, [p for p in map(_pattern, values) if p])
            if name.startswith("tag:"):
                self.tag.append((name[4:], wanted))
            elif name in ("tag-key", "tag-value"):
                self.tag.append((name, wanted))
            elif name in known:
                self.others.append((known[name], wanted))
            else:
                raise Fault("InvalidParameterValue", f"The filter '{name}' is invalid")

    @staticmethod
    def _fits(value, wanted):
        if value is None:
            return False
        if isinstance(value, (list, tuple, set)):
            return any(Filters._fits(one, wanted) for one in value)
        text = _text(value)
        return text in wanted[0] or any(pattern.match(text) for pattern in wanted[1])

    def by_tags(self, found):
        for key, wanted in self.tag:
            if key == "tag-key":
                if not self._fits(list(found), wanted):
                    return False
            elif key == "tag-value":
                if not self._fits(list(found.values()), wanted):
                    return False
            elif not self._fits(found.get(key), wanted):
                return False
        return True

    def by_view(self, view):
        return all(self._fits(take(view), wanted) for take, wanted in self.others)


def page(call, rows, default=1000, member="NextToken"):
    """The part of a list that is asked for, and the token of the next."""
    size = call.get("MaxResults") or default
    start = 0
    token = call.get(member)
    if token:
        try:
            start = int(base64.b64decode(token).decode().partition(":")[2])
        except ValueError:
            raise Fault("InvalidNextToken", "The token is invalid.") from None
    rest = rows[start : start + size]
    following = None
    if start + size < len(rows):
        following = base64.b64encode(f"page:{start + size}".encode()).decode()
    return rest, following


def listing(call, kind, ids=None, names=None):
    """The views of the objects that a describe asks for."""
    world = call.world
    table = kind.items(world)
    filters = Filters(call.get("Filters") or call.get("Filter"), kind.filters)
    all_tags = world.ec2.tags
    if ids:
        for identifier in ids:
            if identifier not in table or visibility.fresh(identifier):
                raise kind.missing(identifier)
        chosen = [(identifier, table[identifier]) for identifier in dict.fromkeys(ids)]
    else:
        chosen = [(identifier, one) for identifier, one in table.items() if not visibility.fresh(identifier)]
    rows = []
    for identifier, one in chosen:
        if filters.tag and not filters.by_tags(all_tags.get(identifier) or {}):
            continue
        view = kind.view(world, one)
        if filters.others and not filters.by_view(view):
            continue
        rows.append(view)
    return rows


def describes(action, kind, result, ids):
    """Registers the describe of a kind."""

    @app.handles("ec2", action)
    def describe(call):
        rows, token = page(call, listing(call, kind, call.get(ids)))
        return {result: rows, "NextToken": token}

    return describe


def attribute(*path):
    """A filter that looks at a member of the view; lists on the way are looked through."""

    def take(view):
        values = [view]
        for name in path:
            following = []
            for value in values:
                if isinstance(value, list):
                    following += [inner.get(name) for inner in value if isinstance(inner, dict)]
                elif isinstance(value, dict):
                    following.append(value.get(name))
            values = following
        flat = []
        for value in values:
            if isinstance(value, list):
                flat += value
            elif value is not None:
                flat.append(value)
        return flat

    return take


@app.handles("ec2", "CreateTags", "DeleteTags")
def change_tags(call):
    given = call.get("Tags") or []
    resources = call.get("Resources") or []
    if not resources:
        raise Fault("MissingParameter", "The request must contain the parameter resourceIdSet")
    for identifier in resources:
        kind = kind_of(identifier)
        if kind is None:
            if identifier.partition("-")[0] in OTHERS:
                continue
            raise Fault("InvalidID", f"The ID '{identifier}' is not valid")
        kind.find(call.world, identifier)
    tables = call.world.ec2.tags
    if call.action == "CreateTags":
        if not given:
            raise Fault("MissingParameter", "The request must contain the parameter Tag")
        check_tags(given)
        for identifier in resources:
            mine = {key for key in (tables.get(identifier) or {}) if not key.startswith("aws:")}
            if len(mine | {tag["Key"] for tag in given}) > 50:
                raise Fault("TagLimitExceeded", "The maximum number of tags for the resource has been reached.")
        for identifier in resources:
            set_tags(call.world, identifier, {tag["Key"]: tag.get("Value") or "" for tag in given})
        return {}
    for identifier in resources:
        held = tables.get(identifier) or {}
        for tag in given or [{"Key": key} for key in held if not key.startswith("aws:")]:
            key = tag["Key"]
            if key.startswith("aws:"):
                raise Fault("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use")
            if key in held and ("Value" not in tag or tag["Value"] == held[key]):
                del held[key]
    return {}


# Prefixes of kinds that stay moto's.
OTHERS = {
    "acl": "network-acl",
    "vol": "volume",
    "snap": "snapshot",
    "ami": "image",
    "key": "key-pair",
    "dopt": "dhcp-options",
    "eigw": "egress-only-internet-gateway",
    "pcx": "vpc-peering-connection",
    "fl": "vpc-flow-log",
    "pl": "prefix-list",
}


@app.handles("ec2", "DescribeTags")
def describe_tags(call):
    known = {
        "key": lambda row: row["Key"],
        "value": lambda row: row["Value"],
        "resource-id": lambda row: row["ResourceId"],
        "resource-type": lambda row: row["ResourceType"],
    }
    filters = Filters(call.get("Filters"), known)
    rows = []
    for identifier, held in call.world.ec2.tags.items():
        if visibility.fresh(identifier):
            continue
        kind = kind_of(identifier)
        kind_name = kind.tag_type if kind else OTHERS.get(identifier.partition("-")[0], "")
        for key, value in held.items():
            row = {"ResourceId": identifier, "ResourceType": kind_name, "Key": key, "Value": value}
            if all(filters._fits(value, wanted) for name, wanted in filters.tag for value in [held.get(name)]) and filters.by_view(row):
                rows.append(row)
    chosen, token = page(call, rows)
    return {"Tags": chosen, "NextToken": token}
