"""The local control socket: workers follow what is published, operators give commands."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from typing import Any

from dnsd.serve.control import Control
from dnsd.serve.link import MAX_ASKED, Kind, packed, peer_uid, read_message
from dnsd.serve.status import COLLECT_S, status

RETRY_S = 1.0
BACKLOG = 16  # also how often asyncio tries, and reports, to accept without a descriptor left before it waits


async def serve_local(control: Control) -> None:
    """Serve the socket until cancelled; the server's own user and root are listened to."""

    async def attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Cancelled it is when the server ends; asyncio would report that as a mistake of ours.
        with suppress(OSError, EOFError, ValueError, asyncio.CancelledError):
            if peer_uid(writer.get_extra_info("socket")) not in (0, os.geteuid()):
                raise PermissionError
            kind, payload = await read_message(reader, limit=MAX_ASKED)
            if kind is Kind.HELLO:
                await control.publisher.attend(reader, writer, payload)
            else:
                writer.write(packed(Kind.REPLY, await _reply(control, kind, payload)))
                await writer.drain()
        writer.close()

    while True:
        try:
            server = await asyncio.start_unix_server(attend, control.desk.state.address, backlog=BACKLOG)
            break
        except OSError as error:
            control.desk.log.error(f"the control socket cannot be made: {error.strerror}; trying again")
            await asyncio.sleep(RETRY_S)
    await server.serve_forever()


async def _reply(control: Control, kind: Kind, payload: bytes) -> dict[str, Any]:
    """Do what a command asks; raises ValueError for what is none."""
    if kind is Kind.RELOAD:
        load = await control.loader.reload(force=bool(json.loads(payload)["force"]))
        return {
            "ok": load.ok and not load.held,
            "revision": control.publisher.revision,
            "served": control.publisher.revision if load.ok else None,
            "held": list(load.held),
            "refused": not load.ok,
            "seconds": round(load.seconds, 4),
            "problems": [problem.data() for problem in load.problems],
            "late": control.publisher.late(control.publisher.revision),
        }
    if kind is Kind.STATUS:
        await control.publisher.collect(COLLECT_S)
        return status(control)
    raise ValueError(f"{kind.name} is no command")
