"""Who is an edge of a fleet, as controls change it: a code makes its holder one, once, until it leaves.

Each change is one commit, with the head of the shared objects: of two controls that redeem one code, one does. A name
is of the edge with the key in its record, and no other key gets papers for it.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import uuid4

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from dnsd.errors import DnsdError
from dnsd.fleet.access import check_node_name, consumer_of
from dnsd.fleet.edge_record import MAX_LABEL, MAX_RING, EdgeRecord, edge_subject, parse_edge_record
from dnsd.fleet.heads import AccountState
from dnsd.fleet.join_code import digest_of, signer_of
from dnsd.fleet.last_message import StoredMessage, last_message, shared_state
from dnsd.fleet.level import level_of, level_problem
from dnsd.fleet.link import EngineRefusedError, Line, Link
from dnsd.fleet.papers_talk import JoinQuestion
from dnsd.fleet.stream import STREAM, check_stream
from dnsd.fleet.subjects import META, SHARED, join_subject, left_subject
from dnsd.fleet.values import ValueFormatError, is_count, json_object
from dnsd.fleet.writer import Commit, ControlWrite, ObjectWrite, StaleAccountsError, Writer

VERSION = 1  # of an offer, and of the note that an edge has left
OFFER_LIVES = "1h"
LEFT_LIVES = "2400h"  # 100 days: longer than the papers that were given before
CLOCKS_DIFFER = timedelta(minutes=5)  # at most, of the machine that gave papers and of the one where the edge left
TURNS, PAUSE_S = 5, 0.2  # while others change shared objects
NO_CONSUMER = 10014
UNKNOWN_CODE = "no control of this fleet knows the code: it was used, or it is older than an hour"
OTHER_VERSION = "the code was made by another version of dnsd: make a new one"


class AdmissionError(DnsdError):
    """A name, a code or a question that is refused; the message says why."""


class EdgeOffer(NamedTuple):
    """What the holder of a code becomes: an edge of this name, in this ring of rollouts, at a place in words.

    `signer` is the public key with which the holder signs, in hexadecimal digits.
    """

    name: str
    ring: int = 0
    label: str = ""
    signer: str = ""

    def packed(self) -> bytes:
        """The offer as JSON."""
        content = {"v": VERSION, "name": self.name, "ring": self.ring, "label": self.label, "signer": self.signer}
        return json.dumps(content, ensure_ascii=False).encode()


class RecordChange(NamedTuple):
    """The new record of an edge, None for none, and what control alone reads of it."""

    record: EdgeRecord | None
    control: tuple[ControlWrite, ...] = ()


RecordDraft = Callable[[Link, EdgeRecord | None], Awaitable[RecordChange | None]]  # None: nothing changes


class EdgeList:
    """The records of a fleet's edges, and what else controls note of them.

    The methods raise AdmissionError for what is refused, NoAnswerError and ValueFormatError, and as `Writer.commit`.
    """

    def __init__(self, line: Line, control: str) -> None:
        """`control` is the name of the node that changes them, for the evidence."""
        self._line = line
        self._control = control

    async def offer(self, secret: bytes, offer: EdgeOffer) -> None:
        """Have the holder of a secret become an edge within an hour."""
        _check(offer)
        link = await self._line.link()
        if not await check_stream(link):
            raise AdmissionError("the fleet has no state yet: `dnsd fleet import` makes it")
        await _check_level(link)
        await _check_free(link, offer.name, _record(await last_message(link, edge_subject(offer.name))))
        offer = offer._replace(signer=signer_of(secret).public_key().public_bytes_raw().hex())
        write = ControlWrite(join_subject(digest_of(secret)), 0, offer.packed(), OFFER_LIVES)
        entry = self._entry("fleet.code", offer.name)
        await Writer(self._line.link).commit(Commit(str(uuid4()), entry, (), {}, control=(write,)))

    async def redeem(self, question: JoinQuestion, key: str) -> str:
        """Make the holder of a code an edge with the key of its request, and use the code up; the edge's name."""
        subject = join_subject(question.code)
        offer = _offer(await last_message(await self._line.link(), subject))
        _check_signature(offer, question)

        async def draw_up(link: Link, record: EdgeRecord | None) -> RecordChange:
            found = await last_message(link, subject)
            _offer(found)
            await _check_free(link, offer.name, record)
            used = ControlWrite(subject, found.seq, None, OFFER_LIVES)
            return RecordChange(EdgeRecord(key, offer.ring, offer.label), (used,))

        await self._change(offer.name, "fleet.join", draw_up)
        return offer.name

    async def know(self, name: str, key: str, since: datetime) -> None:
        """See that an edge with papers from `since` is known by its key: one from the root folder is not at first."""

        async def draw_up(link: Link, record: EdgeRecord | None) -> RecordChange | None:
            if record and record.key == key:
                return None
            if record and record.key:
                raise AdmissionError(f"another edge has joined as {name}: this one needs a name of its own")
            left = (await last_message(link, left_subject(key))).value
            if left is not None and since <= _left_at(left) + CLOCKS_DIFFER:
                raise AdmissionError(f"{name} has left the fleet")
            return RecordChange(record._replace(key=key) if record else EdgeRecord(key))

        await self._change(name, "fleet.know", draw_up)

    async def leave(self, name: str) -> EdgeRecord:
        """Forget an edge, so that it gets no more papers; the record that it had."""
        gone: list[EdgeRecord] = []

        async def draw_up(link: Link, record: EdgeRecord | None) -> RecordChange:
            if record is None:
                raise AdmissionError(f"the fleet knows no edge {name!r}")
            gone[:] = [record]
            if not record.key:  # of an edge that no control has met
                return RecordChange(None)
            subject = left_subject(record.key)
            at = int(datetime.now(UTC).timestamp())  # after the record was read: it had papers until now
            note = json.dumps({"v": VERSION, "name": name, "at": at}).encode()
            return RecordChange(
                None, (ControlWrite(subject, (await last_message(link, subject)).seq, note, LEFT_LIVES),)
            )

        _check_name(name)
        await self._change(name, "fleet.leave", draw_up)
        return gone[0]

    async def _change(self, name: str, action: str, draw_up: RecordDraft) -> None:
        """Change the record of an edge, drawn up anew if others change shared objects meanwhile."""
        subject = edge_subject(name)
        for turn in range(TURNS):
            link = await self._line.link()
            state = await shared_state(link)  # before the record
            old = await last_message(link, subject)
            change = await draw_up(link, _record(old))
            if change is None:
                return
            await _check_level(link)
            try:
                await self._commit(state, self._entry(action, name), subject, old.value, change)
                return
            except StaleAccountsError:
                if turn == TURNS - 1:
                    raise
                await asyncio.sleep(random.uniform(0, PAUSE_S))

    async def _commit(
        self, state: AccountState, entry: bytes, subject: str, old: bytes | None, change: RecordChange
    ) -> None:
        new = change.record.packed() if change.record else None
        write = ObjectWrite(subject, old, new)
        commit = Commit(str(uuid4()), entry, (write,), {SHARED: state}, control=change.control)
        await Writer(self._line.link).commit(commit)

    def _entry(self, action: str, edge: str) -> bytes:
        return json.dumps({"action": action, "node": self._control, "edge": edge}).encode()


