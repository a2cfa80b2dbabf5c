"""Prices: the price list, and spot prices.

https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_pricing_GetProducts.html: products as JSON texts with
their terms. On-demand prices of Linux are those of us-east-1 on 2026-07-20 (aws/karpenter-provider-aws, commit 1d92708), told
for every region; types that are sold in capacity blocks only have none. Spot prices
(https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSpotPriceHistory.html) are made up: two fifths of these.
moto's price list is empty.
"""

import json

from . import app, clock, ec2, offerings
from .wire import Fault

ON_DEMAND = {
    "t3.medium": 0.0416, "m5.large": 0.096, "m5.xlarge": 0.192, "m6i.large": 0.096, "m6i.xlarge": 0.192, "m7i.xlarge": 0.2016,
    "g5.xlarge": 1.006, "g5.2xlarge": 1.212, "g5.4xlarge": 1.624, "g5.8xlarge": 2.448, "g5.12xlarge": 5.672,
    "g5.16xlarge": 4.096, "g5.24xlarge": 8.144, "g5.48xlarge": 16.288, "g6.xlarge": 0.8048, "g6.2xlarge": 0.9776,
    "g6.4xlarge": 1.3232, "g6.8xlarge": 2.0144, "g6.12xlarge": 4.6016, "g6.16xlarge": 3.3968, "g6.24xlarge": 6.6752,
    "g6.48xlarge": 13.3504, "g6e.xlarge": 1.861, "g6e.2xlarge": 2.24208, "g6e.4xlarge": 3.00424, "g6e.8xlarge": 4.52856,
    "g6e.12xlarge": 10.49264, "g6e.16xlarge": 7.57719, "g6e.24xlarge": 15.06559, "g6e.48xlarge": 30.13118,
    "g7e.2xlarge": 3.36312, "g7e.4xlarge": 3.99816, "g7e.8xlarge": 5.26824, "g7e.12xlarge": 8.28608, "g7e.24xlarge": 16.57216,
    "g7e.48xlarge": 33.14432, "inf2.xlarge": 0.7582, "inf2.8xlarge": 1.96786, "inf2.24xlarge": 6.49063,
    "inf2.48xlarge": 12.98127, "p4d.24xlarge": 21.957642, "p4de.24xlarge": 27.44705, "p5.4xlarge": 6.88, "p5.48xlarge": 55.04,
    "p5en.48xlarge": 63.296, "p6-b200.48xlarge": 113.9328, "p6-b300.48xlarge": 142.416, "trn1.2xlarge": 1.34375,
    "trn1.32xlarge": 21.5, "trn1n.32xlarge": 24.78,
}  # fmt: skip

LOCATIONS = {
    "us-east-1": "US East (N. Virginia)",
    "us-east-2": "US East (Ohio)",
    "us-west-1": "US West (N. California)",
    "us-west-2": "US West (Oregon)",
    "eu-west-1": "EU (Ireland)",
    "eu-central-1": "EU (Frankfurt)",
    "ap-northeast-1": "Asia Pacific (Tokyo)",
}


def product(instance_type, region, price):
    known = offerings.types()[instance_type]
    sku = f"{abs(zlib_of(instance_type + region)):016X}"
    return {
        "product": {
            "productFamily": "Compute Instance",
            "sku": sku,
            "attributes": {
                "servicecode": "AmazonEC2",
                "instanceType": instance_type,
                "regionCode": region,
                "location": LOCATIONS[region],
                "locationType": "AWS Region",
                "operatingSystem": "Linux",
                "tenancy": "Shared",
                "capacitystatus": "Used",
                "preInstalledSw": "NA",
                "licenseModel": "No License required",
                "marketoption": "OnDemand",
                "vcpu": str(known["VCpuInfo"]["DefaultVCpus"]),
                "memory": f"{known['MemoryInfo']['SizeInMiB'] // 1024} GiB",
                "usagetype": f"BoxUsage:{instance_type}",
                "operation": "RunInstances",
                "currentGeneration": "Yes" if known.get("CurrentGeneration") else "No",
            },
        },
        "serviceCode": "AmazonEC2",
        "terms": {
            "OnDemand": {
                f"{sku}.JRTCKXETXF": {
                    "sku": sku,
                    "offerTermCode": "JRTCKXETXF",
                    "effectiveDate": "2026-07-01T00:00:00Z",
                    "termAttributes": {},
                    "priceDimensions": {
                        f"{sku}.JRTCKXETXF.6YS6EN2CT7": {
                            "rateCode": f"{sku}.JRTCKXETXF.6YS6EN2CT7",
                            "unit": "Hrs",
                            "beginRange": "0",
                            "endRange": "Inf",
                            "description": f"${price} per On Demand Linux {instance_type} Instance Hour",
                            "appliesTo": [],
                            "pricePerUnit": {"USD": f"{price:.10f}"},
                        }
                    },
                }
            }
        },
        "version": "20260720000000",
        "publicationDate": "2026-07-20T00:00:00Z",
    }


