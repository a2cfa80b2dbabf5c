"""Service quotas, and what happens when one is full.

https://docs.aws.amazon.com/servicequotas/2019-06-24/apireference/API_GetServiceQuota.html. EC2 counts vCPUs by family of
instances, on demand and spot apart (https://docs.aws.amazon.com/general/latest/gr/ec2-service.html); a fresh account has 0
for P, G, Inf and Trn. Creations beyond a quota fail with the code of their service: `VpcLimitExceeded`, `VcpuLimitExceeded`,
`ResourceLimitExceededException` and so on.

moto knows the quotas of VPC only, and enforces none. Here the accelerated families have room by default, so that tests need
not ask for it; the setting `quotas` changes any. `GetAWSDefaultServiceQuota` tells AWS's own defaults.
"""

from . import app, settings
from .wire import Fault

# service, code: name, AWS's default, what an account has here when it chose nothing.
QUOTAS = {
    "ec2": {
        "L-1216C47A": ("Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", 5, 4096),
        "L-417A185B": ("Running On-Demand P instances", 0, 4096),
        "L-DB2E81BA": ("Running On-Demand G and VT instances", 0, 4096),
        "L-1945791B": ("Running On-Demand Inf instances", 0, 4096),
        "L-2C3B7624": ("Running On-Demand Trn instances", 0, 8192),
        "L-34B43A08": ("All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests", 5, 4096),
        "L-7212CCBC": ("All P4, P3 and P2 Spot Instance Requests", 0, 4096),
        "L-C4BD4855": ("All P5 Spot Instance Requests", 0, 4096),
        "L-3819A6DF": ("All G and VT Spot Instance Requests", 0, 4096),
        "L-B5D1601B": ("All Inf Spot Instance Requests", 0, 4096),
        "L-6B0D517C": ("All Trn Spot Instance Requests", 0, 4096),
        "L-0263D0A3": ("EC2-VPC Elastic IPs", 5, 64),
    },
    "vpc": {
        "L-F678F1CE": ("VPCs per Region", 5, 64),
        "L-A4707A72": ("Internet gateways per Region", 5, 64),
        "L-FE5A380F": ("NAT gateways per Availability Zone", 5, 32),
        "L-407747CB": ("Subnets per VPC", 200, 200),
        "L-589F43AA": ("Route tables per VPC", 200, 200),
        "L-E79EC296": ("VPC security groups per Region", 2500, 20000),
        "L-0EA8095F": ("Inbound or outbound rules per security group", 60, 60),
        "L-2AFB9258": ("Security groups per network interface", 5, 5),
        "L-DF5E4CA3": ("Network interfaces per Region", 5000, 5000),
        "L-1B52E74A": ("Gateway VPC endpoints per Region", 20, 64),
        "L-29B6F2EB": ("Interface VPC endpoints per VPC", 50, 500),
    },
    "eks": {
        "L-1194D53C": ("Clusters", 100, 100),
        "L-6D54EA21": ("Managed node groups per cluster", 30, 30),
        "L-BD136A63": ("Nodes per managed node group", 450, 450),
    },
    "fsx": {
        "L-A3D4E4E8": ("Lustre Persistent_2 file systems", 100, 100),
        "L-68DB4C4C": ("Lustre Persistent_2 storage capacity in GiB (SSD)", 100800, 1008000),
        "L-4B8A9E1E": ("Lustre Scratch file systems", 100, 100),
        "L-FDCB1C05": ("Lustre Scratch storage capacity in GiB", 100800, 1008000),
    },
    "iam": {"L-FE177D64": ("Roles per account", 1000, 1000)},
    "s3": {"L-DC2B2D3D": ("Buckets", 10000, 10000)},
}

SERVICES = {
    "ec2": "Amazon Elastic Compute Cloud (Amazon EC2)",
    "vpc": "Amazon Virtual Private Cloud (Amazon VPC)",
    "eks": "Amazon Elastic Kubernetes Service (Amazon EKS)",
    "fsx": "Amazon FSx",
    "iam": "AWS Identity and Access Management (IAM)",
    "s3": "Amazon Simple Storage Service (Amazon S3)",
}

UNITS = {code: "None" for codes in QUOTAS.values() for code in codes}


def limit(world, code, otherwise=None):
    """What an account has of a quota."""
    chosen = settings.get("quotas")
    if code in chosen:
        return chosen[code]
    for codes in QUOTAS.values():
        if code in codes:
            return codes[code][2]
    return otherwise


def check_count(call, code, held, error, message, otherwise=None, status=400):
    """Refuses one more when as many are held as the quota allows."""
    allowed = limit(call.world, code, otherwise)
    if allowed is not None and held >= allowed:
        raise Fault(error, message, status)


