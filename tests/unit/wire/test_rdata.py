"""Record data of every type: read, packed and printed, known to dnspython or not."""

from __future__ import annotations

import pkgutil

import dns.message
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY
import dns.rdtypes.IN
import pytest

from dnsd.wire.names import name_end
from dnsd.wire.rdata import COMPRESSIBLE, canonical_rdata, pack_rdata, parse_rdata_text, parse_type_text, type_text

SIGNATURE = "8 2 3600 20260101000000 20250101000000 12345 example.com. aGFsbG8="
KEY_DATA = "257 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ=="
DIGEST = "60485 13 2 " + "ab" * 32

SAMPLES = {
    "A": "192.0.2.1",
    "AAAA": "2001:db8::1",
    "AFSDB": "1 afs.example.com.",
    "AMTRELAY": "10 0 2 2001:db8::1",
    "APL": "1:192.0.2.0/24 !2:2001:db8::/32",
    "AVC": '"app-name:x|app-class:y"',
    "BRID": "aGFsbG8=",
    "CAA": '0 issue "ca.example.net; policy=ev"',
    "CDNSKEY": KEY_DATA,
    "CDS": DIGEST,
    "CERT": "PKIX 65535 RSASHA256 aGFsbG8=",
    "CNAME": "Target.example.com.",
    "CSYNC": "12345 3 A NS AAAA",
    "DHCID": "AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA=",
    "DLV": DIGEST,
    "DNAME": "example.org.",
    "DNSKEY": KEY_DATA,
    "DS": DIGEST,
    "DSYNC": "CDS NOTIFY 5300 sync.example.net.",
    "EUI48": "00-00-5e-00-53-2a",
    "EUI64": "00-00-5e-ef-10-00-00-2a",
    "GPOS": "-32.6882 116.8652 10.0",
    "HHIT": "aGFsbG8=",
    "HINFO": '"RFC8482" ""',
    "HIP": "2 200100107B1A74DF365639CC39F1D578 AwEAAbdx rvs.example.com.",
    "HTTPS": '1 . alpn="h3,h2" ipv4hint=192.0.2.1 ipv6hint=2001:db8::1',
    "IPSECKEY": "10 1 2 192.0.2.38 AQNRU3mG7TVTO2BkR47usntb102uFJtugbo6BSGvgqt4AQ==",
    "ISDN": '"150862028003217" "004"',
    "KEY": "512 3 8 aGFsbG8=",
    "KX": "1 kx.example.com.",
    "L32": "10 10.1.2.0",
    "L64": "10 2001:0db8:1140:1000",
    "LOC": "51 30 12.748 N 0 7 39.612 W 0.00m 0.00m 0.00m 0.00m",
    "LP": "10 l64.example.com.",
    "MB": "host.example.com.",
    "MG": "member.example.com.",
    "MINFO": "owner.example.com. errors.example.com.",
    "MR": "new.example.com.",
    "MX": "10 Mail.example.com.",
    "NAPTR": '100 50 "s" "http+I2L+I2C+I2R" "" _http._tcp.example.com.',
    "NID": "10 0014:4fff:ff20:ee64",
    "NINFO": '"status"',
    "NS": "Ns1.example.net.",
    "NSAP": "0x47.0005.80.005a00.0000.0001.e133.ffffff000161.00",
    "NSAP-PTR": "foo.example.com.",
    "NSEC": "b.example.com. A RRSIG NSEC TYPE65534",
    "NSEC3": "1 1 12 aabbccdd 2vptu5timamqttgl4luu9kg21e0aor3s A RRSIG",
    "NSEC3PARAM": "1 0 12 aabbccdd",
    "OPENPGPKEY": "aGFsbG8=",
    "PTR": "www.example.com.",
    "PX": "10 map822.example.com. mapx400.example.com.",
    "RESINFO": '"qnamemin" "exterr=15,17"',
    "RP": "mbox.example.com. txt.example.com.",
    "RRSIG": "A " + SIGNATURE,
    "RT": "10 relay.example.com.",
    "SIG": "A " + SIGNATURE,
    "SMIMEA": "3 1 1 " + "ab" * 32,
    "SOA": "ns1.example.net. hostmaster.example.com. 2026010101 7200 3600 1209600 300",
    "SPF": '"v=spf1 -all"',
    "SRV": "10 5 5060 sip.example.com.",
    "SSHFP": "4 2 " + "ab" * 32,
    "SVCB": "16 svc.example.com. mandatory=alpn alpn=h2 port=8443 key65333=ex",
    "TLSA": "3 1 1 " + "ab" * 32,
    "TXT": '"one \\"quoted\\" \\000\\255" "" "two"',
    "URI": '10 1 "https://example.com/path"',
    "WALLET": '"token" "address"',
    "WKS": "192.0.2.1 6 25 80",
    "X25": '"311061700956"',
    "ZONEMD": "2018031900 1 1 " + "ab" * 48,
    # Not known to dnspython as such: RFC 3597.
    "TYPE65534": r"\# 5 0102c00c00",
    "TYPE31": r"\# 2 ffff",
    "TYPE65280": r"\# 0",
}
META_TYPES = {"OPT", "TKEY", "TSIG"}  # never data


