"""Errors on demand: throttling, internal errors, or any other that a test wants to see handled.

The setting `faults` lists {"action": "ec2:CreateVpc", "code", "message", "status", "times", "done": bool}; `times` counts down.
With "done" the call is carried out and its answer is lost: what a client sees of a connection that breaks too late.
"""

from . import app, settings, wire
from .wire import Fault


@app.guard
def fail(call):
    for fault in settings.get("faults"):
        if fault.get("times", 1) <= 0 or fault.get("action") not in (f"{call.service}:{call.action}", f"{call.service}:*", "*"):
            continue
        if fault.get("skip", 0) > 0:
            fault["skip"] -= 1
            continue
        fault["times"] = fault.get("times", 1) - 1
        wanted = Fault(fault.get("code", "InternalError"), fault.get("message", ""), fault.get("status", 500))
        if fault.get("done"):
            try:
                app.answer_within(call)
            except Fault:
                pass
            return wire.failure(call.protocol, wanted)
        raise wanted
