"""The content of a record, as people write it: to wire form, and what is kept of it as it was written."""

from __future__ import annotations

import re
from functools import lru_cache

import dns.exception
import dns.tokenizer

from dnsd.model.fields import parse_ip
from dnsd.wire.rdata import (
    AAAA,
    MX,
    SRV,
    TXT,
    URI,
    A,
    pack_rdata,
    parse_rdata_text,
    parse_type_text,
    rdata_text,
    reason,
    type_text,
)

GENERIC = "\\#"  # begins the generic form of data, RFC 3597 §5
WITH_PRIORITY = frozenset({MX, SRV, URI})  # types whose first field may be given as `priority`
TEXT_TYPES = frozenset({TXT, parse_type_text("SPF")})  # their content may be text without quotes
# Types of character-strings or hexadecimal digits: clients compare their content with the content that they sent.
AS_WRITTEN = TEXT_TYPES.union(
    map(parse_type_text, ("AVC", "NINFO", "RESINFO", "WALLET", "DS", "SSHFP", "TLSA", "SMIMEA", "CDS", "DLV"))
)
UNQUOTED = ""  # stands for content that is the text itself, without quotes
MAX_STRING = 255  # octets of a character-string, RFC 1035 §3.3
# Character-strings already in presentation form, as most are: no escapes, at most 255 octets each.
PLAIN_STRINGS = re.compile(r'"[ !#-\[\]-~]{0,255}+"(?: "[ !#-\[\]-~]{0,255}+")*+')


@lru_cache(maxsize=2_048)  # records of one zone often have the same data
def pack_content(rtype: int, content: str, priority: int | None) -> bytes:
    """Pack a record's data to wire form. Raises ValueError."""
    if not content.strip():
        raise ValueError("is empty")
    if "\n" in content.strip():
        raise ValueError("has more than one line; record data must be a single line")
    if rtype in (A, AAAA) and not content.startswith(GENERIC):
        ip = parse_ip(content)
        if ip.version != (4 if rtype == A else 6):
            raise ValueError(
                f"{content!r} is not an IPv{4 if rtype == A else 6} address, which {type_text(rtype)} requires"
            )
        return ip.packed
    rdata = parse_rdata_text(rtype, _presentation(rtype, content, priority))
    if rdata.rdcomment is not None:
        raise ValueError("a semicolon begins a comment in record data; put the text in double quotes")
    return pack_rdata(rdata)


def forget_contents() -> None:
    """Empty the cache of packed contents: edits bring new contents, which rarely recur."""
    pack_content.cache_clear()


def _presentation(rtype: int, content: str, priority: int | None) -> str:
    """The content in the form of master files. Raises ValueError."""
    if rtype in TEXT_TYPES:
        if PLAIN_STRINGS.fullmatch(content):
            return content
        return " ".join(map(_quoted_strings, character_strings(content, rtype)))
    if rtype in WITH_PRIORITY and priority is not None:
        return f"{priority} {content}"
    if rtype in WITH_PRIORITY and not content.lstrip()[0].isdigit() and not content.startswith(GENERIC):
        raise ValueError(f"{type_text(rtype)} needs a priority: give `priority`, or begin the content with it")
    return content


def written_content(rtype: int, content: str, rdata: bytes) -> str | None:
    """The content for an identity if it carries more than its data (quotes, escapes, case of digits), or UNQUOTED."""
    if rtype not in AS_WRITTEN or (content.startswith(GENERIC) and rtype not in TEXT_TYPES):
        return None
    if rtype in TEXT_TYPES and not _is_quoted(content):
        return UNQUOTED if unquoted_text(rdata) == content else content
    if PLAIN_STRINGS.fullmatch(content) or content == rdata_text(rtype, rdata):
        return None
    return content


def means(content: str, rtype: int, rdata: bytes) -> bool:
    """Whether a content means this data."""
    try:
        return pack_content(rtype, content, None) == rdata
    except ValueError:
        return False


def character_strings(content: str, rtype: int = TXT) -> list[bytes]:
    """The strings of text data, of any length; content without quotes is one string. Raises ValueError."""
    if not _is_quoted(content):
        return [content.encode()]
    tokenizer, strings = dns.tokenizer.Tokenizer(content), []
    try:
        while not (token := tokenizer.get(want_comment=True)).is_eol_or_eof():
            if token.is_comment():
                raise ValueError("a semicolon begins a comment in record data; put the text in double quotes")
            strings.append(token.unescape_to_bytes().value)
    except dns.exception.DNSException as error:
        raise ValueError(f"not valid {type_text(rtype)} data: {reason(error)}") from None
    return strings


def unquoted_text(rdata: bytes) -> str | None:
    """The text of a TXT record if it can be written without quotes; else None."""
    octets = b""
    start = 0
    while start < len(rdata):
        octets += rdata[start + 1 : start + 1 + rdata[start]]
        start += 1 + rdata[start]
    try:
        text = octets.decode()
        return text if not _is_quoted(text) and pack_content(TXT, text, None) == rdata else None
    except ValueError:
        return None


def _is_quoted(content: str) -> bool:
    return content.lstrip().startswith('"')


def _quoted_strings(octets: bytes) -> str:
    """The octets as quoted character-strings of at most 255 octets each."""
    starts = range(0, len(octets), MAX_STRING) or (0,)
    return " ".join(_quoted(octets[start : start + MAX_STRING]) for start in starts)


def _quoted(octets: bytes) -> str:
    """A quoted character-string, with quotes, backslashes and unprintable octets as \\DDD (RFC 1035 §5.1)."""
    text = (chr(o) if 32 <= o < 127 and o not in b'"\\' else f"\\{o:03}" for o in octets)
    return f'"{"".join(text)}"'
