"""The route of a map's drains: addresses that names moved off, and when the last cache forgets them."""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import UTC, datetime

from dnsd.api.envelope import Reply
from dnsd.api.request import Call
from dnsd.api.shapes import JsonObject
from dnsd.engine.snapshot import Snapshot
from dnsd.manage.drains import Drain
from dnsd.manage.find import find_map
from dnsd.model.times import time_text


async def list_drains(call: Call) -> Reply:
    """List the changes of 30 days that moved names off addresses of a map, also of a deleted one, newest first"""
    account_id, map_id = call.path["account_id"], call.path["map_id"]
    found = call.service.drains.of_map(map_id, account_id, now := time.time())
    loaded = call.service.loaded
    if not found:
        find_map(loaded.dataset, account_id, map_id)
    answered = answered_addresses(loaded.snapshot)
    return Reply([drain_shape(one, now, answered) for one in found])


def answered_addresses(snapshot: Snapshot) -> Collection[str]:
    """The edge addresses that answer for any zone now."""
    used = {id(one): one for one in (*snapshot.by_zone.values(), *snapshot.by_account.values(), snapshot.default)}
    return {str(ip) for one in used.values() for ip in one.ips}


def drain_shape(drain: Drain, now: float, answered: Collection[str]) -> JsonObject:
    """A drain at the time `now`, in seconds since 1970."""
    forgotten = drain.forgotten_at
    return {
        "state": str(drain.state(now)),
        "addresses": list(drain.addresses),
        "answered_addresses": [ip for ip in drain.addresses if ip in answered],
        "names_total": drain.names_total,
        "ttl_s": drain.ttl_s,
        "changed_at": _time(drain.changed_at),
        "served_at": _time(drain.served_at),
        "last_answer_at": _time(drain.served_at),
        "forgotten_at": _time(forgotten),
        "remaining_s": None if forgotten is None else max(0, round(forgotten - now)),
    }


def _time(at: float | None) -> str | None:
    return None if at is None else time_text(datetime.fromtimestamp(at, UTC))
