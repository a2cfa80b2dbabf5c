"""S3: buckets made with tags, names taken, buckets that are not empty, checksums.

CreateBucket takes tags, and says `BucketAlreadyOwnedByYou` when the bucket is ours, except in us-east-1, which answers as if it
had made it (https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html). Names:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html. DeleteBucket wants it empty of objects, versions,
delete markers (https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteBucket.html) and, here, of uploads not completed.
Checksums are verified (`BadDigest`), stored and told, CRC64NVME by default
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html).

moto does the rest, conditional writes and multipart uploads among it; of checksums it believes what it is told.
"""

import base64
import hashlib
import io
import re
import zlib

from . import app, quotas
from .wire import Fault


def place(request):
    """Bucket and key of a request: by path, or by host."""
    path = request.environ.get("RAW_PATH", request.path).lstrip("/")
    host = request.host.partition(":")[0]
    found = re.match(r"^(?P<bucket>[a-z0-9.\-]+)\.(?:s3[.\-].*|localhost)$", host)
    if found and not host.startswith("s3."):
        return found.group("bucket"), path
    bucket, _, key = path.partition("/")
    return bucket, key


SETTINGS = {
    "versioning": "BucketVersioning",
    "lifecycle": "BucketLifecycleConfiguration",
    "policy": "BucketPolicy",
    "tagging": "BucketTagging",
    "encryption": "BucketEncryption",
    "publicAccessBlock": "PublicAccessBlock",
    "ownershipControls": "BucketOwnershipControls",
    "acl": "BucketAcl",
    "cors": "BucketCors",
    "notification": "BucketNotificationConfiguration",
    "logging": "BucketLogging",
    "website": "BucketWebsite",
    "replication": "BucketReplication",
    "object-lock": "ObjectLockConfiguration",
    "location": "BucketLocation",
    "policyStatus": "BucketPolicyStatus",
    "requestPayment": "BucketRequestPayment",
    "accelerate": "BucketAccelerateConfiguration",
}


def name(request):
    """The operation that a request asks for."""
    bucket, key = place(request)
    method, query = request.method, request.args
    verb = {"GET": "Get", "PUT": "Put", "DELETE": "Delete", "HEAD": "Head", "POST": "Post"}.get(method, method)
    if not bucket:
        return "ListBuckets"
    if not key:
        for flag, what in SETTINGS.items():
            if flag in query:
                if verb == "Delete" and flag == "lifecycle":
                    return "DeleteBucketLifecycle"
                return verb + what
        if method == "GET":
            if "versions" in query:
                return "ListObjectVersions"
            if "uploads" in query:
                return "ListMultipartUploads"
            return "ListObjectsV2" if query.get("list-type") == "2" else "ListObjects"
        if method == "POST" and "delete" in query:
            return "DeleteObjects"
        return {"PUT": "CreateBucket", "DELETE": "DeleteBucket", "HEAD": "HeadBucket"}.get(method, method)
    if "uploadId" in query:
        return {"PUT": "UploadPart", "POST": "CompleteMultipartUpload", "DELETE": "AbortMultipartUpload", "GET": "ListParts"}.get(method, method)
    if "uploads" in query:
        return "CreateMultipartUpload"
    for flag, what in (("tagging", "ObjectTagging"), ("acl", "ObjectAcl"), ("retention", "ObjectRetention"), ("attributes", "ObjectAttributes")):
        if flag in query:
            return verb + what
    if method == "PUT" and request.headers.get("x-amz-copy-source"):
        return "CopyObject"
    return verb + "Object"


def backend(call):
    from moto.s3.models import s3_backends

    return s3_backends[call.account][call.world.partition]


def check_name(bucket):
    """The rules of names of general purpose buckets."""
    fits = (
        re.fullmatch(r"[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]", bucket)
        and ".." not in bucket
        and not re.fullmatch(r"\d+\.\d+\.\d+\.\d+", bucket)
        and not bucket.startswith(("xn--", "sthree-", "amzn-s3-demo-"))
        and not bucket.endswith(("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"))
    )
    if not fits:
        raise Fault("InvalidBucketName", "The specified bucket is not valid.", BucketName=bucket)


