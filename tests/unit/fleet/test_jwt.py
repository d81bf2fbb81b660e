"""JWTs of NATS: claims come back, other texts and signatures do not."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest

from dnsd.fleet.jwt import JwtError, parse_jwt, signed_jwt
from dnsd.fleet.nkeys import Nkey, NkeyKind

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ACCOUNT = Nkey.generate(NkeyKind.ACCOUNT)
USER = Nkey.generate(NkeyKind.USER)
JWT = signed_jwt(ACCOUNT, USER.public, {"type": "user"}, name="e1", issued=NOW, expires=NOW + timedelta(days=1))


def test_claims_come_back() -> None:
    claims = parse_jwt(f"{JWT}\n")
    assert len(claims.pop("jti")) == 52
    start = int(NOW.timestamp())
    assert claims == {
        "iat": start,
        "exp": start + 86400,
        "iss": ACCOUNT.public,
        "sub": USER.public,
        "name": "e1",
        "nats": {"type": "user", "version": 2},
    }


def test_a_jwt_without_an_end_has_none() -> None:
    assert "exp" not in parse_jwt(signed_jwt(ACCOUNT, USER.public, {"type": "user"}, name="e1", issued=NOW))


def replaced(part: int, data: object) -> str:
    parts = JWT.split(".")
    parts[part] = base64.urlsafe_b64encode(json.dumps(data).encode()).decode().rstrip("=")
    return ".".join(parts)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "a.b.c",
        JWT.replace(".", "", 1),
        f"{JWT}.{JWT}",
        replaced(0, {"typ": "JWT", "alg": "none"}),
        replaced(0, {"typ": "JWT", "alg": "HS256"}),
        replaced(1, []),
        replaced(1, {"iss": ACCOUNT.public, "nats": {"type": "other"}}),
        replaced(1, {"iss": USER.public, "nats": {"type": "user"}}),
        "é",
        "A" * (1 << 21),
    ],
    ids=range(13),
)
def test_other_texts_are_no_jwts(text: str) -> None:
    with pytest.raises(JwtError, match="not a JWT of NATS"):
        parse_jwt(text)


def test_changed_claims_have_a_wrong_signature() -> None:
    changed = {**parse_jwt(JWT), "name": "e2"}
    with pytest.raises(JwtError, match="signature is wrong"):
        parse_jwt(replaced(1, changed))
