"""The emulator's own requests, under `/_emulator/`, all in JSON: dump, reset, settings, counts, health."""

import json

from . import app, settings


def _json(status, value):
    return status, {"Content-Type": "application/json"}, json.dumps(value, default=str)


def answer(request):
    name = request.path.removeprefix("/_emulator").strip("/")
    try:
        return _answer(request.method, name, request)
    except KeyError as error:
        return _json(400, {"error": f"unknown: {error.args[0]}"})
    except (ValueError, TypeError) as error:
        return _json(400, {"error": str(error)})


def _answer(method, name, request):
    if (method, name) == ("GET", "dump"):
        from . import dump

        return _json(200, dump.everything())
    if (method, name) == ("POST", "reset"):
        app.reset()
        return _json(200, {})
    if (method, name) == ("GET", "settings"):
        return _json(200, settings.everything())
    if (method, name) == ("POST", "settings"):
        settings.merge(json.loads(request.get_data() or b"{}"))
        return _json(200, settings.everything())
    if (method, name) == ("GET", "counts"):
        return _json(200, app.COUNTS)
    if (method, name) == ("DELETE", "counts"):
        app.COUNTS.clear()
        return _json(200, {})
    if (method, name) == ("GET", "health"):
        return _json(200, {"ok": True})
    return _json(404, {"error": f"no such request: {method} {request.path}"})
