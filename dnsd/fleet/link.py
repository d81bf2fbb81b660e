"""A connection to a fleet's servers: nearest first, checked before anything is sent, ended where it cannot go on.

Requests are our own, over one subscription: those of nats-py wait by a call that can lose a cancellation. A connection
is given up a few seconds after its last server: whoever needs one opens the next, with the node's papers of that time.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from dnsd.errors import DnsdError
from dnsd.fleet.nats_client import PromptClient, abort

LEAST_VERSION = (2, 12, 8)  # an older nats-server stores half a batch, or loses acknowledged writes
VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")
CONNECT_S = 2  # for one server
OPEN_S = 8.0  # for all of them
WAIT_S = 0.7  # for a reply
TURNS = 3  # of each server, before a connection is given up
PING_S = 1  # two pings without an answer are silence
CLOSE_S = 1
MAX_UNSENT = 1_000_000  # octets
LOOK_S = 0.005  # while there is no room
NO_RESPONDERS = "503"


class NoAnswerError(DnsdError):
    """No answer came, or there is no connection: what was asked may have been done or not."""


class EngineRefusedError(DnsdError):
    """The servers refuse a request, or are none that a fleet can use; `code` is JetStream's, 0 without one."""

    def __init__(self, words: str, code: int = 0) -> None:
        super().__init__(words)
        self.code = code


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """A node's name, its servers (`nats://` or `tls://`, nearest first), and what nats-py needs to know of the node.

    `options` is called for each new connection, so that it uses renewed papers.
    """

    name: str
    servers: tuple[str, ...]
    options: Callable[[], Mapping[str, Any]] = dict


class FleetReply(NamedTuple):
    """A reply: its headers and its octets."""

    headers: Mapping[str, str]
    data: bytes


class Link:
    """One open connection."""

    def __init__(self, client: Client, inbox: str) -> None:
        self.client = client
        self.when_connected: Callable[[], None] = lambda: None  # again, after an interruption
        self.inbox = inbox  # of this connection's own subjects, without a dot at the end
        self.is_replaced = False  # by another one, with renewed papers
        self._waiting: dict[str, asyncio.Future[FleetReply]] = {}
        self._numbers = itertools.count(1)

    @property
    def is_closed(self) -> bool:
        """Whether it has ended for good."""
        return self.client.is_closed

    async def publish(
        self,
        subject: str,
        payload: bytes = b"",
        *,
        headers: dict[str, str] | None = None,
        reply: str = "",
        within_s: float = WAIT_S,
    ) -> None:
        """Send a message. Raises NoAnswerError without a connection, which keeps nothing to be sent later, or room."""
        try:
            async with asyncio.timeout(within_s):
                while self.client.is_connected and self.client.pending_data_size > MAX_UNSENT:
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            raise NoAnswerError(f"the fleet's servers read nothing for {within_s:g} s") from None
        if not self.client.is_connected:
            raise NoAnswerError("there is no connection to the fleet's servers")
        try:
            await self.client.publish(subject, payload, reply=reply, headers=headers)
        except (NatsError, OSError) as error:
            raise NoAnswerError(f"the connection to the fleet's servers failed: {error}") from None

    async def request(
        self, subject: str, payload: bytes = b"", *, headers: dict[str, str] | None = None, within_s: float = WAIT_S
    ) -> FleetReply:
        """The reply to a message. Raises NoAnswerError without one in time."""
        number = str(next(self._numbers))
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        reply_to = f"{self.inbox}.r.{number}"
        try:
            async with asyncio.timeout(within_s):
                await self.publish(subject, payload, headers=headers, reply=reply_to, within_s=within_s)
                reply: FleetReply = await future
        except TimeoutError:
            raise NoAnswerError(f"no answer from the fleet's servers within {within_s:g} s") from None
        finally:
            del self._waiting[number]
        if reply.headers.get("Status") == NO_RESPONDERS:
            raise NoAnswerError("no server of the fleet answers this now")
        return reply

    async def ask(
        self, subject: str, body: Mapping[str, Any] | None = None, *, within_s: float = WAIT_S
    ) -> dict[str, Any]:
        """The answer of JetStream to a request in JSON. Raises EngineRefusedError, NoAnswerError."""
        payload = b"" if body is None else json.dumps(body).encode()
        answer = json_answer((await self.request(subject, payload, within_s=within_s)).data)
        if error := answer.get("error"):
            raise EngineRefusedError(str(error.get("description")), error.get("err_code", 0))
        return answer

    async def listen(
        self,
        subject: str,
        take: Callable[[Msg], Awaitable[None]],
        *,
        queue: str = "",
        messages: int = 0,
        octets: int = 0,
    ) -> Any:
        """A subscription, shared with others of the same `queue`. Raises NoAnswerError.

        Messages over the limits of those that wait are dropped; 0 is no limit, where a dropped one would be a gap.
        """
        try:
            return await self.client.subscribe(
                subject, queue, cb=take, pending_msgs_limit=messages, pending_bytes_limit=octets
            )
        except (NatsError, OSError) as error:
            raise NoAnswerError(f"the connection to the fleet's servers failed: {error}") from None

    async def unlisten(self, subscription: Any) -> None:
        """End a subscription; one of a connection that has ended needs no end."""
        with suppress(NatsError, OSError):
            await subscription.unsubscribe()

    async def close(self) -> None:
        """End it."""
        await _ended(self.client)

    async def _take_reply(self, message: Msg) -> None:
        future = self._waiting.get(message.subject.rpartition(".")[2])
        if future and not future.done():
            future.set_result(FleetReply(plain_headers(message), message.data))


