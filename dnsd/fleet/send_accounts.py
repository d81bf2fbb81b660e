"""Send changed account JWTs from a root folder to the running servers: a revoked node is cut at once.

Each server keeps the JWTs on its disk, and gets what it missed from the others.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from contextlib import AsyncExitStack, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError

from dnsd.fleet.access import CLAIMS_UPDATE, DNSD, EDGES, claims_lookup
from dnsd.fleet.identity import load_identity
from dnsd.fleet.jwt import parse_jwt
from dnsd.fleet.root import UPDATER, RootFolder, RootFolderError

CONNECT_S = 3.0  # for each server
CONNECTING: dict[str, Any] = {
    "allow_reconnect": False,
    "max_reconnect_attempts": 1,
    "reconnect_time_wait": 0.1,
    "connect_timeout": CONNECT_S,
}
ANSWERS_S = 5.0


def send_accounts(root: RootFolder, *, now: datetime) -> frozenset[str]:
    """Send the JWTs of DNSD and EDGES, and return the names of the servers that use them.

    A server that stands still costs a bounded time. Raises RootFolderError if no server can be reached or one refuses,
    and for an older copy of the root folder, before anything is sent.
    """
    return asyncio.run(_send_all(root, now))


async def _send_all(root: RootFolder, now: datetime) -> frozenset[str]:
    """Send both JWTs, with an identity for this once; servers pass them on, so few need a message of their own."""
    jwts = [root.account_jwt(account) for account in (DNSD, EDGES)]
    done: frozenset[str] = frozenset()
    async with AsyncExitStack() as stack:
        clients = await _connect(root, now, stack)
        await _check_copy(root, [*clients.values()])
        for name, client in clients.items():
            if name not in done:
                done |= await _send(client, jwts, len(root.servers))
    return done


async def _connect(root: RootFolder, now: datetime, stack: AsyncExitStack) -> dict[str, Client]:
    """Connections to all servers that answer, by name. Raises RootFolderError if there is none.

    One connection to each: nats-py gives up altogether if the first server accepts and says nothing.
    """
    with tempfile.TemporaryDirectory(prefix="dnsd-fleet-") as folder:
        root.make_updater(Path(folder) / UPDATER, now=now)
        options = load_identity(Path(folder) / UPDATER).connect_options()
    clients: dict[str, Client] = {}
    reason = ""
    for server in root.servers:
        client = Client()
        stack.push_async_callback(_end, client)
        try:
            async with asyncio.timeout(CONNECT_S):
                await client.connect(server.url, **options, **CONNECTING, error_cb=_ignored)
            clients[server.name] = client
        except (OSError, NatsError, TimeoutError) as error:
            reason = str(error) or "no answer"
    if not clients:
        raise RootFolderError(f"no server can be reached at {', '.join(o.url for o in root.servers)}: {reason}")
    return clients


async def _check_copy(root: RootFolder, clients: list[Client]) -> None:
    """Raises RootFolderError if servers have withdrawn nodes that the folder would let in again."""
    missing: set[str] = set()
    for account in (DNSD, EDGES):
        own = parse_jwt(root.account_jwt(account))
        asked = (_answers(client, claims_lookup(own["sub"]), b"", len(clients)) for client in clients)
        for answer in {answer for answers in await asyncio.gather(*asked) for answer in answers if answer}:
            missing |= _missing(root, own["nats"], parse_jwt(answer.decode("ascii", "replace"))["nats"])
    if missing:
        raise RootFolderError(
            f"nothing was sent: {root.folder} is an older copy of the root folder. Repeat the change in the newest "
            f"copy. If that one is lost, first repeat in this one: {', '.join(sorted(missing))}"
        )


def _missing(root: RootFolder, own: dict[str, Any], in_force: dict[str, Any]) -> set[str]:
    """The options of `dnsd fleet revoke` that an account's claims in the folder lack, as those in force show.

    A signing key in the folder alone is of a control withdrawn since, for no command adds a control.
    """
    revoked, names = own.get("revocations", {}), {key: name for name, key in root.controls.items()}
    edges = {user for user, until in in_force.get("revocations", {}).items() if revoked.get(user, 0) < until}
    keys = set(own.get("signing_keys", ())) - set(in_force.get("signing_keys", ()))
    return {f"--edge {user}" for user in edges} | {f"--control {names.get(key, key)}" for key in keys}


async def _send(client: Client, jwts: list[str], servers: int) -> frozenset[str]:
    """Send JWTs, and return the names of the servers that use all of them."""
    answers = await asyncio.gather(*(_answers(client, CLAIMS_UPDATE, jwt.encode(), servers) for jwt in jwts))
    return frozenset.intersection(*(frozenset(_server_of(json.loads(one)) for one in each) for each in answers))


async def _answers(client: Client, subject: str, payload: bytes, number: int) -> list[bytes]:
    """Up to `number` replies to a request; fewer after a bounded time, or if the connection ends."""
    found: list[bytes] = []
    with suppress(OSError, NatsError, TimeoutError):
        async with asyncio.timeout(ANSWERS_S):
            inbox = client.new_inbox()
            replies = await client.subscribe(inbox)
            await client.publish(subject, payload, reply=inbox)
            while len(found) < number:
                found.append((await replies.next_msg(ANSWERS_S)).data)
    return found


def _server_of(answer: dict[str, Any]) -> str:
    """The name of the server that answered. Raises RootFolderError if it refused."""
    name = str(answer.get("server", {}).get("name", ""))
    if "error" in answer:
        raise RootFolderError(f"the server {name} refused: {answer['error'].get('description')}")
    return name


async def _end(client: Client) -> None:
    with suppress(OSError, NatsError, AttributeError):  # the last: of a client that never connected
        await client.close()


async def _ignored(error: Exception) -> None:
    """Errors reach the caller by exceptions; nats-py would print them, too."""
