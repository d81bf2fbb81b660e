"""Names that a change moves, in groups with the same endings."""

from __future__ import annotations

from dataclasses import dataclass, field

from dnsd.compile.endings import Ending, EndKind
from dnsd.compile.moves import Fate


@dataclass(slots=True)
class Moved:
    """Names of one zone with the same endings before and after a change."""

    zone_id: str
    old: Ending
    new: Ending
    names_total: int = 0
    is_mixed: bool = False  # these are the endings of the first name; the other names have similar ones
    names: list[bytes] = field(default_factory=list)  # a sample; `*.d` stands for all names below a DNAME at d

    @property
    def fate(self) -> Fate | None:
        """What happens to these names; None if they did not end at the edge before."""
        if self.old.kind is not EndKind.EDGE:
            return None
        if self.new.kind is not EndKind.EDGE:
            return Fate.OPENED if self.new.kind is EndKind.STORED else Fate.GONE
        return Fate.POOLED if _is_pool(self.new) and not _is_pool(self.old) else Fate.READDRESSED

    @property
    def ttl_s(self) -> int:
        """The highest TTL of the RRsets that are answered no longer (caches keep each by itself: RFC 2181 §5.2)."""
        return max((rrset.ttl for rrset in self.old.rrsets - self.new.rrsets), default=0)


def _is_pool(found: Ending) -> bool:
    sources = [source for source in (found.v4_source, found.v6_source) if source]
    return bool(sources) and not any(source.map for source in sources)
