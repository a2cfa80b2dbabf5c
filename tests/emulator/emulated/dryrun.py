"""Dry runs of EC2.

With `DryRun`, EC2 checks the permissions and does nothing: `DryRunOperation` if it would have gone ahead, else
`UnauthorizedOperation` (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/CommonParameters.html). moto does so for few
actions only, and goes ahead in the others.
"""

from . import app, settings
from .wire import Fault


def denied(action):
    """Whether the setting `denied` names an action ("ec2:RunInstances", "ec2:*")."""
    service = action.partition(":")[0]
    return any(name in (action, f"{service}:*", "*") for name in settings.get("denied"))


@app.guard
def dry_run(call):
    if call.service != "ec2" or call.request.values.get("DryRun", "").lower() != "true":
        return
    if denied(f"ec2:{call.action}"):
        raise Fault("UnauthorizedOperation", "You are not authorized to perform this operation.", 403)
    raise Fault("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
