"""Values of settings that are written as text: addresses to listen on, secrets, names, times."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema

from dnsd.model.contents import MAX_STRING
from dnsd.model.fields import IPAddress
from dnsd.model.times import parse_duration
from dnsd.net.listen import Address
from dnsd.wire.names import name_text, parse_name_text

DNS_PORT = 53
MAX_WORKERS = 1024
SECRET_SIZE = 16  # octets, RFC 9018 §4.4
MAX_WINDOW_S = 24 * 3600
HOST_NAME = re.compile(r"[a-z0-9_-]++(?:\.[a-z0-9_-]++)*+")
MAX_NSID = 128  # octets: fits into 512 with the longest question


def _parse_listen(value: Any) -> Address:
    return _parse_address(value, "an address to listen on, such as 127.0.0.1:5300 or [::1]:5300")


def _parse_resolver(value: Any) -> Address:
    what = "the address of a resolver, such as 127.0.0.1 or [::1]:5300"
    found = _parse_address(value, what)
    if found.port == 0:
        raise ValueError(f"{str(value)!r} is not {what}")
    return found


def _parse_address(value: Any, what: str) -> Address:
    if isinstance(value, Address):
        return value
    text = str(value)
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]") or (":" in host and not host.startswith("[")):
        host, port = text, str(DNS_PORT)
    try:
        ip = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
        if not (port.isascii() and port.isdigit() and int(port) <= 65_535):
            raise ValueError
    except ValueError:
        raise ValueError(f"{text!r} is not {what}") from None
    return Address(str(ip), int(port))


def _at_most(limit: int) -> Callable[[str], str]:
    def check(text: str) -> str:
        if (size := len(text.encode())) > limit:
            raise ValueError(f"has {size} octets; the limit is {limit}")
        return text

    return check


def distinct(ips: tuple[IPAddress, ...]) -> tuple[IPAddress, ...]:
    """The addresses; raises ValueError if one is listed twice."""
    for index, ip in enumerate(ips):
        if ip in ips[:index]:
            raise ValueError(f"{ip} is listed twice")
    return ips


def _parse_workers(value: Any) -> int | Literal["auto"]:
    text = str(value)
    if text == "auto":
        return "auto"
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MAX_WORKERS):
        raise ValueError(f"expected auto, or a number from 1 to {MAX_WORKERS}, found {text[:20]!r}")
    return int(text)


def _parse_host_name(value: Any) -> str:
    text = str(value)
    try:
        ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        pass
    else:
        raise ValueError(f"{text!r} is an address, and always accepted: list names only")
    if not HOST_NAME.fullmatch(name := name_text(parse_name_text(text)).removesuffix(".").lower()):
        raise ValueError(f"{text!r} is not the name of a host, without port and path, such as dns.example.com")
    return name


def split(value: Any) -> Any:
    """A list written as one text, such as `a, b` in an environment variable, as its parts."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _parse_secret(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        secret = bytes.fromhex(str(value))
    except ValueError:
        secret = b""
    if len(secret) != SECRET_SIZE:
        raise ValueError(f"expected {SECRET_SIZE} octets as {2 * SECRET_SIZE} hexadecimal digits")  # never shown
    return secret


def _shown_secret(secret: bytes) -> str:
    """A secret as in the file. Of a method of `bytes`, pydantic would parse the signature, for 10 ms of each start."""
    return secret.hex()


def _parse_window(value: Any) -> str:
    seconds = parse_duration(str(value))
    if not 1 <= seconds <= MAX_WINDOW_S:
        raise ValueError(f"expected a time from 1s to {MAX_WINDOW_S // 3600}h, found {value!r}")
    return str(value)


Secret = Annotated[
    bytes,
    PlainValidator(_parse_secret),
    PlainSerializer(_shown_secret, return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^[0-9a-fA-F]{32}$"}),
]
Listen = Annotated[Address, BeforeValidator(_parse_listen), WithJsonSchema({"type": "string"})]
HostName = Annotated[str, BeforeValidator(_parse_host_name), WithJsonSchema({"type": "string", "format": "hostname"})]
Resolver = Annotated[Address, BeforeValidator(_parse_resolver), WithJsonSchema({"type": "string"})]
Workers = Annotated[
    int | Literal["auto"],
    PlainValidator(_parse_workers),
    WithJsonSchema({"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1, "maximum": MAX_WORKERS}]}),
]
Name = Annotated[str, AfterValidator(_at_most(MAX_STRING)), Field(max_length=MAX_STRING)]
Nsid = Annotated[str, AfterValidator(_at_most(MAX_NSID)), Field(max_length=MAX_NSID)]
WindowText = Annotated[
    str, BeforeValidator(_parse_window), WithJsonSchema({"type": "string", "pattern": "^[1-9][0-9]{0,6}[smh]$"})
]
