"""The reply to a message, given its sender's address: `find`, cookies, rate limits, `pack`; and counters.

Counting costs one dictionary update per message; the tally is turned into metrics once a second, or when it is large.
"""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import dns.rcode

from dnsd.engine.answer import Answer
from dnsd.engine.node import Alias, Apex, Redirection
from dnsd.engine.refuse import refuse
from dnsd.engine.respond import Found, find, pack
from dnsd.engine.shape import Shape
from dnsd.engine.snapshot import Snapshot
from dnsd.log import Log
from dnsd.metrics import NO_ZONE, Counts
from dnsd.net.limits import DROP, PASS, RateLimiter
from dnsd.net.picks import Picks
from dnsd.net.udp import Learned
from dnsd.wire.addresses import packed_ip
from dnsd.wire.cookies import Cookies, Verdict
from dnsd.wire.message import HEADER_SIZE, NOERROR
from dnsd.wire.names import name_text
from dnsd.wire.rdata import is_known_type, type_text

TC_OCTET, TC_BIT = 2, 0x02  # the TC bit's position in a message
MAX_TALLY = 256  # entries before the tally is turned into metrics; clients choose how many there are
MALFORMED, OTHER_TYPE = "malformed", "other"
COOKIE_STATES = {Verdict.NEW: "new", Verdict.VALID: "valid", Verdict.INVALID: "invalid"}

Tally = dict[tuple[Shape, Apex | None, Answer], int]


