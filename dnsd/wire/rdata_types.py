"""Our own classes for types of record data that dnspython lacks, or reads differently from other servers."""

from __future__ import annotations

from typing import Any, ClassVar

import dns.immutable
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.LOC
import dns.rdtypes.ANY.SMIMEA
import dns.rdtypes.ANY.TLSA
import dns.rdtypes.IN.HTTPS
import dns.rdtypes.IN.SVCB
import dns.tokenizer
import dns.wire

DEGREE = 3_600_000  # thousandths of a second of arc


@dns.immutable.immutable
class Names(dns.rdata.Rdata):
    """Data of one or more names (RFC 1035 §3.3)."""

    __slots__ = ["names"]
    COUNT: ClassVar[int] = 1

    def __init__(self, rdclass: Any, rdtype: Any, names: tuple[dns.name.Name, ...]) -> None:
        super().__init__(rdclass, rdtype)
        self.names = names

    def to_styled_text(self, style: dns.rdata.RdataStyle) -> str:
        """The names, separated by blanks."""
        return " ".join(name.to_styled_text(style) for name in self.names)

    @classmethod
    def from_text(
        cls, rdclass: Any, rdtype: Any, tok: Any, origin: Any = None, relativize: bool = True, relativize_to: Any = None
    ) -> Names:
        """Parse data from a master file. Raises DNSException."""
        return cls(rdclass, rdtype, tuple(tok.get_name(origin, relativize, relativize_to) for _ in range(cls.COUNT)))

    @classmethod
    def from_wire_parser(cls, rdclass: Any, rdtype: Any, parser: dns.wire.Parser, origin: Any = None) -> Names:
        """Parse data from wire form. Raises DNSException."""
        return cls(rdclass, rdtype, tuple(parser.get_name(origin, True) for _ in range(cls.COUNT)))

    def _to_wire(self, file: Any, compress: Any = None, origin: Any = None, canonicalize: bool = False) -> None:
        for name in self.names:
            name.to_wire(file, compress, origin, canonicalize)


class MB(Names):
    """A mailbox's host, RFC 1035 §3.3.3."""


class MG(Names):
    """A member of a mail group, RFC 1035 §3.3.6."""


class MINFO(Names):
    """The mailboxes responsible for a mailing list and for its error messages, RFC 1035 §3.3.7."""

    COUNT = 2


class MR(Names):
    """A mailbox's new name, RFC 1035 §3.3.8."""


class _Service:
    """Allows parameters in AliasMode, as clients ignore them (RFC 9460 §2.4.2)."""

    @classmethod
    def from_text(cls, rdclass: Any, rdtype: Any, tok: Any, *origins: Any, **more: Any) -> Any:
        """Parse data from a master file. Raises DNSException."""
        priority = tok.get_uint16()
        # dnspython reads parameters only with a priority other than 0.
        tok.unget(dns.tokenizer.Token(dns.tokenizer.IDENTIFIER, str(priority or 1)))
        return super().from_text(rdclass, rdtype, tok, *origins, **more).replace(priority=priority)  # type: ignore[misc]

    @classmethod
    def from_wire_parser(cls, rdclass: Any, rdtype: Any, parser: dns.wire.Parser, origin: Any = None) -> Any:
        """Parse data from wire form. Raises DNSException."""
        priority = parser.get_uint16()
        # Names in packed record data are not compressed, so it can be read from separate octets.
        rest = dns.wire.Parser((priority or 1).to_bytes(2) + parser.get_remaining())
        found = super().from_wire_parser(rdclass, rdtype, rest, origin)  # type: ignore[misc]
        return found.replace(priority=priority)


class HTTPS(_Service, dns.rdtypes.IN.HTTPS.HTTPS):
    """RFC 9460 §9."""


class SVCB(_Service, dns.rdtypes.IN.SVCB.SVCB):
    """RFC 9460 §2."""


class LOC(dns.rdtypes.ANY.LOC.LOC):
    """RFC 1876. Metres are rounded to whole centimetres: dnspython truncates 1.13 m (112.99999999999999 cm) to 112."""

    def __init__(self, rdclass: Any, rdtype: Any, latitude: Any, longitude: Any, *metres: float) -> None:
        super().__init__(rdclass, rdtype, latitude, longitude, *map(round, metres))  # type: ignore[no-untyped-call]
        for what, (degrees, minutes, seconds, thousandths, _), most in (
            ("latitude", self.latitude, 90),
            ("longitude", self.longitude, 180),
        ):
            if degrees * DEGREE + minutes * 60_000 + seconds * 1000 + thousandths > most * DEGREE:
                raise ValueError(f"a {what} of over {most} degrees (RFC 1876 §2)")


class TLSA(dns.rdtypes.ANY.TLSA.TLSA):
    """RFC 6698. A digest of the wrong length is allowed, as other servers load it."""

    _cert_length_by_mtype = {}  # noqa: RUF012


class SMIMEA(dns.rdtypes.ANY.SMIMEA.SMIMEA):
    """RFC 8162. A digest of the wrong length is allowed, as for TLSA."""

    _cert_length_by_mtype = {}  # noqa: RUF012


def register() -> None:
    """Make dnspython read these types with the classes of this module."""
    for new in (MB, MG, MINFO, MR):
        dns.rdata.register_type(new, dns.rdatatype.from_text(new.__name__), new.__name__)
    # Types for which dnspython has a class cannot be registered.
    for ours in (HTTPS, SVCB, LOC, TLSA, SMIMEA):
        dns.rdata._rdata_classes[dns.rdataclass.IN, dns.rdatatype.from_text(ours.__name__)] = ours
