"""CBOR, as far as AWS's protocol `rpcv2Cbor` uses it (https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html,
RFC 8949): some SDKs speak it to services that also speak JSON."""

import datetime
import struct


def _head(major, value):
    if value < 24:
        return bytes([major << 5 | value])
    for code, size, pattern in ((24, 1, ">B"), (25, 2, ">H"), (26, 4, ">I"), (27, 8, ">Q")):
        if value < 1 << (8 * size):
            return bytes([major << 5 | code]) + struct.pack(pattern, value)
    raise ValueError("a number that is too large")


def encode(value):
    if value is None:
        return b"\xf6"
    if isinstance(value, bool):
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    if isinstance(value, float):
        return b"\xfb" + struct.pack(">d", value)
    if isinstance(value, bytes):
        return _head(2, len(value)) + value
    if isinstance(value, str):
        data = value.encode()
        return _head(3, len(data)) + data
    if isinstance(value, datetime.datetime):
        return b"\xc1" + encode(value.timestamp())
    if isinstance(value, (list, tuple)):
        return _head(4, len(value)) + b"".join(encode(one) for one in value)
    if isinstance(value, dict):
        return _head(5, len(value)) + b"".join(encode(key) + encode(inner) for key, inner in value.items())
    raise TypeError(type(value))


_BREAK = object()


def decode(data):
    value, _ = _decode(data, 0)
    return value


def _decode(data, at):
    first = data[at]
    at += 1
    major, code = first >> 5, first & 31
    if major == 7:
        if code in (20, 21):
            return code == 21, at
        if code in (22, 23):
            return None, at
        if code == 31:
            return _BREAK, at
        size, pattern = {25: (2, ">e"), 26: (4, ">f"), 27: (8, ">d")}[code]
        return struct.unpack(pattern, data[at : at + size])[0], at + size
    if code == 31:
        if major in (2, 3):
            parts = []
            while True:
                part, at = _decode(data, at)
                if part is _BREAK:
                    return (b"" if major == 2 else "").join(parts), at
                parts.append(part)
        items = []
        while True:
            item, at = _decode(data, at)
            if item is _BREAK:
                return (items if major == 4 else dict(zip(items[::2], items[1::2]))), at
            items.append(item)
    if code < 24:
        value = code
    else:
        size = 1 << (code - 24)
        value = int.from_bytes(data[at : at + size], "big")
        at += size
    if major == 0:
        return value, at
    if major == 1:
        return -1 - value, at
    if major in (2, 3):
        text = data[at : at + value]
        return (text if major == 2 else text.decode()), at + value
    if major == 6:
        return _decode(data, at)
    items = []
    for _ in range(value if major == 4 else 2 * value):
        item, at = _decode(data, at)
        items.append(item)
    return (items if major == 4 else dict(zip(items[::2], items[1::2]))), at
