"""dnslib's own server with a dict of names, as its ZoneResolver checks every record for each query.

python bench/dnslib_server.py PORT ZONE FILE
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from dnslib import QTYPE, RCODE, RR, DNSRecord  # type: ignore[import-untyped]
from dnslib.server import BaseResolver, DNSLogger, DNSServer  # type: ignore[import-untyped]


class DictResolver(BaseResolver):  # type: ignore[misc]
    """Answers from the records of one zone."""

    def __init__(self, zone: str, records: list[RR]) -> None:
        self.by_question: dict[tuple[str, int], list[RR]] = {}
        self.names = set()
        for record in records:
            name = str(record.rname).lower()
            self.names.add(name)
            self.by_question.setdefault((name, record.rtype), []).append(record)
        self.soa = self.by_question[f"{zone}.", QTYPE.SOA][0]

    def resolve(self, request: DNSRecord, handler: Any) -> DNSRecord:
        """Positive answers, no data and NXDOMAIN."""
        reply = request.reply()
        name = str(request.q.qname).lower()
        found = self.by_question.get((name, request.q.qtype))
        if found:
            reply.rr = found
            return reply
        reply.add_auth(self.soa)
        if name not in self.names:
            reply.header.rcode = RCODE.NXDOMAIN
        return reply


def main() -> None:
    """Serve forever."""
    port, zone, file = sys.argv[1:]
    text = Path(file).read_text()
    records = RR.fromZone(text, origin=f"{zone}.")
    silent = DNSLogger(log="-request,-reply,-truncated,-error,-recv,-send,-data")
    server = DNSServer(DictResolver(zone, records), address="127.0.0.1", port=int(port), logger=silent)
    server.start_thread()
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()