FAMILIES = (("trn", "L-2C3B7624", "L-6B0D517C"), ("inf", "L-1945791B", "L-B5D1601B"), ("vt", "L-DB2E81BA", "L-3819A6DF"))


def code_of(instance_type, spot):
    """The quota that counts an instance type."""
    family = instance_type.partition(".")[0]
    for prefix, on_demand, for_spot in FAMILIES:
        if family.startswith(prefix):
            return for_spot if spot else on_demand
    if family[0] == "p":
        if not spot:
            return "L-417A185B"
        return "L-7212CCBC" if family[1] in "234" else "L-C4BD4855"
    if family[0] == "g":
        return "L-3819A6DF" if spot else "L-DB2E81BA"
    return "L-34B43A08" if spot else "L-1216C47A"


def quota(world, service, code, value):
    name, _, _ = QUOTAS[service][code]
    return {
        "ServiceCode": service,
        "ServiceName": SERVICES[service],
        "QuotaArn": f"arn:{world.partition}:servicequotas:{world.region}:{world.account}:{service}/{code}",
        "QuotaCode": code,
        "QuotaName": name,
        "Value": float(value),
        "Unit": "None",
        "Adjustable": True,
        "GlobalQuota": service in ("iam", "s3"),
        "QuotaAppliedAtLevel": "ACCOUNT",
    }


def _known(call):
    service = call.get("ServiceCode")
    if service not in QUOTAS:
        raise Fault("NoSuchResourceException", f"The request failed because the specified service {service} does not exist.")
    code = call.get("QuotaCode")
    if code is not None and code not in QUOTAS[service]:
        raise Fault(
            "NoSuchResourceException",
            "The request failed because the specified service quota does not exist. Check the specified quota and service.",
        )
    return service, code


@app.handles("service-quotas", "GetServiceQuota")
def get(call):
    service, code = _known(call)
    return {"Quota": quota(call.world, service, code, limit(call.world, code))}


@app.handles("service-quotas", "GetAWSDefaultServiceQuota")
def get_default(call):
    service, code = _known(call)
    return {"Quota": quota(call.world, service, code, QUOTAS[service][code][1])}


def _page(call, rows, member):
    size = call.get("MaxResults") or 100
    start = int(call.get("NextToken") or 0)
    more = start + size < len(rows)
    return {member: rows[start : start + size], "NextToken": str(start + size) if more else None}


@app.handles("service-quotas", "ListServiceQuotas")
def list_applied(call):
    service, code = _known(call)
    rows = [quota(call.world, service, one, limit(call.world, one)) for one in QUOTAS[service] if code in (None, one)]
    return _page(call, rows, "Quotas")


@app.handles("service-quotas", "ListAWSDefaultServiceQuotas")
def list_defaults(call):
    service, _ = _known(call)
    return _page(call, [quota(call.world, service, one, QUOTAS[service][one][1]) for one in QUOTAS[service]], "Quotas")


@app.handles("service-quotas", "ListServices")
def list_services(call):
    return _page(call, [{"ServiceCode": one, "ServiceName": name} for one, name in SERVICES.items()], "Services")


@app.handles("service-quotas", "RequestServiceQuotaIncrease")
def increase(call):
    from . import clock
    from . import world as world_module

    service, code = _known(call)
    wanted = float(call.get("DesiredValue"))
    if wanted <= limit(call.world, code):
        raise Fault("IllegalArgumentException", "You must provide a quota value greater than the current quota value.")
    asked = {
        "Id": world_module.letters(32),
        "ServiceCode": service,
        "ServiceName": SERVICES[service],
        "QuotaCode": code,
        "QuotaName": QUOTAS[service][code][0],
        "DesiredValue": wanted,
        "Status": "PENDING",
        "Created": clock.now(),
        "LastUpdated": clock.now(),
        "Requester": f'{{"accountId":"{call.account}"}}',
        "QuotaArn": f"arn:{call.world.partition}:servicequotas:{call.region}:{call.account}:{service}/{code}",
        "GlobalQuota": False,
        "Unit": "None",
    }
    call.world.table("quota-requests")[asked["Id"]] = asked
    return {"RequestedQuota": asked}


@app.handles("service-quotas", "ListRequestedServiceQuotaChangeHistory", "ListRequestedServiceQuotaChangeHistoryByQuota")
def asked_before(call):
    rows = [
        one
        for one in call.world.table("quota-requests").values()
        if call.get("ServiceCode") in (None, one["ServiceCode"]) and call.get("QuotaCode") in (None, one["QuotaCode"])
    ]
    return _page(call, rows, "RequestedQuotas")
