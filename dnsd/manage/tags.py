"""Tags of data: digests, to tell whether it is still what a person or a client has seen."""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import Any

TAG_OCTETS = 12


def tag_of(data: Any) -> str:
    """The tag of plain data: the same for the same data."""
    return blake2b(json.dumps(data).encode(), digest_size=TAG_OCTETS).hexdigest()
