"""The last step of the way of a message: it is counted, with one update of a dictionary.

The tally is turned into metrics once a second, or when it is large, as clients choose how many entries there are.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import lru_cache
from typing import Any

import dns.rcode

from dnsd.engine.answer import Answer
from dnsd.engine.node import Apex
from dnsd.engine.shape import Shape
from dnsd.metrics import NO_ZONE, Counts
from dnsd.wire.cookies import Verdict
from dnsd.wire.names import name_text
from dnsd.wire.rdata import is_known_type, type_text

MAX_TALLY = 256  # entries before the tally is turned into metrics
MALFORMED, OTHER_TYPE = "malformed", "other"
COOKIE_STATES = {Verdict.NEW: "new", Verdict.VALID: "valid", Verdict.INVALID: "invalid"}

Counted = dict[tuple[Shape, Apex | None, Answer], int]


class Tally:
    """What one transport and address family has answered since the last metrics."""

    def __init__(self, counts: Counts, protocol: str, family: str) -> None:
        self.answered: Counted = defaultdict(int)
        self.limited: Counted = defaultdict(int)  # not answered, as the client is over its rate
        self.truncated = 0
        self.cookies: Counter[Verdict] = Counter()
        self._counts = counts
        self._protocol = protocol
        self._family = family

    @property
    def is_large(self) -> bool:
        """Whether it should become metrics now."""
        return len(self.answered) + len(self.limited) > MAX_TALLY

    def repeated(self, account: Any, sent: int, cut: int, dropped: int, *, truncated: bool) -> None:
        """Count the repetitions of a reply: sent as it is, and over the rate limit cut or dropped."""
        if sent or cut:
            self.answered[account] += sent + cut
            self.truncated += cut + sent * truncated
        if dropped:
            self.limited[account] += dropped

    def observe(self, count: int, seconds: float) -> None:
        """Count a turn of `count` messages that took `seconds`."""
        self._counts.observe("dnsd_response_seconds", self._protocol, seconds=seconds, count=count)

    def malformed(self) -> None:
        """Count a message that is no query."""
        self._counts.add("dnsd_requests_total", self._protocol, self._family, MALFORMED)

    def dropped(self, reason: str, number: int = 1) -> None:
        """Count messages that get no reply."""
        self._counts.add("dnsd_dropped_total", self._protocol, reason, by=number)

    def response(self, rcode: str, number: int = 1) -> None:
        """Count replies."""
        self._counts.add("dnsd_responses_total", self._protocol, rcode, by=number)

    def not_sent(self) -> None:
        """Count a reply that could not be sent."""
        self._counts.add("dnsd_send_errors_total", self._protocol)

    def flush(self) -> None:
        """Turn the tally into metrics."""
        for (shape, apex, answer), number in self.answered.items():
            self._request(shape, apex, number)
            self.response(answer_rcode(shape, answer), number)
            if answer.edge:
                self._counts.add("dnsd_edge_answers_total", answer.edge.step, answer.edge.map, by=number)
                if answer.edge.is_unadvertised:
                    self._counts.add("dnsd_unadvertised_answers_total", answer.edge.map, by=number)
        self.answered.clear()
        for (shape, apex, _), number in self.limited.items():
            self._request(shape, apex, number)
            self.dropped("rate_limited", number)
        self.limited.clear()
        if self.truncated:
            self._counts.add("dnsd_truncated_total", self._protocol, by=self.truncated)
            self.truncated = 0
        for verdict, number in self.cookies.items():
            self._counts.add("dnsd_cookies_total", COOKIE_STATES[verdict], by=number)
        self.cookies.clear()

    def _request(self, shape: Shape, apex: Apex | None, number: int) -> None:
        self._counts.add("dnsd_requests_total", self._protocol, self._family, _type_label(shape.qtype), by=number)
        self._counts.add("dnsd_zone_requests_total", _zone_label(apex.name) if apex else NO_ZONE, by=number)


def answer_rcode(shape: Shape, answer: Answer) -> str:
    """The response code of a reply with this answer, as text."""
    return "BADVERS" if shape.version else rcode_text(answer.rcode)


@lru_cache
def rcode_text(rcode: int) -> str:
    """A response code's mnemonic."""
    return dns.rcode.to_text(dns.rcode.Rcode(rcode))


@lru_cache
def _type_label(qtype: int) -> str:
    """A type's mnemonic; one word for all unknown types, as clients choose the number."""
    return type_text(qtype) if is_known_type(qtype) else OTHER_TYPE


@lru_cache(maxsize=1_024)
def _zone_label(name: bytes) -> str:
    return name_text(name)
