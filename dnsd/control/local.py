"""The local control socket: sends snapshots to workers, and carries out commands of operators."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from typing import Any

from dnsd.control.control import Control
from dnsd.control.guarded import Force
from dnsd.control.status import COLLECT_S, brake_state, status
from dnsd.manage.brake_state import author_key
from dnsd.manage.refusal import RefusedError
from dnsd.manage.token_file import TokenFile, TokenFileError
from dnsd.process.link import MAX_REQUEST, MessageKind, packed, peer_uid, read_message
from dnsd.process.state import BACKLOG


async def serve_local(control: Control) -> None:
    """Serve the socket until cancelled, only to processes of the server's own user and root."""

    async def serve_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The end of the server cancels this, which asyncio would report as an error.
        with suppress(OSError, EOFError, ValueError, asyncio.CancelledError):
            if peer_uid(writer.get_extra_info("socket")) not in (0, os.geteuid()):
                raise PermissionError
            kind, payload = await read_message(reader, limit=MAX_REQUEST)
            if kind is MessageKind.HELLO:
                await control.publisher.serve_worker(reader, writer, payload)
            elif kind is MessageKind.OUTBOUND:
                await control.outside.serve(reader, writer, payload)
            else:
                writer.write(packed(MessageKind.REPLY, await _reply(control, kind, payload)))
                await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(serve_client, sock=control.setup.local, backlog=BACKLOG)
    await server.serve_forever()


async def _reply(control: Control, kind: MessageKind, payload: bytes) -> dict[str, Any]:
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
            key = author_key(brake.book, TokenFile(control.setup.state.folder), release["author"])
            async with control.current.turn:
                await brake.release(key, release["seconds"], None, "")
    except (RefusedError, TokenFileError) as error:
        return {"error": str(error)}
    return brake_state(control).data()
