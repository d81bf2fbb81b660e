"""DNS cookies (RFC 7873) in the form that all servers of an anycast set can make and check (RFC 9018).

Bytes only: the caller passes the time, the secrets and the client's address; nothing is stored per client.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from functools import lru_cache, partial
from hmac import compare_digest

from siphash24 import siphash24  # type: ignore[import-not-found]

from dnsd.wire.message import CLIENT_COOKIE_SIZE, COOKIE, COOKIE_SIZES, MAX_OPTIONS, OPT, pack_option

SECRET_SIZE = 16  # octets, RFC 9018 §4.4

VERSION = 1  # RFC 9018 §4.1
OUR_SIZE = 24  # octets: client cookie, version, three reserved, time, hash; RFC 9018 §4
MAX_AGE_S, MAX_AHEAD_S, RENEW_AGE_S = 3600, 300, 1800  # RFC 9018 §4.3
CACHED = 4096  # results kept, each valid for one second

_HEAD = 14  # octets: the header without its id, then type and class
_OPTIONS_AT = _HEAD + 11
_OPT_WITH_OPTION = struct.Struct("!BH6xHHH")  # owner, type, length of the options, code and size of the first option
_OPTION = struct.Struct("!HH")
_SERVER_HEAD = struct.Struct("!B3xI")  # version, time
_HASH_AT = CLIENT_COOKIE_SIZE + _SERVER_HEAD.size
_ZEROS = {size: bytes(size) for size in COOKIE_SIZES}


def split_cookie(rest: bytes) -> tuple[bytes, bytes]:
    """Return `rest` with its cookie zeroed, so that equal queries have equal octets, and the cookie, empty if absent.

    `rest` is a query without id and name: ten octets of header, type, class, and the additional section. Only the
    first COOKIE option counts (RFC 7873 §5.2), and only if the OPT record is the first record. Never raises: malformed
    queries, and cookies after more options than a query may have, are returned unchanged.
    """
    start = _OPTIONS_AT + _OPTION.size
    if len(rest) < start:
        return rest, b""
    owner, rtype, length, code, size = _OPT_WITH_OPTION.unpack_from(rest, _HEAD)
    end = _OPTIONS_AT + length
    if owner or rtype != OPT or end > len(rest):
        return rest, b""
    for _ in range(MAX_OPTIONS):
        stop = start + size
        if stop > end:
            break
        if code == COOKIE:
            if size not in COOKIE_SIZES:
                break
            return rest[:start] + _ZEROS[size] + rest[stop:], rest[start:stop]
        start = stop + _OPTION.size
        if start > end:
            break
        code, size = _OPTION.unpack_from(rest, stop)
    return rest, b""


class Verdict(IntEnum):
    """The result of checking a client's cookie."""

    NEW = 0  # a client cookie alone: the address may be spoofed
    VALID = 1  # we sent the cookie to this address within the last hour
    INVALID = 2  # forged, for another address, too old, or made with a secret no longer in use


class Cookies:
    """Makes server cookies with the first of `secrets`, and accepts cookies made with any of them.

    Each secret has 16 octets; several allow a secret to be replaced while clients hold cookies (RFC 9018 §5).
    """

    def __init__(self, secrets: tuple[bytes, ...]) -> None:
        if not secrets or any(len(secret) != SECRET_SIZE for secret in secrets):
            raise ValueError("expected one or more secrets of 16 octets")
        # A busy client sends the same cookie many times a second, and `verdict` and `option` need the same result. (Not
        # a method: a reference cycle would keep a replaced object alive.)
        self._check = lru_cache(maxsize=CACHED)(partial(_checked, secrets))

    def verdict(self, cookie: bytes, client: bytes, now_s: int) -> Verdict:
        """Check `cookie`, as returned by `split_cookie` (RFC 7873 §5.2, RFC 9018 §4).

        `client` is the sender's address, 4 or 16 octets; `now_s` is in seconds since 1970.
        """
        return self._check(cookie, client, now_s)[0]

    def option(self, cookie: bytes, client: bytes, now_s: int) -> bytes:
        """The COOKIE option for the reply: the client's cookie unchanged while it is young, else a new one.

        The arguments are those of `verdict`; every cookie begins with the client cookie, which is sent back.
        """
        return self._check(cookie, client, now_s)[1]


def _checked(secrets: tuple[bytes, ...], cookie: bytes, client: bytes, now_s: int) -> tuple[Verdict, bytes]:
    """The verdict on a cookie, and the option for the reply."""
    secret = _secret_of(secrets, cookie, client, now_s)
    if secret is None:
        verdict = Verdict.NEW if len(cookie) == CLIENT_COOKIE_SIZE else Verdict.INVALID
    else:
        verdict = Verdict.VALID
    # RFC 9018 §4.3: renew after half an hour at the latest; §5: use a new secret as soon as it is the first.
    if secret != secrets[0] or not 0 <= _age_s(cookie, now_s) < RENEW_AGE_S or not _is_plain(cookie):
        cookie = _fresh(secrets[0], cookie[:CLIENT_COOKIE_SIZE], client, now_s)
    return verdict, pack_option(COOKIE, cookie)


def _secret_of(secrets: tuple[bytes, ...], cookie: bytes, client: bytes, now_s: int) -> bytes | None:
    """The secret with which the cookie was made for this client; None for an invalid or too old cookie."""
    if len(cookie) != OUR_SIZE or cookie[CLIENT_COOKIE_SIZE] != VERSION:
        return None
    if not -MAX_AHEAD_S <= _age_s(cookie, now_s) <= MAX_AGE_S:
        return None
    hashed = cookie[:_HASH_AT] + client
    for secret in secrets:
        if compare_digest(cookie[_HASH_AT:], _hash(hashed, secret)):
            return secret
    return None


def _fresh(secret: bytes, client_cookie: bytes, client: bytes, now_s: int) -> bytes:
    made = client_cookie + _SERVER_HEAD.pack(VERSION, now_s & 0xFFFFFFFF)
    return made + _hash(made + client, secret)


def _age_s(cookie: bytes, now_s: int) -> int:
    """Seconds since the cookie was made, negative for a time in the future; times wrap at 32 bits (RFC 1982 §3.2)."""
    _, made_s = _SERVER_HEAD.unpack_from(cookie, CLIENT_COOKIE_SIZE)
    return int((now_s - made_s + 0x80000000 & 0xFFFFFFFF) - 0x80000000)


def _is_plain(cookie: bytes) -> bool:
    """Whether the reserved octets are zero, as in our own cookies (RFC 9018 §4.2)."""
    return not any(cookie[CLIENT_COOKIE_SIZE + 1 : CLIENT_COOKIE_SIZE + 4])


def _hash(data: bytes, secret: bytes) -> bytes:
    """SipHash-2-4 of a cookie's first 16 octets and the client's address (RFC 9018 §4.4)."""
    return bytes(siphash24(data, key=secret).digest())