async def _check_level(link: Link) -> None:
    """Raises AdmissionError if this version must not write to the fleet, as one of a later version wants."""
    if problem := level_problem(level_of((await last_message(link, META)).value)):
        raise AdmissionError(f"this control changes no edges: {problem}")


async def _check_free(link: Link, name: str, record: EdgeRecord | None) -> None:
    """Raises AdmissionError if an edge has this name: by its record, or as its consumer is asked, before it has one."""
    if record:
        raise AdmissionError(f"{name} is an edge already: choose another name, or first run `dnsd fleet leave {name}`")
    try:
        consumer = await link.ask(f"$JS.API.CONSUMER.INFO.{STREAM}.{consumer_of(name)}")
    except EngineRefusedError as error:
        if error.code == NO_CONSUMER:
            return
        raise
    if consumer.get("num_waiting"):
        raise AdmissionError(f"an edge with the name {name} is connected: choose another name, or stop that edge")


def _check_name(name: str) -> None:
    """Raises AdmissionError."""
    try:
        check_node_name(name)
    except ValueError as error:
        raise AdmissionError(str(error)) from None


def _check(offer: EdgeOffer) -> None:
    """Raises AdmissionError."""
    _check_name(offer.name)
    if not 0 <= offer.ring <= MAX_RING:
        raise AdmissionError(f"a ring is a number from 0 to {MAX_RING}, not {offer.ring}")
    if len(offer.label) > MAX_LABEL or not offer.label.isprintable():
        raise AdmissionError(f"a label has at most {MAX_LABEL} printable characters")


def _record(found: StoredMessage) -> EdgeRecord | None:
    return None if found.value is None else parse_edge_record(found.value)


def _offer(found: StoredMessage) -> EdgeOffer:
    """The offer of a code. Raises AdmissionError."""
    if found.value is None:
        raise AdmissionError(UNKNOWN_CODE)
    content = json_object(found.value)
    name, ring, label, signer = (content.get(key) for key in ("name", "ring", "label", "signer"))
    if content.get("v") != VERSION or not isinstance(name, str) or not is_count(ring):
        raise AdmissionError(OTHER_VERSION)
    if not isinstance(label, str) or not isinstance(signer, str):
        raise AdmissionError(OTHER_VERSION)
    return EdgeOffer(name, ring, label, signer)


def _check_signature(offer: EdgeOffer, question: JoinQuestion) -> None:
    """Raises AdmissionError unless the holder of the code's secret has signed a request."""
    try:
        signer = Ed25519PublicKey.from_public_bytes(bytes.fromhex(offer.signer))
        signer.verify(question.signature, question.request)
    except (InvalidSignature, ValueError):
        raise AdmissionError("the certificate request is not signed with the code") from None


def _left_at(note: bytes) -> datetime:
    """When an edge left. Raises ValueFormatError."""
    at = json_object(note).get("at")
    if not is_count(at):
        raise ValueFormatError("the note of an edge that has left has no time")
    return datetime.fromtimestamp(at, UTC)
