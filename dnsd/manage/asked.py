"""What is known about recent questions, for plans."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from dnsd.questions import Question


class Questions(Protocol):
    """A sample of recent questions."""

    def share_of(self, owners: Container[bytes], *, zones: Container[bytes] | None = None) -> float | None:
        """The share of questions answered from these owner names, of all for the zones with these apexes.

        None without such questions.
        """

    def of(self, zones: Container[bytes]) -> Iterable[Question]:
        """The questions for the zones with these apexes."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is known about recent questions."""

    sample: Questions | None = None
    by_zone: Mapping[str, float] = field(default_factory=dict)  # questions of each zone, by its name
    silent: tuple[str, ...] = ()  # names of workers that have not sent their last questions
