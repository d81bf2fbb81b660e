# mypy: ignore-errors
# twisted has few types, and this file only runs where it is installed.
"""twisted.names with an authority of our own and its protocol.

python bench/twisted_server.py PORT ZONE FILE
"""

from __future__ import annotations

import sys
from pathlib import Path

import dns.rdatatype
import dns.zone
from twisted.internet import reactor
from twisted.names import dns as names
from twisted.names import server
from twisted.names.authority import FileAuthority


class Authority(FileAuthority):
    """The records of a master file; twisted's own reader is slow and knows few types."""

    def loadFile(self, filename: str) -> None:  # noqa: N802
        """Called by FileAuthority."""
        zone = dns.zone.from_text(Path(filename).read_text(), origin=ZONE, relativize=False)
        self.soa = (ZONE.encode(), None)
        self.records: dict[bytes, list[object]] = {}
        for name, ttl, rdata in zone.iterate_rdatas():
            kind = getattr(self, f"make_{dns.rdatatype.to_text(rdata.rdtype)}", None)
            if kind:
                key = name.to_text(omit_final_dot=True).lower().encode()
                self.records.setdefault(key, []).append(kind(rdata, ttl))
        soa = next(record for record in self.records[ZONE.encode()] if record.TYPE == names.SOA)
        self.soa = (ZONE.encode(), soa)

    def make_A(self, rdata: object, ttl: int) -> object:  # noqa: N802
        return names.Record_A(rdata.address, ttl)

    def make_AAAA(self, rdata: object, ttl: int) -> object:  # noqa: N802
        return names.Record_AAAA(rdata.address, ttl)

    def make_NS(self, rdata: object, ttl: int) -> object:  # noqa: N802
        return names.Record_NS(str(rdata.target), ttl)

    def make_SOA(self, rdata: object, ttl: int) -> object:  # noqa: N802
        fields = ("serial", "refresh", "retry", "expire", "minimum")
        return names.Record_SOA(str(rdata.mname), str(rdata.rname), *(getattr(rdata, one) for one in fields), ttl)


PORT, ZONE, FILE = sys.argv[1:]
factory = server.DNSServerFactory(authorities=[Authority(FILE)])
factory.noisy = False
protocol = names.DNSDatagramProtocol(factory)
reactor.listenUDP(int(PORT), protocol, interface="127.0.0.1")
reactor.run()
