"""A reply as text for users."""

from __future__ import annotations

from typing import Any

import dns.message
import dns.rcode


def reply_data(reply: bytes) -> dict[str, Any]:
    """The rcode of a reply and the lines of its sections."""
    message = dns.message.from_wire(reply)
    sections = {"answer": message.answer, "authority": message.authority, "additional": message.additional}
    lines = {name: "\n".join(map(str, rrsets)).splitlines() for name, rrsets in sections.items()}
    return {"rcode": dns.rcode.to_text(message.rcode()), **lines}