def plain_headers(message: Msg) -> dict[str, str]:
    """The headers of a message."""
    return {str(getattr(key, "value", key)): value for key, value in (message.headers or {}).items()}


def json_answer(data: bytes) -> dict[str, Any]:
    """An answer of JetStream. Raises NoAnswerError if it is none."""
    try:
        answer = json.loads(data)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise NoAnswerError("the answer of the fleet's servers is not an object in JSON")
    return answer


async def open_link(settings: LinkSettings, note: Callable[[str], None] = lambda text: None) -> Link:
    """Connect to the first server that answers.

    `note` gets what nats-py says of failures. Raises NoAnswerError if no server can be reached, EngineRefusedError if
    one is too old.
    """
    said: list[str] = []
    client = PromptClient()
    link: Link | None = None

    async def take_error(error: Exception) -> None:
        said[:] = [str(error) or type(error).__name__]  # one: there is no limit on what a server or others may cause
        note(said[-1])

    async def forget_unsent() -> None:
        client._pending.clear()  # else the next server gets the end of a batch
        client._pending_data_size = 0

    async def check_again() -> None:
        if _fault(client):
            await client.close()  # the next connection says why
        if link:
            link.when_connected()

    options = {"inbox_prefix": f"_INBOX_{settings.name}", **settings.options()}
    try:
        async with asyncio.timeout(OPEN_S):
            await client.connect(
                servers=[*settings.servers],
                name=settings.name,
                dont_randomize=True,
                connect_timeout=CONNECT_S,
                reconnect_time_wait=0.2,  # type: ignore[arg-type]  # it is a time to sleep
                max_reconnect_attempts=TURNS,
                ping_interval=PING_S,
                max_outstanding_pings=2,
                error_cb=take_error,
                pending_size=0,  # no wait of nats-py's own, as it swallows cancellations
                disconnected_cb=forget_unsent,
                reconnected_cb=check_again,
                **options,
            )
            if fault := _fault(client):
                raise EngineRefusedError(fault)
            prefix = options["inbox_prefix"]
            link = Link(
                client, f"{prefix.decode() if isinstance(prefix, bytes) else prefix}.{client._nuid.next().decode()}"
            )
            await link.listen(f"{link.inbox}.r.*", link._take_reply)
    except (NatsError, OSError, TimeoutError) as error:
        await _ended(client)
        if (task := asyncio.current_task()) and task.cancelling():  # nats-py waits by a call that can lose it
            raise asyncio.CancelledError from None
        words = said[-1] if said else str(error) or type(error).__name__
        raise NoAnswerError(f"no server of the fleet can be reached: {words}") from None
    except BaseException:
        await _ended(client)
        raise
    return link


async def _ended(client: Client) -> None:
    """End a client. A silent server does not keep it, and a cancellation of the caller goes on to the caller."""

    async def close() -> None:
        with suppress(NatsError, OSError, AttributeError):  # the last: of a client that never connected
            await client.close()

    task = asyncio.create_task(close())  # nats-py swallows cancellations: those of a task of its own are its own
    try:
        await asyncio.wait([task], timeout=CLOSE_S)
    finally:
        abort(client)
    await asyncio.wait([task], timeout=CLOSE_S)


def _fault(client: Client) -> str:
    """The reason why a fleet cannot use the server of a connection; empty without one."""
    text = str(client._server_info.get("version", ""))
    found = VERSION.match(text)
    least = ".".join(map(str, LEAST_VERSION))
    if not found or tuple(map(int, found.groups())) < LEAST_VERSION:
        return f"nats-server at {_place(client)} has version {text or 'unknown'}; a fleet needs {least} or later"
    if not client._server_info.get("jetstream"):
        return f"nats-server at {_place(client)} has no JetStream"
    return ""


def _place(client: Client) -> str:
    return client.connected_url.netloc if client.connected_url else "an unknown address"


class Line:
    """The connection that a node's parts share; it is opened anew once it has ended."""

    def __init__(self, settings: LinkSettings, note: Callable[[str], None] = lambda text: None) -> None:
        self._settings = settings
        self._note = note
        self._link: Link | None = None
        self._lock = asyncio.Lock()

    async def link(self) -> Link:
        """The open connection. Raises as `open_link` does."""
        async with self._lock:
            if self._link is None or self._link.is_closed:
                self._link = None
                self._link = await open_link(self._settings, self._note)
            return self._link

    async def renew(self) -> None:
        """Go on over a new connection, which shows the papers of now. Raises as `open_link` does: then nothing changes.

        The former one ends a little later, as answers may be on their way. Its users are told as of an interruption.
        """
        other: Link | None = await open_link(self._settings, self._note)
        try:
            async with self._lock:
                self._link, other = other, self._link
            if other:
                other.is_replaced = True
                other.when_connected()
                await asyncio.sleep(WAIT_S)
        finally:
            if other:
                await other.close()

    async def leave(self) -> None:
        """End the connection; the next one begins with the server after this one, if there are several."""
        async with self._lock:
            if self._link and len(self._settings.servers) > 1:
                servers = _after(self._settings.servers, _place(self._link.client))
                self._settings = replace(self._settings, servers=servers)
                await self._link.close()
                self._link = None

    async def close(self) -> None:
        """End it."""
        async with self._lock:
            if self._link:
                await self._link.close()
            self._link = None


def _after(servers: tuple[str, ...], place: str) -> tuple[str, ...]:
    """The servers in their order, the one at a place last; of an unlisted one, which the others told, the first."""
    places = [urlsplit(server).netloc for server in servers]
    number = places.index(place) + 1 if place in places else 1
    return servers[number:] + servers[:number]
