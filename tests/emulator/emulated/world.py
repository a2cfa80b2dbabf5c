"""What the emulated AWS holds beside moto's own backends, by account and region."""

import random
import string

_worlds = {}
# What one request has worked out and may use again; cleared before the next.
MEMO = {}
_random = random.SystemRandom()


class World:
    """The state of one account in one region; each concern keeps its dictionaries here under a name of its own."""

    def __init__(self, account, region):
        self.account = account
        self.region = region
        self.tables = {}

    def table(self, name):
        return self.tables.setdefault(name, {})

    @property
    def partition(self):
        if self.region.startswith("cn-"):
            return "aws-cn"
        return "aws-us-gov" if self.region.startswith("us-gov-") else "aws"

    def arn(self, service, resource):
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    @property
    def ec2(self):
        from moto.ec2.models import ec2_backends

        return ec2_backends[self.account][self.region]

    @property
    def iam(self):
        from moto.iam.models import iam_backends

        return iam_backends[self.account][self.partition]


def at(account, region):
    key = (account, region)
    found = _worlds.get(key)
    if found is None:
        found = _worlds[key] = World(account, region)
    return found


def everywhere():
    return list(_worlds.values())


def reset():
    _worlds.clear()


def identifier(prefix, length=17):
    """A new identifier as EC2 makes them: `vpc-` and 17 hexadecimal digits."""
    return prefix + "-" + "".join(_random.choices("0123456789abcdef", k=length))


def letters(count, alphabet=string.ascii_lowercase + string.digits):
    return "".join(_random.choices(alphabet, k=count))
