"""The way of a message from octets to octets: parse, find, cookies, rate limits, pack, count.

Counting costs one dictionary update per message; the tally is turned into metrics once a second, or when it is large.
"""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import dns.rcode

from dnsd.engine.answer import ALWAYS_FITS, Answer, is_referral
from dnsd.engine.node import Alias, Apex, Flattened, Redirection
from dnsd.engine.refuse import refuse
from dnsd.engine.respond import ParsedQuery, find, opt_for, pack, parse
from dnsd.engine.shape import Shape
from dnsd.engine.snapshot import Snapshot
from dnsd.log import Log
from dnsd.metrics import NO_ZONE, Counts
from dnsd.net.limits import RateLimiter
from dnsd.net.picks import Picks
from dnsd.net.reply import DROP, PASS, SLIP, DnsReply, Scope
from dnsd.wire.addresses import ip_text
from dnsd.wire.cookies import Cookies, Verdict
from dnsd.wire.message import HEADER_SIZE, NOERROR
from dnsd.wire.names import name_text
from dnsd.wire.rdata import ANY, is_known_type, type_text

TC_OCTET, TC_BIT = 2, 0x02  # the TC bit's position in a message
MAX_TALLY = 256  # entries before the tally is turned into metrics; clients choose how many there are
MALFORMED, OTHER_TYPE = "malformed", "other"
COOKIE_STATES = {Verdict.NEW: "new", Verdict.VALID: "valid", Verdict.INVALID: "invalid"}

# Kinds of responses for the rate limit, apart from names: no name begins with an octet above 63.
WILDCARD_KIND, MALFORMED_KIND = b"\xfe", b"\xff"
_NOT_POSITIVE = [bytes([0x80 | rcode]) for rcode in range(16)]

NO_REPLY = DnsReply(None)

Tally = dict[tuple[Shape, Apex | None, Answer], int]


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
        self._family = family
        self._is_stream = protocol == "tcp"
        self.picks = Picks()  # of the messages answered by `respond`
        self._answered: Tally = defaultdict(int)
        self._limited: Tally = defaultdict(int)
        self._truncated = 0
        self._cookies: Counter[Verdict] = Counter()

    def respond(self, query: bytes, peer: bytes) -> bytes | None:
        """The reply to a message from `peer`, a packed address; None for no reply. Never raises."""
        self.picks.note(query)
        return self.answer(query, peer).octets

    def answer(self, query: bytes, peer: bytes) -> DnsReply:
        """The reply, and the queries for which it may be repeated. Never raises."""
        serving = self._serving
        snapshot = serving.snapshot
        asked = parse(snapshot, query)
        if asked is None:
            return DnsReply(self._refuse(query, peer))
        answer = find(snapshot, asked)
        shape, qname, _, cookie, node, _ = asked
        if serving.query_sample:
            self._sample(asked, answer, peer)
        option, is_verified = self._cookie(cookie, peer) if cookie else (b"", False)
        kind = _kind(asked, answer)
        verdict = PASS if is_verified else self._verdict(peer, qname if kind is None else kind)
        account = (shape, node.apex, answer)
        if verdict == DROP:
            self._limited[account] += 1
            return NO_REPLY
        opt = opt_for(snapshot, asked, answer, option)
        octets = pack(query, asked, answer, opt, stream=self._is_stream, empty=verdict == SLIP)
        self._answered[account] += 1
        if octets[TC_OCTET] & TC_BIT:
            self._truncated += 1
        if cookie or verdict == SLIP or serving.query_sample:
            return DnsReply(octets)
        return DnsReply(octets, _scope(asked, answer), account, kind, len(opt))

    def repeated(self, account: Any, sent: int, cut: int, dropped: int, *, truncated: bool) -> None:
        """Count the repetitions of a reply: sent as it is, and over the rate limit cut or dropped."""
        if sent or cut:
            self._answered[account] += sent + cut
            self._truncated += cut + sent * truncated
        if dropped:
            self._limited[account] += dropped

    def observe(self, count: int, seconds: float) -> None:
        """Count a turn of `count` messages that took `seconds`."""
        self._counts.observe("dnsd_response_seconds", self._protocol, seconds=seconds, count=count)
        if len(self._answered) + len(self._limited) > MAX_TALLY:
            self.flush_tally()

    def not_sent(self, reply: bytes) -> None:
        """Count a reply that could not be sent."""
        self._counts.add("dnsd_send_errors_total", self._protocol)

    def flush_tally(self) -> None:
        """Turn the tally into metrics."""
        for (shape, apex, answer), number in self._answered.items():
            self._count_request(shape, apex, number)
            self._count_response(_answer_rcode(shape, answer), number)
            if answer.edge:
                self._counts.add("dnsd_edge_answers_total", answer.edge.step, answer.edge.map, by=number)
                if answer.edge.is_unadvertised:
                    self._counts.add("dnsd_unadvertised_answers_total", answer.edge.map, by=number)
        self._answered.clear()
        for (shape, apex, _), number in self._limited.items():
            self._count_request(shape, apex, number)
            self._count_dropped("rate_limited", number)
        self._limited.clear()
        if self._truncated:
            self._counts.add("dnsd_truncated_total", self._protocol, by=self._truncated)
            self._truncated = 0
        for verdict, number in self._cookies.items():
            self._counts.add("dnsd_cookies_total", COOKIE_STATES[verdict], by=number)
        self._cookies.clear()
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
        self._counts.add("dnsd_requests_total", self._protocol, self._family, MALFORMED)
        if refusal is None:
            self._count_dropped("too_short" if len(query) < HEADER_SIZE else "not_a_query", 1)
            return None
        limiter = self._serving.limiter
        # A truncated error response would be no shorter.
        if limiter and not self._is_stream and limiter.drops(peer, MALFORMED_KIND, time.monotonic()):
            self._count_dropped("rate_limited", 1)
            return None
        self._count_response(_rcode_text(refusal.rcode), 1)
        return refusal.reply

    def _cookie(self, cookie: bytes, peer: bytes) -> tuple[bytes, bool]:
        """The option for the reply, and whether the client has proved that it owns its address."""
        cookies = self._serving.cookies
        if cookies is None:
            return b"", False
        now_s = int(time.time())  # the clock shared with other servers: RFC 9018 §4.3
        verdict = cookies.verdict(cookie, peer, now_s)
        self._cookies[verdict] += 1
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
            rcode=_answer_rcode(shape, answer),
        )

    def _count_request(self, shape: Shape, apex: Apex | None, number: int) -> None:
        self._counts.add("dnsd_requests_total", self._protocol, self._family, _type_label(shape.qtype), by=number)
        self._counts.add("dnsd_zone_requests_total", _zone_label(apex.name) if apex else NO_ZONE, by=number)

    def _count_response(self, rcode: str, number: int) -> None:
        self._counts.add("dnsd_responses_total", self._protocol, rcode, by=number)

    def _count_dropped(self, reason: str, number: int) -> None:
        self._counts.add("dnsd_dropped_total", self._protocol, reason, by=number)


