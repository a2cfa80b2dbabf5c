"""From a request to its answer.

Every request is counted, checked for expired credentials and then answered by the first that knows it: a handler of this
package (by service and action), else moto. One lock holds all of it: moto's dictionaries do not bear parallel writers, and
AWS's own answers are as if given one after another.
"""

import functools
import importlib
import json
import re
import threading
import urllib.parse

from . import clock, settings, wire, world
from .wire import Fault

LOCK = threading.RLock()

# Handlers by (service, action): take a call, give a dictionary.
HANDLERS = {}
# What looks at every call before it is answered, in order; what they return is the answer.
GUARDS = []
# What looks at single actions before they are answered.
BEFORE = {}
# What looks at single actions after they were answered well, with the answer.
AFTER = {}
# What looks at every answer: (call, status, headers, body) gives the same, changed or not.
FINISH = []
# Names of services in signatures, where they differ from those of the models.
SIGNED_AS = {"tagging": "resourcegroupstaggingapi", "servicequotas": "service-quotas", "s3express": "s3"}
# Called by a reset.
RESETS = []

COUNTS = {}

DIRECT = {
    "ec2": ("moto.ec2.responses", "EC2Response"),
    "iam": ("moto.iam.responses", "IamResponse"),
    "sts": ("moto.sts.responses", "TokenResponse"),
    "ssm": ("moto.ssm.responses", "SimpleSystemManagerResponse"),
    "kms": ("moto.kms.responses", "KmsResponse"),
    "logs": ("moto.logs.responses", "LogsResponse"),
}


def handles(service, *actions):
    """Registers the handler of actions of a service."""

    def register(function):
        for action in actions:
            HANDLERS[(service, action)] = function
        return function

    return register


def before(service, *actions):
    def register(function):
        for action in actions:
            BEFORE.setdefault((service, action), []).append(function)
        return function

    return register


def after(service, *actions):
    def register(function):
        for action in actions:
            AFTER.setdefault((service, action), []).append(function)
        return function

    return register


def guard(function):
    GUARDS.append(function)
    return function


def finishes(function):
    FINISH.append(function)
    return function


@functools.cache
def model_of(service):
    from moto.core.utils import get_service_model

    try:
        return get_service_model(service)
    except Exception:
        return None


@functools.cache
def operation_of(service, action):
    try:
        return model_of(service).operation_model(action)
    except Exception:
        return None


@functools.cache
def routes_of(service):
    """The paths of a service of the REST kind: (method, pattern, action), the more literal first."""
    routes = []
    model = model_of(service)
    for action in model.operation_names:
        operation = operation_of(service, action)
        uri = operation.http["requestUri"].partition("?")[0]
        names = []

        def place(match):
            names.append(match.group(1).rstrip("+"))
            return "(.+)" if match.group(1).endswith("+") else "([^/]+)"

        pattern = re.sub(r"\{([^}]+)\}", place, uri)
        routes.append((operation.http["method"], re.compile("^" + pattern.rstrip("/") + "/?$"), action, tuple(names)))
    routes.sort(key=lambda route: (len(route[3]), -len(route[1].pattern)))
    return routes


class Call:
    """One request, as far as it has been understood."""

    def __init__(self, request, service, region, access_key):
        self.request = request
        self.service = service
        self.region = region
        self.access_key = access_key
        self.action = None
        self.placed = {}
        self.model = model_of(service)
        self.protocol = str(self.model.protocol) if self.model else "rest-json"
        if request.headers.get("smithy-protocol") == "rpc-v2-cbor":
            self.protocol = "cbor"
        elif request.headers.get("X-Amz-Target"):
            self.protocol = "json"
        self._params = None
        self._account = None
        self._name()

    def _name(self):
        request = self.request
        if self.protocol in ("ec2", "query"):
            self.action = request.values.get("Action")
        elif self.protocol == "json":
            self.action = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
        elif self.protocol == "cbor":
            self.action = request.path.rpartition("/")[2]
        elif self.service == "s3":
            from . import s3

            self.action = s3.name(request)
        elif self.model is not None:
            path = request.environ.get("RAW_PATH", request.path)
            for method, pattern, action, names in routes_of(self.service):
                if method == request.method:
                    found = pattern.match(path)
                    if found:
                        self.action = action
                        self.placed = {
                            name: urllib.parse.unquote(value) for name, value in zip(names, found.groups())
                        }
                        break

    @property
    def account(self):
        if self._account is None:
            from moto.iam.models import get_account_id_from

            self._account = get_account_id_from(self.access_key)
        return self._account

    @property
    def world(self):
        return world.at(self.account, self.region)

    @property
    def operation(self):
        return operation_of(self.service, self.action)

    @property
    def params(self):
        """What the caller asks, as the names of the service model have it."""
        if self._params is None:
            self._params = self._parse()
        return self._params

    def _parse(self):
        if self.protocol == "json":
            return json.loads(self.request.get_data() or b"{}")
        if self.protocol == "cbor":
            from . import cbor

            return cbor.decode(self.request.get_data() or b"\xa0")
        if self.protocol == "rest-json":
            body = self.request.get_data()
            found = json.loads(body) if body else {}
            shape = self.operation.input_shape
            for name, member in (shape.members if shape else {}).items():
                where = member.serialization.get("location")
                wire_name = member.serialization.get("name", name)
                if where == "uri":
                    found[name] = self.placed.get(wire_name)
                elif where == "querystring":
                    if member.type_name == "list":
                        values = self.request.args.getlist(wire_name)
                        if values:
                            found[name] = values
                    elif wire_name in self.request.args:
                        value = self.request.args[wire_name]
                        if member.type_name == "boolean":
                            value = value == "true"
                        elif member.type_name in ("integer", "long"):
                            value = int(value)
                        found[name] = value
            return found
        from moto.core.parse import PROTOCOL_PARSERS

        parser = PROTOCOL_PARSERS[self.protocol](self.operation)
        return parser.parse(
            {
                "method": self.request.method,
                "values": self.request.values,
                "headers": self.request.headers,
                "body": self.request.get_data(),
                "url_path": self.request.path,
                "url_params": self.placed,
            }
        )

    def get(self, name, default=None):
        return self.params.get(name, default)

    def moto(self):
        """moto's own answer."""
        status, headers, body = _moto(self)
        return int(status), dict(headers), body


