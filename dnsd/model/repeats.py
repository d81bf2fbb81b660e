"""Records of a zone that repeat others."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dnsd.compiled import require
from dnsd.wire.rdata import canonical_rdata

if TYPE_CHECKING:
    from dnsd.model.columns import Records

try:
    require("dnsd.model._columns")
    from dnsd.model._columns import like
except ImportError:  # no compiler was found
    from dnsd.model.plain_columns import like


def find_repeats(records: Records, key: bytes) -> Iterator[tuple[int, int]]:
    """Each record that repeats an earlier one, with any TTL, and the first (RFC 2181 §5); `key` is for a hash."""
    if not records.grouped:
        return
    # Records that repeat each other differ in the case of letters at most. Few zones have two like that.
    owners, rdatas = records.owners, records.rdatas
    columns = owners.octets, owners.ends, rdatas.octets, rdatas.ends
    suspects = array("I", like(*columns, records.grouped, key))
    if not suspects:
        return
    first: dict[tuple[bytes, int, bytes], int] = {}
    for index in records.of_names({owners[index] for index in suspects}):
        rtype = records.rtype(index)
        one = owners[index], rtype, canonical_rdata(rtype, rdatas[index])
        if first.setdefault(one, index) != index:
            yield index, first[one]