def _scope(asked: ParsedQuery, answer: Answer) -> Scope:
    """The queries for which a reply may be repeated.

    Those for other names of the same kind, unless the reply is too large to be the same for each length of a name. A
    missing name's reply is the same for others, unless it is made from the name.
    """
    shape, _, _, _, node, is_own = asked
    if not shape.plain:
        return Scope.ONCE
    if is_referral(answer):
        return Scope.STORED
    is_stored = shape.qtype in node.answers
    if not is_own:
        is_from_name = isinstance(node.rule, Alias | Redirection) and not is_stored and answer is not node.otherwise
        return Scope.SAME_QUESTION if is_from_name else Scope.SAME_ENCLOSER
    if isinstance(node.rule, Alias | Flattened) or len(answer.body) > ALWAYS_FITS:
        return Scope.SAME_QUESTION
    return Scope.STORED if is_stored and shape.qtype != ANY else Scope.SAME_KIND


def _kind(asked: ParsedQuery, answer: Answer) -> bytes | None:
    """The kind of a response for the rate limit, as in NSD and BIND.

    Positive answers count by name; wildcard answers, negative answers and referrals by zone, as random names must not
    each have their own rate; all errors count together. None stands for the name. All workers have the same kinds.
    """
    _, _, _, _, node, is_own = asked
    zone = node.apex.name if node.apex else b""
    if answer.rcode != NOERROR or not answer.answer:
        return _NOT_POSITIVE[answer.rcode] + zone
    return None if is_own else WILDCARD_KIND + zone


@lru_cache
def _type_label(qtype: int) -> str:
    """A type's mnemonic; one word for all unknown types, as clients choose the number."""
    return type_text(qtype) if is_known_type(qtype) else OTHER_TYPE


@lru_cache(maxsize=1_024)
def _zone_label(name: bytes) -> str:
    return name_text(name)


def _answer_rcode(shape: Shape, answer: Answer) -> str:
    return "BADVERS" if shape.version else _rcode_text(answer.rcode)


@lru_cache
def _rcode_text(rcode: int) -> str:
    return dns.rcode.to_text(dns.rcode.Rcode(rcode))