def zlib_of(text):
    import zlib

    return zlib.crc32(text.encode()) << 32 | zlib.crc32(text[::-1].encode())


@app.handles("pricing", "GetProducts")
def products(call):
    if call.get("ServiceCode") != "AmazonEC2":
        return {"FormatVersion": "aws_v1", "PriceList": []}
    wanted = {}
    for one in call.get("Filters") or []:
        if one.get("Type") not in ("TERM_MATCH", "EQUALS"):
            raise Fault("InvalidParameterException", f"Filter type {one.get('Type')} is not known here.")
        wanted[one["Field"]] = one["Value"]
    rows = []
    types = [wanted["instanceType"]] if wanted.get("instanceType") else list(ON_DEMAND)
    regions = [region for region in LOCATIONS if wanted.get("regionCode") in (None, region) and wanted.get("location") in (None, LOCATIONS[region])]
    for instance_type in types:
        for region in regions:
            if instance_type not in ON_DEMAND or instance_type not in offerings.types():
                continue
            row = product(instance_type, region, ON_DEMAND[instance_type])
            attributes = row["product"]["attributes"]
            if all(str(attributes.get(field, "")) == value for field, value in wanted.items() if field in attributes or field not in ("productFamily", "termType")):
                rows.append(json.dumps(row))
    size, start = int(call.get("MaxResults") or 100), int(call.get("NextToken") or 0)
    more = start + size < len(rows)
    return {"FormatVersion": "aws_v1", "PriceList": rows[start : start + size], "NextToken": str(start + size) if more else None}


@app.handles("pricing", "DescribeServices")
def services(call):
    return {
        "Services": [
            {"ServiceCode": "AmazonEC2", "AttributeNames": ["instanceType", "regionCode", "location", "operatingSystem", "tenancy"]}
        ],
        "FormatVersion": "aws_v1",
    }


@app.handles("pricing", "GetAttributeValues")
def values(call):
    field = call.get("AttributeName")
    known = {"instanceType": list(ON_DEMAND), "regionCode": list(LOCATIONS), "location": list(LOCATIONS.values())}
    return {"AttributeValues": [{"Value": value} for value in known.get(field, [])]}


@app.handles("ec2", "DescribeSpotPriceHistory")
def spot(call):
    world = call.world
    filters = ec2.Filters(
        call.get("Filters"),
        {
            "availability-zone": ec2.attribute("AvailabilityZone"),
            "instance-type": ec2.attribute("InstanceType"),
            "product-description": ec2.attribute("ProductDescription"),
        },
    )
    rows = []
    for instance_type in call.get("InstanceTypes") or list(ON_DEMAND):
        known = offerings.types().get(instance_type)
        if known is None:
            raise Fault("InvalidParameterValue", f"Invalid value '{instance_type}' for InstanceType.")
        if instance_type not in ON_DEMAND or "spot" not in known.get("SupportedUsageClasses", []):
            continue
        for zone in offerings.offers(world).get(instance_type, []):
            if call.get("AvailabilityZone") not in (None, zone):
                continue
            row = {
                "AvailabilityZone": zone,
                "InstanceType": instance_type,
                "ProductDescription": "Linux/UNIX",
                "SpotPrice": f"{ON_DEMAND[instance_type] * 0.4:.6f}",
                "Timestamp": clock.now() - 3600,
            }
            if filters.by_view(row) and (not call.get("ProductDescriptions") or "Linux/UNIX" in call.get("ProductDescriptions")):
                rows.append(row)
    chosen, token = ec2.page(call, rows)
    return {"SpotPriceHistory": chosen, "NextToken": token or ""}
