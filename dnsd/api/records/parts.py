"""The parts of record data in the API's `data`: for each type their names, JSON values and master-file text. The model
and dnspython decide which values are valid.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import dns.rdata

from dnsd.wire.names import name_text, parse_name_text
from dnsd.wire.rdata import parse_type_text

MAX_U8, MAX_U16 = 0xFF, 0xFFFF
WHOLE = re.compile(r"[+-]?\d{1,10}(?:\.0*)?", re.ASCII)
DECIMAL = re.compile(r"[+-]?\d{1,10}(?:\.\d{1,20})?", re.ASCII)
WORD = re.compile(r"[A-Za-z0-9]+")
HEX = re.compile(r"(?:[0-9a-fA-F]{2})++")
BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
SIZE_BOUNDS = (0, 90_000_000)  # metres; RFC 1876 §2, which also has the defaults

# All data in one piece, names with their final dot.
STYLE = dns.rdata.RdataStyle(hex_chunk_size=0, base64_chunk_size=0)


Get = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class DataPart:
    """One part of `data`."""

    name: str
    get: Get  # from dnspython's rdata to a JSON value. Raises ValueError if JSON cannot express it
    text: Callable[[Any], str]  # from a JSON value to master-file text. Raises ValueError
    default: Any = None  # None: required

    @property
    def may_be_empty(self) -> bool:
        """Whether an empty text is a valid value."""
        try:
            self.text("")
        except ValueError:
            return False
        return True


def whole_number(value: Any, most: int) -> int:
    """The integer from 0 to `most` that a JSON value means: 5060, 5060.0 or "5060". Raises ValueError."""
    if isinstance(value, str) and WHOLE.fullmatch(value.strip()):
        value = float(value)
    # NaN, infinity and integers of any size fail the comparison; true is an integer in Python only.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most or value % 1:
        raise ValueError(f"must be a whole number from 0 to {most:,}")
    return int(value)


def quoted_text(octets: bytes) -> str:
    """A character-string in quotes, as dnspython writes it (RFC 1035 §5.1)."""
    return '"' + "".join(map(_escaped, octets)) + '"'


def _escaped(octet: int) -> str:
    if octet in b'"\\':
        return f"\\{chr(octet)}"
    return chr(octet) if 32 <= octet < 127 else f"\\{octet:03}"


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be text")
    value.encode()  # UnicodeEncodeError, a ValueError, for a lone surrogate
    return value


def _whole(name: str, get: Get, most: int, default: int | None = None) -> DataPart:
    return DataPart(name, get, lambda value: str(whole_number(value, most)), default)


def _u8(name: str, attribute: str | None = None) -> DataPart:
    return _whole(name, lambda rdata: int(getattr(rdata, attribute or name)), MAX_U8)


def _u16(name: str, attribute: str | None = None) -> DataPart:
    return _whole(name, lambda rdata: int(getattr(rdata, attribute or name)), MAX_U16)


def _word(name: str) -> DataPart:
    def text(value: Any) -> str:
        if not WORD.fullmatch(word := _text(value)):
            raise ValueError("must consist of letters and digits")
        return word

    return DataPart(name, lambda rdata: getattr(rdata, name).decode(), text)


def _string(name: str, attribute: str | None = None) -> DataPart:
    """A string without its master-file escapes."""
    return DataPart(
        name,
        lambda rdata: _plain(getattr(rdata, attribute or name)),
        lambda value: quoted_text(_unquoted(_text(value)).encode()),
    )


def _plain(octets: bytes) -> str:
    text = octets.decode()  # UnicodeDecodeError is a ValueError
    if _unquoted(text) != text:
        raise ValueError("its quotes would be lost on the way back")
    return text


def _unquoted(text: str) -> str:
    """The text without surrounding quotes: lexicon passes on the quotes that its user wrote."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def _hex(name: str, attribute: str | None = None) -> DataPart:
    return DataPart(
        name,
        lambda rdata: getattr(rdata, attribute or name).hex(),
        lambda value: _digits(value, HEX, "hexadecimal digits"),
    )


def _base64(name: str, attribute: str | None = None) -> DataPart:
    return DataPart(
        name,
        lambda rdata: base64.b64encode(getattr(rdata, attribute or name)).decode(),
        lambda value: _digits(value, BASE64, "base64"),
    )


def _digits(value: Any, pattern: re.Pattern[str], what: str) -> str:
    if not pattern.fullmatch(digits := "".join(_text(value).split())):
        raise ValueError(f"must be {what}")
    return digits


