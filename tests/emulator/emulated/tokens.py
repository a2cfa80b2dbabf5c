"""Client tokens of EC2.

A repeated creation with the same token and the same parameters gives the same answer and makes nothing; with other
parameters it is refused as `IdempotentParameterMismatch`
(https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html). A token whose instances have been terminated is
refused as `IdempotentInstanceTerminated`
(https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html). moto ignores tokens.

Failed calls are not remembered. EKS and FSx have rules of their own, beside their resources.
"""

import json

from . import app
from .wire import Fault

_seen = {}
CREATIONS = ("Create", "Run", "Allocate", "Purchase", "Import", "Copy", "Request")


def digest(params, *without):
    """What two requests must have in common to be the same."""
    return json.dumps({name: value for name, value in params.items() if name not in without}, sort_keys=True, default=str)


@app.guard
def once(call):
    if call.service != "ec2" or not (call.action or "").startswith(CREATIONS):
        return
    token = call.request.values.get("ClientToken")
    if not token or call.operation is None or "ClientToken" not in call.operation.input_shape.members:
        return
    key = (call.account, call.region, call.action, token)
    wanted = digest(call.params, "ClientToken", "DryRun")
    found = _seen.get(key)
    if found is not None:
        known, reply = found
        if known != wanted:
            raise Fault(
                "IdempotentParameterMismatch",
                f"The request uses the same client token as a previous, but non-identical request. (token {token})",
            )
        if call.action == "RunInstances":
            from . import instances

            if instances.all_terminated(call.world, reply[2]):
                raise Fault(
                    "IdempotentInstanceTerminated",
                    "The client token was used for a request whose instances have been terminated.",
                )
        return reply
    reply = app.perform(call)
    if reply[0] < 300:
        _seen[key] = (wanted, reply)
    return reply


app.RESETS.append(_seen.clear)