@functools.cache
def _direct(service):
    module, name = DIRECT[service]
    return getattr(importlib.import_module(module), name)


@functools.cache
def _dispatcher():
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    return DomainDispatcherApplication(create_backend_app)


def _moto(call):
    request = call.request
    try:
        if call.service in DIRECT:
            return _direct(call.service).dispatch(request, request.url, request.headers)
        from werkzeug.test import run_wsgi_app

        environ = dict(request.environ)
        import io

        environ["wsgi.input"] = io.BytesIO(request.get_data(cache=True))
        environ.pop("werkzeug.request", None)
        body, status, headers = run_wsgi_app(_dispatcher(), environ, buffered=True)
        return int(status.split()[0]), list(headers.items()), b"".join(body)
    except NotImplementedError:
        # AWS never answers 500 for this, and clients would try again and again.
        raise Fault(
            "InvalidAction" if call.protocol in ("ec2", "query") else "UnknownOperationException",
            f"The action {call.action} is not valid for this web service.",
        ) from None


def _scope(request):
    """Service, region and access key that a request is signed for."""
    header = request.headers.get("Authorization", "")
    found = re.search(r"Credential=([^/,\s]+)/\d+/([^/]*)/([^/]+)/aws4", header)
    if not found:
        found = re.search(r"([^/]+)/\d+/([^/]*)/([^/]+)/aws4", request.args.get("X-Amz-Credential", ""))
    if found:
        access_key, region, service = found.groups()
        return SIGNED_AS.get(service, service), region or "us-east-1", access_key
    if request.values.get("Action", "").startswith("AssumeRoleWith"):
        return "sts", "us-east-1", "AKIAEXAMPLE"
    return "s3", "us-east-1", "AKIAEXAMPLE"


def answer(request):
    """The answer to a request: status, headers, body."""
    if request.path.startswith("/_emulator"):
        from . import control

        with LOCK:
            clock.run()
            return control.answer(request)
    service, region, access_key = _scope(request)
    with LOCK:
        world.MEMO.clear()
        clock.run()
        call = Call(request, service, region, access_key)
        COUNTS.setdefault(service, {}).setdefault(call.action or "?", 0)
        COUNTS[service][call.action or "?"] += 1
        try:
            reply = _reply(call)
        except Fault as fault:
            reply = wire.failure(call.protocol, fault)
        except Exception as error:
            reply = _moto_failure(call, error)
        for finish in FINISH:
            reply = finish(call, *reply)
        return reply


def _moto_failure(call, error):
    """moto's own exceptions, raised within a handler of ours; anything else is a mistake of the emulator."""
    code = getattr(error, "error_type", None) or getattr(error, "code", None)
    message = getattr(error, "message", None)
    if isinstance(code, str) and message is not None:
        status = getattr(error, "status", None) or 400
        if not isinstance(status, int):
            status = 400
        return wire.failure(call.protocol, Fault(code, str(message), status))
    import sys
    import traceback

    traceback.print_exc(file=sys.stderr)
    return wire.failure(call.protocol, Fault("InternalFailure", f"emulator: {error!r}", 500))


def _reply(call):
    for look in GUARDS:
        early = look(call)
        if early is not None:
            return early
    return perform(call)


def answer_within(call):
    """Answers with the guards that follow `faults`: for an answer that is lost."""
    for look in GUARDS[[look.__module__.rpartition(".")[2] for look in GUARDS].index("faults") + 1 :]:
        early = look(call)
        if early is not None:
            return early
    return perform(call)


def perform(call):
    """Answers without the guards."""
    for look in BEFORE.get((call.service, call.action), ()):
        look(call)
    handler = HANDLERS.get((call.service, call.action))
    if handler is None:
        status, headers, body = call.moto()
        if status < 300:
            for look in AFTER.get((call.service, call.action), ()):
                changed = look(call, body)
                body = body if changed is None else changed
        return status, headers, body
    result = handler(call)
    for look in AFTER.get((call.service, call.action), ()):
        look(call, result)
    return result if isinstance(result, tuple) else wire.success(call, result)


def reset(everything=True):
    """Back to a fresh account; settings too, unless they are to stay."""
    from moto.moto_api._internal.models import moto_api_backend

    moto_api_backend.reset()
    world.reset()
    clock.reset()
    COUNTS.clear()
    for function in RESETS:
        function()
    if everything:
        settings.reset(keep=("speed",))


CONCERNS = [
    "credentials",
    "dryrun",
    "faults",
    "tokens",
    "visibility",
    "ec2",
    "network",
    "gateways",
    "security_groups",
    "interfaces",
    "endpoints",
    "launch_templates",
    "placement",
    "capacity",
    "instances",
    "offerings",
    "scaling",
    "eks",
    "eks_addons",
    "eks_access",
    "eks_nodes",
    "fsx",
    "policies",
    "quotas",
    "parameters",
    "pricing",
    "s3",
    "tagging",
]


def load():
    """Imports every concern that is there, so that its handlers are registered."""
    for name in CONCERNS:
        importlib.import_module(f"{__package__}.{name}")