def _host(name: str, attribute: str | None = None, *, dotted: bool = False) -> DataPart:
    def text(value: Any) -> str:
        if not _text(value):
            raise ValueError("is empty")
        host = name_text(parse_name_text(value))
        return f"{host}." if dotted and host != "." else host

    return DataPart(name, lambda rdata: getattr(rdata, attribute or name).to_text(omit_final_dot=not dotted), text)


def _params(rdata: Any) -> str:
    """The parameters of SVCB and HTTPS (RFC 9460 §2.1)."""
    return str(rdata.to_styled_text(STYLE)).partition(" ")[2].partition(" ")[2]


def _decimal(name: str, get: Get, bounds: tuple[float, float], places: int, default: int) -> DataPart:
    """A number of metres, or of seconds of arc."""
    least, most = bounds

    def text(value: Any) -> str:
        if isinstance(value, str) and DECIMAL.fullmatch(digits := value.strip().removesuffix("m")):
            value = float(digits)
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise ValueError(f"must be a number from {least:,} to {most:,}")
        return f"{Decimal(str(value)):.{places}f}"

    return DataPart(name, get, text, default)


def _scaled(value: int, scale: int) -> float:
    """A number in a larger unit; whole numbers without a decimal point, as Cloudflare writes them."""
    return value / scale if value % scale else value // scale


def _metres(name: str, attribute: str, bounds: tuple[float, float], default: int) -> DataPart:
    return _decimal(name, lambda rdata: _scaled(int(getattr(rdata, attribute)), 100), bounds, 2, default)


def _angle(prefix: str, attribute: str, most: int, directions: str) -> tuple[DataPart, ...]:
    """Degrees, minutes, seconds and direction; dnspython stores thousandths of a second and a sign."""

    def seconds(rdata: Any) -> float:
        angle = getattr(rdata, attribute)
        return _scaled(angle[2] * 1000 + angle[3], 1000)

    def direction(value: Any) -> str:
        if not isinstance(value, str) or value.upper() not in tuple(directions):
            raise ValueError(f"must be {' or '.join(directions)}")
        return value.upper()

    return (
        _whole(f"{prefix}_degrees", lambda rdata: getattr(rdata, attribute)[0], most),
        _whole(f"{prefix}_minutes", lambda rdata: getattr(rdata, attribute)[1], 59, 0),
        _decimal(f"{prefix}_seconds", seconds, (0, 59.999), 3, 0),
        DataPart(f"{prefix}_direction", lambda rdata: directions[getattr(rdata, attribute)[4] < 0], direction),
    )


SERVICE = (
    _u16("priority"),
    _host("target", dotted=True),
    DataPart("value", _params, lambda value: _text(value).strip(), ""),
)
LOCATION = (
    *_angle("lat", "latitude", 90, "NS"),
    *_angle("long", "longitude", 180, "EW"),
    _metres("altitude", "altitude", (-100_000, 42_849_672.95), 0),
    _metres("size", "size", SIZE_BOUNDS, 1),
    _metres("precision_horz", "horizontal_precision", SIZE_BOUNDS, 10_000),
    _metres("precision_vert", "vertical_precision", SIZE_BOUNDS, 10),
)
ASSOCIATION = (_u8("usage"), _u8("selector"), _u8("matching_type", "mtype"), _hex("certificate", "cert"))

# The parts of each type in presentation order, without the priority of MX, SRV and URI. Cloudflare has no `data` for MX
# yet; its Terraform provider mentions it.
PARTS: dict[int, tuple[DataPart, ...]] = {
    parse_type_text(mnemonic): parts
    for mnemonic, parts in {
        "CAA": (_u8("flags"), _word("tag"), _string("value")),
        "CERT": (_u16("type", "certificate_type"), _u16("key_tag"), _u8("algorithm"), _base64("certificate")),
        "DNSKEY": (_u16("flags"), _u8("protocol"), _u8("algorithm"), _base64("public_key", "key")),
        "DS": (_u16("key_tag"), _u8("algorithm"), _u8("digest_type"), _hex("digest")),
        "HTTPS": SERVICE,
        "LOC": LOCATION,
        "MX": (_host("target", "exchange"),),
        "NAPTR": (
            _u16("order"),
            _u16("preference"),
            _string("flags"),
            _string("service"),
            _string("regex", "regexp"),
            _host("replacement", dotted=True),
        ),
        "SMIMEA": ASSOCIATION,
        "SRV": (_u16("weight"), _u16("port"), _host("target")),
        "SSHFP": (_u8("algorithm"), _u8("type", "fp_type"), _hex("fingerprint")),
        "SVCB": SERVICE,
        "TLSA": ASSOCIATION,
        "URI": (_u16("weight"), _string("target")),
    }.items()
}
