"""The questions of the last ten minutes, from the workers' samples: shares of names and zones, and the top names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass

from dnsd.questions import Question, QuestionSample
from dnsd.wire.names import name_text
from dnsd.wire.rdata import type_text

AskedOwners = Mapping[tuple[bytes, bytes, int], float]  # zone, owner name of the answer or b"", type -> weight


@dataclass(frozen=True, slots=True)
class TopQuestion:
    """A question, and its share of all questions asked."""

    name: str
    type: str
    share: float  # from 0 to 1


class RecentQuestions:
    """Shares of recent questions. `zones` limits all questions to those of the zones with these apexes.

    Without `zones`, questions outside of our zones do not count.
    """

    def __init__(self, sample: QuestionSample) -> None:
        self._sample = sample

    def share_of(self, owners: Container[bytes], *, zones: Container[bytes] | None = None) -> float | None:
        """The share of questions answered from these owner names, wildcards included; None without questions."""
        asked = matching = 0.0
        for one in self._questions(zones):
            asked += one.weight
            if one.owner in owners:
                matching += one.weight
        return matching / asked if asked else None

    def of(self, zones: Container[bytes]) -> list[Question]:
        """The questions for the zones with these apexes."""
        return [*self._questions(zones)]

    def asked(self, *, zones: Container[bytes] | None = None) -> AskedOwners:
        """The questions without their names, as the owner names decide the answers."""
        weights: defaultdict[tuple[bytes, bytes, int], float] = defaultdict(float)
        for one in self._questions(zones):
            weights[one.zone, one.owner, one.qtype] += one.weight
        return weights

    def top(self, limit: int, *, zones: Container[bytes] | None = None) -> list[TopQuestion]:
        """The most frequent questions, in descending order."""
        weights: defaultdict[tuple[bytes, int], float] = defaultdict(float)
        for one in self._questions(zones):
            weights[one.qname, one.qtype] += one.weight
        total = sum(weights.values())
        largest = sorted(weights.items(), key=lambda pair: (-pair[1], pair[0]))[:limit]
        return [TopQuestion(name_text(qname), type_text(qtype), weight / total) for (qname, qtype), weight in largest]

    def _questions(self, zones: Container[bytes] | None) -> Iterator[Question]:
        return (one for one in self._sample if one.zone and (zones is None or one.zone in zones))
