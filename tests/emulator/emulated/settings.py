"""What a test can choose about the emulated AWS (`POST /_emulator/settings`)."""

import copy

DEFAULTS = {
    # Fresh objects are not seen for so many seconds of wall-clock time (AWS: eventual consistency).
    "visibility_seconds": 0.0,
    # Whether calls that change something and name a fresh object fail as well.
    "visibility_writes": True,
    # Multiplies the duration of every state.
    "speed": 0.01,
    # What can be started: {"zone", "instance_type", "available", "market"}; absent: as much as wanted.
    "capacity": [],
    # Quotas by code, over those of quotas.py.
    "quotas": {},
    # {"instance_type", "zone"} that are not offered, over those of the data.
    "unoffered": [],
    # Actions that IAM's simulator denies and that EC2 dry runs refuse: "ec2:RunInstances".
    "denied": [],
    # After so many requests of an access key that begins with FORGEEXPIRE, its further requests are refused as expired.
    "expired_credentials_after": None,
    # Resource types: creations of "service:Action" that fail with {"code", "message", "status", "times"}.
    "faults": [],
    # Prices of capacity blocks: US dollars per accelerator-hour by instance type, over those of capacity.py.
    "capacity_block_prices": {},
    # Free for tests: what can be reached.
}

_chosen = copy.deepcopy(DEFAULTS)


def get(name):
    return _chosen[name]


def everything():
    return copy.deepcopy(_chosen)


def merge(changes):
    """Takes over what is given; refuses names that are not settings."""
    unknown = set(changes) - set(DEFAULTS)
    if unknown:
        raise KeyError(", ".join(sorted(unknown)))
    for name, value in changes.items():
        if isinstance(DEFAULTS[name], dict) and isinstance(value, dict):
            _chosen[name] = {**_chosen[name], **value}
        else:
            _chosen[name] = value if value is not None or DEFAULTS[name] is None else copy.deepcopy(DEFAULTS[name])


def reset(keep=()):
    kept = {name: _chosen[name] for name in keep}
    _chosen.clear()
    _chosen.update(copy.deepcopy(DEFAULTS))
    _chosen.update(kept)
