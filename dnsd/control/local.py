"""The local control socket: workers follow control over it, and operators send commands."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress

from dnsd.control.control import Control
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
                await control.has_begun()
                from dnsd.control.commands import reply  # here, as its imports are slow

                writer.write(packed(MessageKind.REPLY, await reply(control, kind, payload)))
                await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(serve_client, sock=control.setup.local, backlog=BACKLOG)
    await server.serve_forever()
