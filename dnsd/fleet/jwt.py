"""JWTs of NATS in operator mode: claims in JSON, signed with an nkey. No files and no network.

The operator signs accounts, accounts and their signing keys sign users; servers know the operator's JWT alone.
A server keeps the account JWT with the latest time of issue, so a new one must be later than the one before.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cryptography.exceptions import InvalidSignature

from dnsd.errors import DnsdError
from dnsd.fleet.nkeys import Nkey, NkeyError, NkeyKind, parse_public

HEADER = {"typ": "JWT", "alg": "ed25519-nkey"}
VERSION = 2  # of the claims
MAX_JWT = 1024 * 1024  # octets
ISSUERS = {"operator": NkeyKind.OPERATOR, "account": NkeyKind.OPERATOR, "user": NkeyKind.ACCOUNT}


class JwtError(DnsdError):
    """A text that is not a JWT of NATS, or one with a wrong signature."""


def signed_jwt(
    issuer: Nkey,
    subject: str,
    nats: Mapping[str, Any],
    *,
    name: str,
    issued: datetime,
    expires: datetime | None = None,
) -> str:
    """A JWT for the holder of the public key `subject`; `nats` are the claims of its type."""
    claims = {"iat": int(issued.timestamp()), "iss": issuer.public, "sub": subject, "name": name}
    if expires:
        claims["exp"] = int(expires.timestamp())
    claims["nats"] = {**nats, "version": VERSION}
    digest = hashlib.new("sha512_256", _json(claims)).digest()
    claims["jti"] = base64.b32encode(digest).decode().rstrip("=")
    text = f"{_base64(_json(HEADER))}.{_base64(_json(claims))}"
    return f"{text}.{_base64(issuer.sign(text.encode()))}"


def parse_jwt(text: str) -> dict[str, Any]:
    """The claims of a JWT, its signature verified with the issuer's key in it. Raises JwtError.

    Whether that issuer is the right one is up to the caller.
    """
    signed, _, signature = text.strip().rpartition(".")
    header, dot, payload = signed.partition(".")
    try:
        if not dot or len(text) > MAX_JWT or json.loads(_octets(header)) != HEADER:
            raise JwtError("this is not a JWT of NATS")
        claims = json.loads(_octets(payload))
        key = parse_public(claims["iss"], ISSUERS[claims["nats"]["type"]])
        key.verify(_octets(signature), signed.encode())
    except InvalidSignature:
        raise JwtError("the JWT's signature is wrong") from None
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, NkeyError):
        raise JwtError("this is not a JWT of NATS") from None
    return dict(claims)


def _json(data: Any) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode()


def _base64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")  # RFC 7515 §2: without padding


def _octets(text: str) -> bytes:
    """Raises ValueError, of which binascii.Error is one."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
