"""Credentials that expire while they are used.

Temporary credentials end in the middle of long work. Every service says so in its own way: `ExpiredToken` in the query
services and S3, `ExpiredTokenException` in the JSON services, and EC2 says `RequestExpired`
(https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html,
https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html). moto knows no expiry.

Access keys that begin with FORGEEXPIRE answer so after as many requests as the setting `expired_credentials_after` allows.
"""

from . import app, settings
from .wire import Fault

_used = {}
MESSAGE = "The security token included in the request is expired"


@app.guard
def expire(call):
    allowed = settings.get("expired_credentials_after")
    if allowed is None or not call.access_key.startswith("FORGEEXPIRE"):
        return
    _used[call.access_key] = _used.get(call.access_key, 0) + 1
    if _used[call.access_key] <= allowed:
        return
    if call.protocol == "ec2":
        raise Fault("RequestExpired", "Request has expired.")
    if call.protocol == "query":
        raise Fault("ExpiredToken", MESSAGE, 403)
    if call.service == "s3":
        raise Fault("ExpiredToken", "The provided token has expired.")
    raise Fault("ExpiredTokenException", MESSAGE, 400 if call.protocol in ("json", "cbor") else 403)


app.RESETS.append(_used.clear)