@app.handles("s3", "CreateBucket")
def create(call):
    bucket, _ = place(call.request)
    check_name(bucket)
    body = call.request.get_data().decode()
    from xml.etree import ElementTree

    constraint, tags = None, []
    if body.strip():
        try:
            root = ElementTree.fromstring(body)
        except ElementTree.ParseError:
            raise Fault("MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema") from None

        def local(node):
            return node.tag.rpartition("}")[2]

        for node in root.iter():
            if local(node) == "LocationConstraint":
                constraint = (node.text or "").strip() or None
            elif local(node) == "Tag":
                pair = {local(inner): inner.text or "" for inner in node}
                tags.append({"Key": pair.get("Key", ""), "Value": pair.get("Value", "")})
    if call.region == "us-east-1" and constraint == "us-east-1":
        raise Fault("InvalidLocationConstraint", "The specified location-constraint is not valid")
    if call.region != "us-east-1" and constraint is None:
        raise Fault(
            "IllegalLocationConstraintException",
            "The unspecified location constraint is incompatible for the region specific endpoint this request was sent to.",
        )
    if constraint and call.region != "us-east-1" and constraint != call.region:
        raise Fault(
            "IllegalLocationConstraintException",
            f"The {constraint} location constraint is incompatible for the region specific endpoint this request was sent to.",
        )
    if len({tag["Key"] for tag in tags}) != len(tags):
        raise Fault("InvalidTag", "Cannot provide multiple Tags with the same key")
    if any(tag["Key"].lower().startswith("aws:") for tag in tags):
        raise Fault("InvalidTag", "System tags cannot be added/updated by requester")
    if len(tags) > 50:
        raise Fault("InvalidTag", "Bucket tag count cannot be greater than 50")
    from moto.s3.models import s3_backends

    if bucket in backend(call).buckets:
        if call.region == "us-east-1" and backend(call).buckets[bucket].region_name == "us-east-1":
            return 200, {"Location": f"/{bucket}"}, ""
        raise Fault(
            "BucketAlreadyOwnedByYou",
            "Your previous request to create the named bucket succeeded and you already own it.",
            409,
            BucketName=bucket,
        )
    if bucket in s3_backends.bucket_accounts:
        raise Fault(
            "BucketAlreadyExists",
            "The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please "
            "select a different name and try again.",
            409,
            BucketName=bucket,
        )
    quotas.check_count(call, "L-DC2B2D3D", len(backend(call).buckets), "TooManyBuckets", "You have attempted to create more buckets than allowed")
    plain = ""
    if constraint:
        plain = (
            '<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<LocationConstraint>{constraint}</LocationConstraint></CreateBucketConfiguration>"
        )
    status, headers, answer = _pass(call, plain.encode())
    if status < 300:
        made = backend(call).buckets[bucket]
        if tags:
            backend(call).put_bucket_tagging(bucket, {tag["Key"]: tag["Value"] for tag in tags})
        # What every bucket has since 2023, without being asked.
        if made.public_access_block is None:
            from moto.s3.models import PublicAccessBlock

            made.public_access_block = PublicAccessBlock("true", "true", "true", "true")
        if made.ownership_rule is None:
            made.ownership_rule = "BucketOwnerEnforced"
        return 200, {"Location": f"http://{bucket}.s3.amazonaws.com/" if constraint else f"/{bucket}"}, ""
    return status, headers, answer


@app.before("s3", "DeleteBucket")
def empty(call):
    bucket, _ = place(call.request)
    held = backend(call).buckets.get(bucket)
    if held is not None and (held.keys or held.multiparts):
        raise Fault("BucketNotEmpty", "The bucket you tried to delete is not empty", 409, BucketName=bucket)


@app.after("s3", "DeleteBucket")
def untagged(call, _):
    bucket, _ = place(call.request)
    backend(call).tagger.delete_all_tags_for_resource(f"arn:{call.world.partition}:s3:::{bucket}")


def _pass(call, body, **headers):
    """moto's answer to the same request with another body and other headers (nothing: left out)."""
    environ = call.request.environ
    environ["wsgi.input"] = io.BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))
    for key, value in headers.items():
        if value is None:
            environ.pop(key, None)
        else:
            environ[key] = value
    from werkzeug.wrappers import Request

    call.request = Request(environ)
    return call.moto()