@dataclass(slots=True)
class Serving:
    """A worker's snapshot and settings for answering; each is replaced by one assignment."""

    snapshot: Snapshot
    cookies: Cookies | None
    limiter: RateLimiter | None
    log_only: bool  # count and log responses over the limit, but send them
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
        self._rate_actions: Counter[str] = Counter()
        self._last_limited = ""  # the last client over the limit

    def respond(self, query: bytes, peer: str) -> bytes | None:
        """The reply to a message from `peer`, an IP address; None for no reply. Never raises."""
        self.picks.note(query)
        return self.learn(query, peer)[0]

    def learn(self, query: bytes, peer: str) -> Learned:
        """The reply; and, if it may be repeated to other clients, its keys for counting and for the rate limit.

        A reply for a nonexistent name may be repeated for other nonexistent names below the closest encloser, unless it
        is made from the name.
        """
        serving = self._serving
        found = find(serving.snapshot, query)
        if found is None:
            return self._refuse(query, peer), None, None
        shape, node, answer, _, _, cookie = found
        option, is_verified = b"", False
        if cookie and serving.cookies:
            option, is_verified = self._cookie(serving.cookies, cookie, peer)
        if serving.query_sample and random.random() < serving.query_sample:
            self._log_query(found, peer)
        verdict, kind = PASS, None
        if serving.limiter and not self._is_stream:
            kind = _kind_of_response(serving.snapshot, found)
            if not is_verified and serving.limiter.limits(peer):
                verdict = self._rate_verdict(peer, kind)
        key = (shape, node.apex, answer)
        if verdict == DROP:
            self._limited[key] += 1
            return None, None, None
        self._answered[key] += 1
        reply = pack(serving.snapshot, query, found, stream=self._is_stream, option=option, empty=verdict != PASS)
        if reply[TC_OCTET] & TC_BIT:
            self._truncated += 1
        if cookie or verdict != PASS or serving.query_sample or not _may_be_repeated(serving.snapshot, found):
            return reply, None, None
        return reply, key, kind

    def limits(self, ip: bytes) -> bool:
        """Whether responses to a packed address are rate limited; depends on the settings alone."""
        limiter = self._serving.limiter
        return limiter is not None and limiter.limits_ip(ip)

    def passes(self, ip: bytes, kind: Hashable) -> bool:
        """Whether the rate limit lets a repeated response of this kind pass to a packed address."""
        limiter = self._serving.limiter
        return limiter is None or limiter.passes(ip, kind, time.monotonic())

    def sent_again(self, account: Any, count: int, *, truncated: bool) -> None:
        """Count a remembered reply as sent `count` more times."""
        self._answered[account] += count
        if truncated:
            self._truncated += count

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
        self._flush_rate_actions()

    def _flush_rate_actions(self) -> None:
        if not self._rate_actions:
            return
        for action, number in self._rate_actions.items():
            self._counts.add("dnsd_rate_limited_total", action, by=number)
        actions = ", ".join(f"{number} {action}" for action, number in sorted(self._rate_actions.items()))
        self._log.warning(f"rate limit: responses {actions}; the last to {self._last_limited}")
        self._rate_actions.clear()

    def _refuse(self, query: bytes, peer: str) -> bytes | None:
        refusal = refuse(query)
        self._counts.add("dnsd_requests_total", self._protocol, self._family, MALFORMED)
        if refusal is None:
            self._count_dropped("too_short" if len(query) < HEADER_SIZE else "not_a_query", 1)
            return None
        if self._is_over_rate(peer):
            self._count_dropped("rate_limited", 1)
            return None
        self._count_response(_rcode_text(refusal.rcode), 1)
        return refusal.reply

    def _is_over_rate(self, peer: str) -> bool:
        """Whether an error response is over the limit; these never slip, as a truncated one would be no shorter."""
        limiter = self._serving.limiter
        if limiter is None or self._is_stream or not limiter.limits(peer):
            return False
        return self._applied_verdict(limiter.verdict(peer, MALFORMED, time.monotonic()) and DROP, peer) != PASS

    def _cookie(self, cookies: Cookies, cookie: bytes, peer: str) -> tuple[bytes, bool]:
        """The option for the reply, and whether the client has proved that it owns its address."""
        client, now_s = packed_ip(peer), int(time.time())  # the clock shared with other servers: RFC 9018 §4.3
        verdict = cookies.verdict(cookie, client, now_s)
        self._cookies[verdict] += 1
        return cookies.option(cookie, client, now_s), verdict is Verdict.VALID

    def _rate_verdict(self, peer: str, kind: Hashable) -> int:
        limiter = self._serving.limiter
        assert limiter is not None
        return self._applied_verdict(limiter.verdict(peer, kind, time.monotonic()), peer)

    def _applied_verdict(self, verdict: int, peer: str) -> int:
        """Count a verdict and return the one to apply: PASS if limits are only logged."""
        if verdict == PASS:
            return PASS
        self._last_limited = peer
        if self._serving.log_only:
            self._rate_actions["logged"] += 1
            return PASS
        self._rate_actions["dropped" if verdict == DROP else "slipped"] += 1
        return verdict

    def _log_query(self, found: Found, peer: str) -> None:
        shape, _, answer, qname, _, _ = found
        self._log.info(
            "query",
            client=peer,
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


def _may_be_repeated(snapshot: Snapshot, found: Found) -> bool:
    """Whether a reply may be repeated: for the same question, or for other nonexistent names below its encloser."""
    shape, node, answer, qname, _, _ = found
    if not shape.plain:
        return False
    is_from_name = isinstance(node.rule, Alias | Redirection) and answer is not node.otherwise
    return not is_from_name or shape.qtype in node.answers or qname in snapshot.names


def _kind_of_response(snapshot: Snapshot, found: Found) -> Hashable:
    """The kind of a response for the rate limit, as in NSD and BIND.

    Positive answers count by name; wildcard answers, negative answers and referrals by zone, as random names must not
    each have their own rate; all errors count together. Plain data: every worker must hash it to the same number.
    """
    _, node, answer, qname, _, _ = found
    apex = node.apex
    if answer.rcode != NOERROR or not answer.answer:
        return answer.rcode, apex.name if apex else b""
    if qname in snapshot.names:
        return qname
    return "*", apex.name if apex else b""


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
