"""The accounts of a fleet in NATS, and what each user may publish and subscribe to. Pure: claims without signatures.

Streams and controls are in the account DNSD, edges in EDGES, which has no JetStream. In one account, an edge could
write to a stream: a request names the subject of its reply, to which no permission applies, and a stream stores all
that arrives at its subjects. Between accounts, a reply goes to the asker's account, where no stream is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from dnsd.fleet.subjects import ALL_STATE

STREAM = "DNSD"
DNSD, EDGES, SYS = "DNSD", "EDGES", "SYS"
API = "$JS.API"
UNLIMITED = -1

# Services of DNSD, each with its name for edges. `*` is a consumer, or the name of an edge.
SERVICES = (
    (f"{API}.CONSUMER.CREATE.{STREAM}.*.{ALL_STATE}", f"hub.create.*.{ALL_STATE}"),
    (f"{API}.CONSUMER.DELETE.{STREAM}.*", "hub.delete.*"),
    (f"{API}.CONSUMER.MSG.NEXT.{STREAM}.*", "hub.next.*"),
    (f"{API}.DIRECT.GET.{STREAM}.{ALL_STATE}", f"hub.get.{ALL_STATE}"),
    ("dnsd.ask.*", "hub.ask.*"),
)
STREAMED = "hub.next.*"  # the service with several replies
BEAT = "dnsd.beat"
STATUSES = "dnsd.edge.*.status"
MAX_PAYLOAD = 16 * 1024  # octets of a message from an edge: a status, a request for papers
CLAIMS_UPDATE = "$SYS.REQ.CLAIMS.UPDATE"  # where servers take account JWTs

NODE_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")


def check_node_name(name: str) -> str:
    """The name of a server, control or edge, unchanged. Raises ValueError; it is part of subjects and file names."""
    if not NODE_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not the name of a node: use 1 to 32 of a-z, 0-9 and inner hyphens")
    return name


def operator_claims(system_account: str) -> dict[str, Any]:
    """The claims of the operator; `system_account` is the public key of SYS."""
    return {"type": "operator", "system_account": system_account}


def dnsd_claims(edges: str, signing_keys: Iterable[str]) -> dict[str, Any]:
    """The claims of DNSD: JetStream, the services and the beat for edges; edges' statuses come from EDGES."""
    exports: list[dict[str, Any]] = [
        _export(subject, "service") | ({"response_type": "Stream"} if name == STREAMED else {})
        for subject, name in SERVICES
    ]
    exports.append(_export(BEAT, "stream"))
    claims = _account(exports, [_import(STATUSES, edges, "stream", STATUSES)], signing_keys)
    claims["limits"] |= {"mem_storage": UNLIMITED, "disk_storage": UNLIMITED}
    return claims


def edges_claims(dnsd: str, signing_keys: Iterable[str], revoked: Mapping[str, int]) -> dict[str, Any]:
    """The claims of EDGES.

    `revoked` has, by the public key of a user, the time up to which its JWTs are void, in seconds since 1970.
    """
    imports = [_import(subject, dnsd, "service", name) for subject, name in SERVICES]
    imports.append(_import(BEAT, dnsd, "stream", BEAT))
    claims = _account([_export(STATUSES, "stream")], imports, signing_keys)
    return claims | {"revocations": dict(revoked)} if revoked else claims


def system_claims() -> dict[str, Any]:
    """The claims of SYS, through which the root folder's holder sends new account JWTs to servers."""
    return _account([], [], ())


def edge_claims(name: str, account: str) -> dict[str, Any]:
    """The claims of the user of an edge, in the account EDGES."""
    publish = [
        f"hub.create.{consumer_of(name)}.{ALL_STATE}",
        f"hub.delete.{consumer_of(name)}",
        f"hub.next.{consumer_of(name)}",
        f"hub.get.{ALL_STATE}",
        f"hub.ask.{name}",
        status_subject(name),
    ]
    return _user(account, publish, [f"{inbox_of(name)}.>", BEAT]) | {"payload": MAX_PAYLOAD}


def control_claims(name: str, account: str) -> dict[str, Any]:
    """The claims of the user of a control, in the account DNSD; it may answer each question of an edge once."""
    publish = [ALL_STATE, "dnsd.c.>", "dnsd.log.>", BEAT, f"{API}.>"]
    return _user(account, publish, [f"{inbox_of(name)}.>", BEAT, STATUSES, "dnsd.ask.*"]) | {"resp": {"max": 1}}


def is_control(claims: Mapping[str, Any]) -> bool:
    """Whether the claims of a user are those of a control."""
    return ALL_STATE in claims.get("pub", {}).get("allow", ())


def updating_claims(name: str) -> dict[str, Any]:
    """The claims of a user of SYS, signed by the account itself: it reads servers' account JWTs and sends new ones."""
    return _user("", [CLAIMS_UPDATE, claims_lookup("*")], [f"{inbox_of(name)}.>"])


def claims_lookup(account: str) -> str:
    """The subject at which servers tell the JWT of an account, given by its public key."""
    return f"$SYS.REQ.ACCOUNT.{account}.CLAIMS.LOOKUP"


def consumer_of(edge: str) -> str:
    """The name of an edge's consumer."""
    return f"edge-{edge}"


def status_subject(edge: str) -> str:
    """The subject of an edge's statuses."""
    return STATUSES.replace("*", edge)


def inbox_of(name: str) -> str:
    """The prefix of the subjects at which a node receives replies."""
    return f"_INBOX_{name}"


def _account(
    exports: list[dict[str, Any]], imports: list[dict[str, Any]], signing_keys: Iterable[str]
) -> dict[str, Any]:
    limits = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn"), UNLIMITED)
    claims: dict[str, Any] = {"type": "account", "limits": {**limits, "leaf": 0, "wildcards": True}}
    lists = {"exports": exports, "imports": imports, "signing_keys": list(signing_keys)}
    return claims | {key: value for key, value in lists.items() if value}


def _user(account: str, publish: list[str], subscribe: list[str]) -> dict[str, Any]:
    return {
        "type": "user",
        **({"issuer_account": account} if account else {}),  # needed where a signing key signs, refused elsewhere
        "pub": {"allow": publish},
        "sub": {"allow": subscribe},
        **dict.fromkeys(("subs", "data", "payload"), UNLIMITED),
        "allowed_connection_types": ["STANDARD"],  # neither leaf nodes nor WebSocket nor MQTT
    }


def _export(subject: str, kind: str) -> dict[str, Any]:
    return {"name": subject, "subject": subject, "type": kind}


def _import(subject: str, account: str, kind: str, name: str) -> dict[str, Any]:
    return {"name": name, "subject": subject, "account": account, "type": kind, "local_subject": name}