# Checksums.


def _table(polynomial, width):
    rows = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ polynomial if value & 1 else value >> 1
        rows.append(value)
    return rows, (1 << width) - 1


_tables = {}


def _crc(data, polynomial, width):
    if polynomial not in _tables:
        _tables[polynomial] = _table(polynomial, width)
    rows, mask = _tables[polynomial]
    value = mask
    for byte in data:
        value = rows[(value ^ byte) & 0xFF] ^ (value >> 8)
    return (value ^ mask).to_bytes(width // 8, "big")


ALGORITHMS = {
    "crc32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "crc32c": lambda data: _crc(data, 0x82F63B78, 32),
    "crc64nvme": lambda data: _crc(data, 0x9A6C9329AC4BC9B5, 64),
    "sha1": lambda data: hashlib.sha1(data).digest(),
    "sha256": lambda data: hashlib.sha256(data).digest(),
}
# Beyond this, the default checksum is left out: in Python it takes too long.
DEFAULT_UP_TO = 65536


def checksum(algorithm, data):
    return base64.b64encode(ALGORITHMS[algorithm](data)).decode()


def decoded(request):
    """The body of an upload without its chunks, and the headers that trail it."""
    data = request.get_data()
    chunked = request.headers.get("x-amz-content-sha256", "").startswith("STREAMING-") or "aws-chunked" in request.headers.get("Content-Encoding", "")
    if not chunked:
        return data, {}, False
    parts, trailers, at = [], {}, 0
    while True:
        end = data.find(b"\r\n", at)
        if end < 0:
            break
        size = int(data[at:end].split(b";")[0] or b"0", 16)
        at = end + 2
        if size == 0:
            for line in data[at:].split(b"\r\n"):
                key, found, value = line.partition(b":")
                if found:
                    trailers[key.decode().strip().lower()] = value.decode().strip()
            break
        parts.append(data[at : at + size])
        at += size + 2
    return b"".join(parts), trailers, True


@app.handles("s3", "PutObject", "UploadPart")
def put(call):
    request = call.request
    body, trailers, chunked = decoded(request)
    length = request.headers.get("x-amz-decoded-content-length")
    if chunked and length is not None and int(length) != len(body):
        raise Fault("IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header")
    digest = request.headers.get("Content-MD5")
    if digest and digest != base64.b64encode(hashlib.md5(body).digest()).decode():
        raise Fault("BadDigest", "The Content-MD5 you specified did not match what we received.")
    signed = request.headers.get("x-amz-content-sha256", "")
    if re.fullmatch(r"[0-9a-f]{64}", signed) and signed != hashlib.sha256(body).hexdigest():
        raise Fault("XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed.")
    given = None
    for algorithm in ALGORITHMS:
        header = f"x-amz-checksum-{algorithm}"
        value = request.headers.get(header) or trailers.get(header)
        if value:
            if given:
                raise Fault("InvalidRequest", "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
            given = (algorithm, value)
    if given and given[1] != checksum(given[0], body):
        raise Fault("BadDigest", f"The {given[0].upper()} you specified did not match the calculated checksum.")
    if not given and len(body) <= DEFAULT_UP_TO and call.action == "PutObject":
        given = ("crc64nvme", checksum("crc64nvme", body))
    encoding = request.headers.get("Content-Encoding")
    if encoding:
        encoding = ",".join(part.strip() for part in encoding.split(",") if part.strip() != "aws-chunked") or None
    status, headers, answer = _pass(
        call,
        body,
        HTTP_X_AMZ_CONTENT_SHA256="UNSIGNED-PAYLOAD",
        HTTP_X_AMZ_DECODED_CONTENT_LENGTH=None,
        HTTP_X_AMZ_TRAILER=None,
        HTTP_CONTENT_ENCODING=encoding,
        HTTP_X_AMZ_SDK_CHECKSUM_ALGORITHM=given[0].upper() if given else None,
        **({"HTTP_X_AMZ_CHECKSUM_" + given[0].upper(): given[1]} if given else {}),
    )
    if status < 300 and given:
        headers = {key: value for key, value in dict(headers).items() if not key.lower().startswith("x-amz-checksum")}
        headers[f"x-amz-checksum-{given[0]}"] = given[1]
        if call.action == "PutObject":
            headers["x-amz-checksum-type"] = "FULL_OBJECT"
            bucket, key = place(request)
            import urllib.parse

            held = backend(call).get_object(bucket, urllib.parse.unquote(key))
            if held is not None:
                held.checksum_algorithm, held.checksum_value, held.checksum_type = given[0].upper(), given[1], "FULL_OBJECT"
    return status, headers, answer


@app.after("s3", "CompleteMultipartUpload")
def composite(call, body):
    """A checksum made of those of parts tells how many they were."""
    bucket, key = place(call.request)
    import urllib.parse

    held = backend(call).get_object(bucket, urllib.parse.unquote(key))
    text = body.decode() if isinstance(body, bytes) else body
    if held is None or not getattr(held, "checksum_value", None):
        return None
    parts = held.etag.strip('"').partition("-")[2]
    algorithm = getattr(held, "checksum_algorithm", None)
    if not parts or not algorithm or getattr(held, "checksum_type", None) == "FULL_OBJECT" or "-" in held.checksum_value:
        return None
    # moto tells it with the number of parts in some answers only; so the value itself carries it.
    held.checksum_value, held.checksum_type = f"{held.checksum_value}-{parts}", None
    element = f"<Checksum{algorithm}>{held.checksum_value}</Checksum{algorithm}><ChecksumType>COMPOSITE</ChecksumType>"
    text = re.sub(r"<Checksum(\w+)>[^<]*</Checksum\1>", "", text)
    return re.sub(r"(</\w+>\s*)$", lambda end: element + end.group(1), text)


# What moto says otherwise.

ROOTS = {
    "ListBuckets": "ListAllMyBucketsResult",
    "GetBucketVersioning": "VersioningConfiguration",
    "GetBucketTagging": "Tagging",
    "GetObjectTagging": "Tagging",
    "GetBucketLifecycleConfiguration": "LifecycleConfiguration",
    "GetBucketLocation": "LocationConstraint",
    "GetBucketAcl": "AccessControlPolicy",
    "GetBucketCors": "CORSConfiguration",
    "GetBucketWebsite": "WebsiteConfiguration",
    "ListObjects": "ListBucketResult",
    "ListObjectsV2": "ListBucketResult",
    "ListObjectVersions": "ListVersionsResult",
    "ListMultipartUploads": "ListMultipartUploadsResult",
    "ListParts": "ListPartsResult",
    "CreateMultipartUpload": "InitiateMultipartUploadResult",
    "CompleteMultipartUpload": "CompleteMultipartUploadResult",
    "DeleteObjects": "DeleteResult",
}
"""The element in which S3 answers, by operation (the examples on each operation's page of the API reference). moto calls some
of them `…Response`, as EC2 does, and clients that check it are right not to understand that."""


def mend():
    """Called once moto is there."""
    from moto.core.serialize import S3Serializer
    from moto.s3.models import FakeBucket

    plain = S3Serializer._serialize_body

    def with_its_root(self, body):
        wrong = f"{self.operation_model.name}Response"
        root = ROOTS.get(self.operation_model.name)
        if root and list(body) == [wrong]:
            body = {root: body[wrong]}
        return plain(self, body)

    S3Serializer._serialize_body = with_its_root
    allows = FakeBucket.get_permission

    def under_conditions(self, action, resource):
        """moto passes over a statement's `Condition`. Requests to the emulator count as sent over TLS, so a statement about those
        that are not does not apply (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition.html)."""
        import json

        whole = self.policy
        if not whole:
            return allows(self, action, resource)
        policy = json.loads(whole)
        statements = policy.get("Statement", [])
        statements = statements if isinstance(statements, list) else [statements]

        def applies(statement):
            wanted = statement.get("Condition", {}).get("Bool", {}).get("aws:SecureTransport")
            return str(wanted).lower() != "false"

        policy["Statement"] = [statement for statement in statements if applies(statement)]
        if not policy["Statement"]:
            self.policy = None
        else:
            self.policy = json.dumps(policy).encode()
        try:
            return allows(self, action, resource)
        finally:
            self.policy = whole

    FakeBucket.get_permission = under_conditions
