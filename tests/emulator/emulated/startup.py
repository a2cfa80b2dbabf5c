"""A quick start.

moto asks boto3 for the list of regions once for every service and each time with a session of its own, which reads a large
file of endpoints again; one session for all of them saves most of a second.
"""


def prepare():
    import boto3

    shared = boto3.Session()
    regions = {}

    class Session(boto3.Session):
        def get_available_regions(self, service, partition_name="aws", allow_non_regional=False):
            key = (service, partition_name, allow_non_regional)
            if key not in regions:
                regions[key] = shared.get_available_regions(service, partition_name, allow_non_regional)
            return list(regions[key])

        def __new__(cls, *arguments, **named):
            return object.__new__(cls)

        def __init__(self, *arguments, **named):
            if arguments or named:
                super().__init__(*arguments, **named)
                return
            self.__dict__.update(shared.__dict__)

    boto3.Session = Session


def warm():
    """Loads what the first requests need, while the process that started us looks at our line; requests wait for it."""
    import importlib

    from . import app, s3

    with app.LOCK:
        importlib.import_module("moto.ec2.models")
        s3.mend()

        for service in ("ec2", "iam", "eks", "fsx", "autoscaling"):
            app.model_of(service)
