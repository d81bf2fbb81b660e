"""The commands of operators on this host: reload, status, brake."""

from __future__ import annotations

import json
from typing import Any

from dnsd.control.control import Control
from dnsd.control.guarded import Force
from dnsd.control.status import COLLECT_S, brake_state, status
from dnsd.manage.brake_state import author_key
from dnsd.manage.refusal import RefusedError
from dnsd.manage.token_port import TokenFileError
from dnsd.process.link import MessageKind


async def reply(control: Control, kind: MessageKind, payload: bytes) -> dict[str, Any]:
    """Carry out a command and return its reply. Raises ValueError for other messages."""
    if kind is MessageKind.RELOAD:
        asked = json.loads(payload)
        load = await control.loader.reload(force=Force(str(asked.get("account", ""))) if asked["force"] else None)
        return {
            "ok": load.ok and not load.held,
            "revision": load.revision,
            "served": load.revision if load.ok else None,
            "held": list(load.held),
            "refused": not load.ok,
            "seconds": round(load.seconds, 4),
            "problems": [problem.data() for problem in load.problems],
            "late": control.publisher.late(load.revision),
        }
    if kind is MessageKind.STATUS:
        await control.publisher.collect(COLLECT_S)
        return status(control)
    if kind is MessageKind.BRAKE:
        return await _brake(control, json.loads(payload))
    raise ValueError(f"{kind.name} is not a command")


async def _brake(control: Control, release: dict[str, Any]) -> dict[str, Any]:
    """The state of the brake, after a `release` if one is asked for; or an error."""
    brake = control.brake
    try:
        if release:
            key = author_key(brake.book, control.tokens, release["author"])
            async with control.current.turn:
                await brake.release(key, release["seconds"], None, "")
    except (RefusedError, TokenFileError) as error:
        return {"error": str(error)}
    return brake_state(control).data()
