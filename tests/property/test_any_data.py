"""Random record data of every type: accepted data can be parsed, printed, shown and parsed again."""

from __future__ import annotations

import random

import pytest

from dnsd.api.records.data import shown_data
from dnsd.wire import rdata
from dnsd.wire.rdata import PROVEN, canonical_rdata, pack_rdata, parse_rdata_text, parse_type_text, rdata_text
from tests.unit.wire.test_rdata import SAMPLES

TRIES = 240  # of each type, half of them text, half octets
ACCEPTED = 12  # of each type, at least, for the test to be meaningful

NUMBERS = ["0", "1", "-1", "9", "59", "60", "89", "90", "91", "179", "180", "181", "255", "256", "65535", "65536"]
NUMBERS += ["4294967295", "4294967296", "0.5", "0.001", "0.57m", "1e3", "1e400m", "nan", "inf", "00", "90000000m"]
NUMBERS += ["99999999.99m", "42849672.95m", "N", "S", "E", "W", "20260101000000", "99991231235959", "0xffff"]
WORDS = [
    '""',
    r'"\000"',
    '"a b"',
    ".",
    "a.",
    r"\255.",
    "@",
    "!1:0.0.0.0/0",
    "1:192.0.2.0/33",
    "2:::/0",
    "3:x/1",
    "-",
    "A",
]
WORDS += [
    "AA==",
    "abcd",
    "ABCD",
    "alpn=h2",
    "alpn=",
    "key1=a",
    "key65535=a",
    "mandatory=port",
    "no-default-alpn",
    "port=0",
]
WORDS += [
    "ipv4hint=192.0.2.1",
    "dohpath=/{?dns}",
    "ech=AAAA",
    "ohttp",
    "PKIX",
    "RSASHA256",
    "TYPE0",
    "TYPE65535",
    "ANY",
    "OPT",
]
WORDS += ["00-00", "ffff:ffff:ffff:ffff", "é", "x" * 300, f'"{"y" * 255}"', r"\#", "k" * 63 + ".", "PRIVATEOID"]
CHARACTERS = '0123456789abcdefN"\\.-:/=+,é\x00\x7f'


def changed_text(text: str, rng: random.Random) -> str:
    """A valid text with a few words or characters changed."""
    words = text.split()
    for _ in range(rng.randrange(1, 4)):
        index = rng.randrange(len(words) + 1)
        new = rng.choice(rng.choice((NUMBERS, WORDS)))
        change = rng.randrange(4)
        if change == 0:
            words.insert(index, new)
        elif index == len(words):
            continue
        elif change == 1:
            words[index] = new
        elif change == 2:
            del words[index]
        else:
            at = rng.randrange(len(words[index]) + 1)
            words[index] = words[index][:at] + rng.choice(CHARACTERS) + words[index][at + 1 :]
    return " ".join(words)


def changed_octets(wire: bytes, rng: random.Random) -> bytes:
    """Valid octets with some changed, or random octets."""
    if rng.randrange(4) == 0:
        return rng.randbytes(rng.choice((0, 1, 2, 3, 4, 5, 8, 16, 20, 40, 300)))
    octets = bytearray(wire)
    for _ in range(rng.randrange(1, 4)):
        change = rng.random()
        if octets and change < 0.6:
            octets[rng.randrange(len(octets))] = rng.choice((0, 1, 2, 255, 0x3F, 0x40, 0xC0, rng.randrange(256)))
        elif change < 0.8:
            del octets[rng.randrange(len(octets) + 1) :]
        else:
            octets += rng.randbytes(rng.randrange(1, 5))
    return bytes(octets)


def taken(rtype: int, text: str) -> bytes | None:
    """The data that a text is parsed to; None if refused."""
    try:
        return pack_rdata(parse_rdata_text(rtype, text))
    except ValueError:
        return None


@pytest.mark.parametrize(("rtype_text", "sample"), SAMPLES.items(), ids=SAMPLES.keys())
def test_accepted_data_can_be_read_again(rtype_text: str, sample: str) -> None:
    rng = random.Random(rtype_text)
    rtype = parse_type_text(rtype_text)
    valid = pack_rdata(parse_rdata_text(rtype, sample))
    accepted = 0
    for _ in range(TRIES // 2):
        octets = changed_octets(valid, rng)
        for text in (changed_text(sample, rng), rf"\# {len(octets)} {octets.hex()}"):
            wire = taken(rtype, text)
            if wire is None:
                continue
            accepted += 1
            assert taken(rtype, rdata_text(rtype, wire)) == wire, text
            assert len(canonical_rdata(rtype, wire)) == len(wire), text
            assert shown_data(rtype, wire).content is not None
    assert accepted >= ACCEPTED


@pytest.mark.parametrize("rtype", PROVEN)
def test_data_exempt_from_a_second_read_could_be_read(rtype: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Types exempt from the second parse would pass it."""
    rng = random.Random(rtype)
    sample = SAMPLES[rdata.type_text(rtype)]
    valid = pack_rdata(parse_rdata_text(rtype, sample))
    texts = [changed_text(sample, rng) for _ in range(TRIES)]
    texts += [rf"\# {len(octets)} {octets.hex()}" for octets in (changed_octets(valid, rng) for _ in range(TRIES))]
    before = [taken(rtype, text) for text in texts]
    monkeypatch.setattr(rdata, "PROVEN", {})
    assert [taken(rtype, text) for text in texts] == before