def modules() -> set[str]:
    found = {
        module.name
        for package in (dns.rdtypes.ANY, dns.rdtypes.IN)
        for module in pkgutil.iter_modules(package.__path__)
    }
    return {name.replace("_", "-") for name in found}


def test_every_type_has_a_sample() -> None:
    assert modules() - META_TYPES <= SAMPLES.keys()


@pytest.mark.parametrize(("rtype", "text"), SAMPLES.items(), ids=SAMPLES.keys())
def test_packs_and_prints_back(rtype: str, text: str) -> None:
    number = parse_type_text(rtype)
    wire = pack_rdata(parse_rdata_text(number, text))
    printed = parse_rdata_text(number, text).to_text()
    assert pack_rdata(parse_rdata_text(number, printed)) == wire
    assert canonical_rdata(number, wire).lower() == wire.lower()


@pytest.mark.parametrize(("rtype", "text"), SAMPLES.items(), ids=SAMPLES.keys())
def test_generic_notation(rtype: str, text: str) -> None:
    """RFC 3597 §5: any type may be written as octets."""
    number = parse_type_text(rtype)
    wire = pack_rdata(parse_rdata_text(number, text))
    assert pack_rdata(parse_rdata_text(number, rf"\# {len(wire)} {wire.hex()}")) == wire


def test_types_by_number() -> None:
    assert parse_type_text("TYPE1") == parse_type_text("a") == 1
    assert parse_type_text("TYPE65534") == 65_534
    assert (type_text(65_534), type_text(65)) == ("TYPE65534", "HTTPS")


@pytest.mark.parametrize("text", ["AAB", "TYPE", "TYPE65536", "TYPE-1", "", "A B"])
def test_no_such_type(text: str) -> None:
    with pytest.raises(ValueError, match="is not a record type"):
        parse_type_text(text)


WRONG = {
    "an address out of range": ("A", "192.0.2.256", "not valid A data"),
    "trailing text": ("A", "192.0.2.1 192.0.2.2", "unexpected text at the end: .192.0.2.2"),
    "an unclosed quote": ("TXT", '"abc', "it ends too early"),
    "a missing part": ("MX", "10", "a part of it is missing"),
    "generic data of another length": ("TYPE65534", r"\# 3 0102", "wrong length"),
    "generic data that is not of the type": ("A", r"\# 3 010203", "not valid A data"),
    "invalid hexadecimal digits": ("TLSA", "3 1 1 xyz", "not valid TLSA data"),
    "a string over 255 octets": ("TXT", '"' + "a" * 256 + '"', "not valid TXT data"),
    "a label over 63 octets": ("CNAME", "a" * 64 + ".example.com.", "not valid CNAME data"),
    "a number out of range": ("MX", "65536 mail.example.com.", "not valid MX data"),
}


@pytest.mark.parametrize(("rtype", "text", "reason"), WRONG.values(), ids=WRONG.keys())
def test_wrong_data(rtype: str, text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_rdata_text(parse_type_text(rtype), text)


def test_too_long() -> None:
    strings = " ".join(['"' + "a" * 255 + '"'] * 256)
    with pytest.raises(ValueError, match="the limit is 65,535"):
        pack_rdata(parse_rdata_text(parse_type_text("TXT"), strings))


def test_names_are_at_the_places_in_the_table_of_compressible_types() -> None:
    for number, (before, names) in COMPRESSIBLE.items():
        wire = pack_rdata(parse_rdata_text(number, SAMPLES[type_text(number)]))
        position = before
        for _ in range(names):
            position = name_end(wire, position)
        assert len(wire) - position == (20 if type_text(number) == "SOA" else 0)


def test_only_types_of_rfc_1035_are_compressed() -> None:
    """RFC 3597 §4."""
    known = {"NS", "CNAME", "SOA", "PTR", "MX", "MB", "MG", "MR", "MINFO"}
    assert {type_text(number) for number in COMPRESSIBLE} == known
