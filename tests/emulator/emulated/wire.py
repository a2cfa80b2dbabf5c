"""How answers and errors look on the wire.

AWS speaks several protocols (https://smithy.io/2.0/aws/protocols/index.html): `ec2` and `query` answer XML, `json` and
`rest-json` JSON, S3 its own XML. Which names and which order come from the service models that botocore carries.

moto has serialisers of its own; they look up every attribute of its objects by several names, which costs seconds for a
list of 1,000 security groups. These take plain dictionaries.
"""

import base64
import datetime
import json
import uuid
from xml.sax.saxutils import escape

EC2_NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"


class Fault(Exception):
    """An error of AWS: its code, its message, its HTTP status and further members of its shape."""

    def __init__(self, code, message="", status=400, **members):
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.members = members


def request_id():
    return str(uuid.uuid4())


def timestamp(value):
    """A time in ISO 8601, from seconds since 1970, a datetime or text."""
    if isinstance(value, (int, float)):
        value = datetime.datetime.fromtimestamp(value, datetime.timezone.utc)
    if isinstance(value, datetime.datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03d}Z"
    return str(value)


def _scalar(shape):
    kind = shape.type_name
    if kind == "boolean":
        return lambda value: "true" if value else "false"
    if kind == "timestamp":
        return timestamp
    if kind == "blob":
        return lambda value: base64.b64encode(value if isinstance(value, bytes) else value.encode()).decode()
    if kind == "string":
        return lambda value: escape(str(value))
    return str


class Xml:
    """Writers of XML by shape, made when first needed and kept."""

    def __init__(self):
        self.writers = {}

    def body(self, shape, value):
        if shape is None or value is None:
            return ""
        return self.writer(shape)(value)

    def writer(self, shape):
        key = (shape.name, shape.type_name, shape.serialization.get("flattened", False))
        found = self.writers.get(key)
        if found is None:
            found = self.writers[key] = self._make(shape)
        return found

    def _make(self, shape):
        kind = shape.type_name
        if kind == "structure":
            return self._structure(shape)
        if kind == "list":
            tag = shape.member.serialization.get("name", "member")
            member = shape.member

            def write_list(values):
                write = self.writer(member)
                return "".join([f"<{tag}>{write(value)}</{tag}>" for value in values])

            return write_list
        if kind == "map":
            key_tag = shape.key.serialization.get("name", "key")
            value_tag = shape.value.serialization.get("name", "value")

            def write_map(values):
                write = self.writer(shape.value)
                return "".join(
                    f"<entry><{key_tag}>{escape(str(key))}</{key_tag}><{value_tag}>{write(value)}</{value_tag}></entry>"
                    for key, value in values.items()
                )

            return write_map
        return _scalar(shape)

    def _structure(self, shape):
        members = {}

        def write_structure(value):
            parts = []
            for name, inner in value.items():
                if inner is None:
                    continue
                known = members.get(name)
                if known is None:
                    member = shape.members.get(name)
                    if member is None:
                        raise KeyError(f"{shape.name} has no member {name}")
                    known = members[name] = (member.serialization.get("name", name), self.writer(member))
                tag, write = known
                parts.append(f"<{tag}>{write(inner)}</{tag}>")
            return "".join(parts)

        return write_structure


_of_services = {}


def xml(service):
    """The writers of a service: services call different shapes by the same names."""
    found = _of_services.get(service)
    if found is None:
        found = _of_services[service] = Xml()
    return found


def plain(value):
    """JSON of the times and bytes that dictionaries hold: times are seconds since 1970 in every JSON protocol of AWS."""
    if isinstance(value, datetime.datetime):
        if value.tzinfo is None:
            value = value.replace(tzinfo=datetime.timezone.utc)
        return value.timestamp()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, (set, tuple)):
        return list(value)
    raise TypeError(type(value))


def without_none(value):
    if isinstance(value, dict):
        return {key: without_none(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [without_none(inner) for inner in value]
    return value


def success(call, result):
    """The answer to a call, as status, headers, body."""
    rid = request_id()
    if call.protocol == "ec2":
        body = xml(call.service).body(call.operation.output_shape, result or {})
        if not result and call.operation.output_shape is None:
            body = "<return>true</return>"
        action = call.action
        return (
            200,
            {"Content-Type": "text/xml;charset=UTF-8", "x-amzn-requestid": rid},
            f'<?xml version="1.0" encoding="UTF-8"?>\n<{action}Response xmlns="{EC2_NAMESPACE}"><requestId>{rid}</requestId>'
            f"{body}</{action}Response>",
        )
    if call.protocol == "query":
        action = call.action
        shape = call.operation.output_shape
        inner = ""
        if shape is not None:
            wrapper = shape.serialization.get("resultWrapper", f"{action}Result")
            inner = f"<{wrapper}>{xml(call.service).body(shape, result or {})}</{wrapper}>"
        namespace = call.model.metadata.get("xmlNamespace", "")
        return (
            200,
            {"Content-Type": "text/xml", "x-amzn-requestid": rid},
            f'<{action}Response xmlns="{namespace}">{inner}<ResponseMetadata><RequestId>{rid}</RequestId>'
            f"</ResponseMetadata></{action}Response>",
        )
    if call.protocol == "json":
        version = call.model.metadata.get("jsonVersion", "1.1")
        return (
            200,
            {"Content-Type": f"application/x-amz-json-{version}", "x-amzn-requestid": rid},
            json.dumps(without_none(result or {}), default=plain),
        )
    if call.protocol == "cbor":
        from . import cbor

        headers = {"Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor", "x-amzn-requestid": rid}
        return 200, headers, cbor.encode(without_none(result or {}))
    status = call.operation.http.get("responseCode", 200) if call.operation else 200
    return (
        status,
        {"Content-Type": "application/json", "x-amzn-requestid": rid},
        json.dumps(without_none(result or {}), default=plain),
    )


def failure(protocol, fault):
    """The answer that tells an error, in the form of the service's protocol."""
    rid = request_id()
    code, message = escape(fault.code), escape(fault.message)
    if protocol == "ec2":
        return (
            fault.status,
            {"Content-Type": "text/xml;charset=UTF-8", "x-amzn-requestid": rid},
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
            f"<RequestID>{rid}</RequestID></Response>",
        )
    if protocol == "query":
        side = "Sender" if fault.status < 500 else "Receiver"
        return (
            fault.status,
            {"Content-Type": "text/xml", "x-amzn-requestid": rid},
            f"<ErrorResponse><Error><Type>{side}</Type><Code>{code}</Code><Message>{message}</Message></Error>"
            f"<RequestId>{rid}</RequestId></ErrorResponse>",
        )
    if protocol == "rest-xml":
        return (
            fault.status,
            {"Content-Type": "application/xml", "x-amz-request-id": rid},
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Error><Code>{code}</Code><Message>{message}</Message><RequestId>{rid}</RequestId>"
            + "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in fault.members.items())
            + "</Error>",
        )
    if protocol == "cbor":
        from . import cbor

        headers = {"Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor", "x-amzn-requestid": rid}
        return fault.status, headers, cbor.encode({"__type": fault.code, "message": fault.message, **fault.members})
    body = {"message": fault.message, **fault.members}
    headers = {"x-amzn-requestid": rid, "x-amzn-ErrorType": fault.code}
    if protocol == "json":
        body = {"__type": fault.code, "message": fault.message, "Message": fault.message, **fault.members}
        return fault.status, {"Content-Type": "application/x-amz-json-1.1", **headers}, json.dumps(body, default=plain)
    return fault.status, {"Content-Type": "application/json", **headers}, json.dumps(body, default=plain)
