"""The way of a message from octets to octets, in small steps: `Answering.answer` is their list.

    parse   what is asked, and the node of the name              engine/respond.py, else engine/refuse.py
    find    the answer of the node                               engine/respond.py
    limit   the rate of the client, unless its cookie is valid   net/limits.py, wire/cookies.py, alike.py
    pack    header, question, answer and OPT                     engine/respond.py
    count   the reply, or that there is none                     tally.py

The loop then may repeat the reply without these steps, but for limit and count: for which queries, its scope says.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from dnsd.engine.answer import Answer
from dnsd.engine.refuse import refuse
from dnsd.engine.respond import ParsedQuery, find, opt_for, pack, parse
from dnsd.engine.snapshot import Snapshot
from dnsd.log import Log
from dnsd.metrics import Counts
from dnsd.net.limits import RateLimiter
from dnsd.net.picks import Picks
from dnsd.net.reply import DROP, PASS, SLIP, DnsReply
from dnsd.wire.addresses import ip_text
from dnsd.wire.cookies import Cookies, Verdict
from dnsd.wire.message import HEADER_SIZE
from dnsd.wire.names import name_text
from dnsd.wire.rdata import type_text
from dnsd.worker.alike import MALFORMED_KIND, limited_as, scope_of
from dnsd.worker.tally import Tally, answer_rcode, rcode_text

TC_OCTET, TC_BIT = 2, 0x02  # the TC bit's position in a message
NO_REPLY = DnsReply(None)


@dataclass(slots=True)
class Serving:
    """A worker's snapshot and settings for answering; each is replaced by one assignment."""

    snapshot: Snapshot
    cookies: Cookies | None
    limiter: RateLimiter | None
    query_sample: float  # share of queries to log


class Answering:
    """Answers the messages of one transport and address family."""

    def __init__(self, serving: Serving, counts: Counts, log: Log, protocol: str, family: str) -> None:
        self._serving = serving
        self._counts = counts
        self._log = log
        self._protocol = protocol
        self._is_stream = protocol == "tcp"
        self.picks = Picks()  # of the messages answered by `respond`
        self.tally = Tally(counts, protocol, family)
        self.repeated = self.tally.repeated

    def respond(self, query: bytes, peer: bytes) -> bytes | None:
        """The reply to a message from `peer`, a packed address; None for no reply. Never raises."""
        self.picks.note(query)
        return self.answer(query, peer).octets

    def answer(self, query: bytes, peer: bytes) -> DnsReply:
        """The reply, and the queries for which it may be repeated. Never raises."""
        serving, tally = self._serving, self.tally
        snapshot = serving.snapshot

        asked = parse(snapshot, query)
        if asked is None:
            return DnsReply(self._refuse(query, peer))
        answer = find(snapshot, asked)
        shape, qname, _, cookie, node, _ = asked
        if serving.query_sample:
            self._sample(asked, answer, peer)

        option, is_verified = self._cookie(cookie, peer) if cookie else (b"", False)
        kind = limited_as(asked, answer)
        verdict = PASS if is_verified else self._verdict(peer, qname if kind is None else kind)
        account = (shape, node.apex, answer)
        if verdict == DROP:
            tally.limited[account] += 1
            return NO_REPLY

        opt = opt_for(snapshot, asked, answer, option)
        octets = pack(query, asked, answer, opt, stream=self._is_stream, empty=verdict == SLIP)

        tally.answered[account] += 1
        if octets[TC_OCTET] & TC_BIT:
            tally.truncated += 1
        if cookie or verdict == SLIP or serving.query_sample:
            return DnsReply(octets)
        return DnsReply(octets, scope_of(asked, answer), account, kind, len(opt))

    def observe(self, count: int, seconds: float) -> None:
        """Count a turn of `count` messages that took `seconds`."""
        self.tally.observe(count, seconds)
        if self.tally.is_large:
            self.flush_tally()

    def not_sent(self, reply: bytes) -> None:
        """Count a reply that could not be sent."""
        self.tally.not_sent()

    def flush_tally(self) -> None:
        """Turn the tally into metrics."""
        self.tally.flush()
        self._count_over_limit()

    def _count_over_limit(self) -> None:
        """Count and log the responses over the rate limit of this worker; all its transports share the limiter."""
        limiter = self._serving.limiter
        dropped, slipped, logged, client = limiter.take() if limiter else (0, 0, 0, b"")
        if not client:
            return
        actions = {"dropped": dropped, "logged": logged, "slipped": slipped}
        counted = {action: number for action, number in actions.items() if number}
        for action, number in counted.items():
            self._counts.add("dnsd_rate_limited_total", action, by=number)
        text = ", ".join(f"{number} {action}" for action, number in counted.items())
        self._log.warning(f"rate limit: responses {text}; the last to {ip_text(client)}")

    def _refuse(self, query: bytes, peer: bytes) -> bytes | None:
        refusal = refuse(query)
        self.tally.malformed()
        if refusal is None:
            self.tally.dropped("too_short" if len(query) < HEADER_SIZE else "not_a_query")
            return None
        limiter = self._serving.limiter
        # A truncated error response would be no shorter.
        if limiter and not self._is_stream and limiter.drops(peer, MALFORMED_KIND, time.monotonic()):
            self.tally.dropped("rate_limited")
            return None
        self.tally.response(rcode_text(refusal.rcode))
        return refusal.reply

    def _cookie(self, cookie: bytes, peer: bytes) -> tuple[bytes, bool]:
        """The option for the reply, and whether the client has proved that it owns its address."""
        cookies = self._serving.cookies
        if cookies is None:
            return b"", False
        now_s = int(time.time())  # the clock shared with other servers: RFC 9018 §4.3
        verdict = cookies.verdict(cookie, peer, now_s)
        self.tally.cookies[verdict] += 1
        return cookies.option(cookie, peer, now_s), verdict is Verdict.VALID

    def _verdict(self, peer: bytes, kind: bytes) -> int:
        limiter = self._serving.limiter
        if limiter is None or self._is_stream:
            return PASS
        return limiter.verdict(peer, kind, time.monotonic())

    def _sample(self, asked: ParsedQuery, answer: Answer, peer: bytes) -> None:
        """Log a share of all queries."""
        if random.random() >= self._serving.query_sample:
            return
        shape, qname, _, _, _, _ = asked
        self._log.info(
            "query",
            client=ip_text(peer),
            protocol=self._protocol,
            name=name_text(qname),
            type=type_text(shape.qtype),
            rcode=answer_rcode(shape, answer),
        )
