"""Send changed account JWTs from a root folder to the running servers: a revoked node is cut at once.

Each server keeps the JWTs on its disk, and gets what it missed from the others.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import nats
import nats.errors

from dnsd.fleet.access import DNSD, EDGES
from dnsd.fleet.identity import load_identity
from dnsd.fleet.root import UPDATER, RootFolder, RootFolderError

SUBJECT = "$SYS.REQ.CLAIMS.UPDATE"
CONNECTING = {"allow_reconnect": False, "max_reconnect_attempts": 1, "reconnect_time_wait": 0.1, "connect_timeout": 5}
ANSWERS_S = 5.0


def send_accounts(root: RootFolder, *, now: datetime) -> frozenset[str]:
    """Send the JWTs of DNSD and EDGES, and return the names of the servers that use them.

    Raises RootFolderError if no server can be reached, or one refuses.
    """
    return asyncio.run(_send_all(root, now))


async def _send_all(root: RootFolder, now: datetime) -> frozenset[str]:
    """Send both JWTs over one connection, with an identity for this once."""
    with tempfile.TemporaryDirectory(prefix="dnsd-fleet-") as folder:
        root.make_updater(Path(folder) / UPDATER, now=now)
        options = load_identity(Path(folder) / UPDATER).connect_options()
        urls = [server.url for server in root.servers]
        try:
            client = await nats.connect(urls, **options, **CONNECTING, error_cb=_ignored)
        except (OSError, nats.errors.Error, TimeoutError) as error:
            raise RootFolderError(f"no server can be reached at {', '.join(urls)}: {error}") from None
        try:
            jwts = [root.account_jwt(account) for account in (DNSD, EDGES)]
            done = [await _send(client, jwt, len(root.servers)) for jwt in jwts]
        finally:
            await client.close()
    return frozenset.intersection(*done)


async def _send(client: Any, jwt: str, servers: int) -> frozenset[str]:
    """Send one JWT, and return the names of the servers that use it."""
    inbox: str = client.new_inbox()
    done: set[str] = set()
    answers = await client.subscribe(inbox)
    await client.publish(SUBJECT, jwt.encode(), reply=inbox)
    with suppress(TimeoutError):
        async with asyncio.timeout(ANSWERS_S):
            while len(done) < servers:
                done.add(_server_of(json.loads((await answers.next_msg(ANSWERS_S)).data)))
    await answers.unsubscribe()
    return frozenset(done)


def _server_of(answer: dict[str, Any]) -> str:
    """The name of the server that answered. Raises RootFolderError if it refused."""
    name = str(answer.get("server", {}).get("name", ""))
    if "error" in answer:
        raise RootFolderError(f"the server {name} refused: {answer['error'].get('description')}")
    return name


async def _ignored(error: Exception) -> None:
    """Errors reach the caller by exceptions; nats-py would print them, too."""
