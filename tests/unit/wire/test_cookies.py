"""Cookies: found in a query, made by RFC 9018, and valid for an hour from one address."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsd.wire.cookies import Cookies, Verdict, split_cookie
from dnsd.wire.message import COOKIE_SIZES

SECRET, OTHER_SECRET = bytes.fromhex("e5e973e5a6b2a43f48e7dc849e37bfcf"), bytes(range(16))
OLD_SECRET = bytes.fromhex("dd3bdf9344b678b185a6f5cb60fca715")
NEW_SECRET = bytes.fromhex("445536bcd2513298075a5d379663c962")
CLIENT = ipaddress.ip_address("198.51.100.100").packed
NOW_S = 1559731985
COOKIES = Cookies((SECRET,))

# RFC 9018 appendix A: secrets, address, time, cookie received, verdict, cookie sent back.
VECTORS = {
    "A.1 a new cookie": (
        (SECRET,),
        "198.51.100.100",
        1559731985,
        "2464c4abcf10c957",
        Verdict.NEW,
        "2464c4abcf10c957010000005cf79f111f8130c3eee29480",
    ),
    "A.2 renewed after 40 minutes": (
        (SECRET,),
        "198.51.100.100",
        1559734385,
        "2464c4abcf10c957010000005cf79f111f8130c3eee29480",
        Verdict.VALID,
        "2464c4abcf10c957010000005cf7a871d4a564a1442aca77",
    ),
    "A.3 another client, too late": (
        (SECRET,),
        "203.0.113.203",
        1559734700,
        "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5",
        Verdict.INVALID,
        "fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e",
    ),
    "A.4 IPv6, the secret rolled over": (
        (NEW_SECRET, OLD_SECRET),
        "2001:db8:220:1:59de:d0f4:8769:82b8",
        1559741961,
        "22681ab97d52c298010000005cf7c57926556bd0934c72f8",
        Verdict.VALID,
        "22681ab97d52c298010000005cf7c609a6bb79d16625507a",
    ),
}


@pytest.mark.parametrize(("secrets", "ip", "now_s", "sent", "verdict", "back"), VECTORS.values(), ids=VECTORS.keys())
def test_vectors_of_the_rfc(
    secrets: tuple[bytes, ...], ip: str, now_s: int, sent: str, verdict: Verdict, back: str
) -> None:
    cookies, cookie, client = Cookies(secrets), bytes.fromhex(sent), ipaddress.ip_address(ip).packed
    assert cookies.verdict(cookie, client, now_s) is verdict
    assert cookies.option(cookie, client, now_s) == option(10, bytes.fromhex(back))


def test_reserved_octets_of_others_are_hashed_and_not_sent_back() -> None:
    """RFC 9018 A.3, while its cookie is young."""
    cookie, client = bytes.fromhex(VECTORS["A.3 another client, too late"][3]), bytes((203, 0, 113, 203))
    made_s = 1559727985
    assert COOKIES.verdict(cookie, client, made_s) is Verdict.VALID
    assert COOKIES.option(cookie, client, made_s)[12:16] == b"\1\0\0\0"


def test_cookie_of_a_removed_secret_is_invalid() -> None:
    _, ip, now_s, sent, _, _ = VECTORS["A.4 IPv6, the secret rolled over"]
    client = ipaddress.ip_address(ip).packed
    assert Cookies((NEW_SECRET,)).verdict(bytes.fromhex(sent), client, now_s) is Verdict.INVALID


AGES = [(-301, False), (-300, True), (-1, True), (0, True), (1799, True), (1800, True), (3600, True), (3601, False)]


@pytest.mark.parametrize("made_s", [NOW_S, 2**32 - 100, 2**32 - 1, 2**32, 2**33 + 2**31], ids=str)
@pytest.mark.parametrize(("age_s", "is_valid"), AGES)
def test_cookie_is_valid_for_an_hour_also_when_times_wrap(made_s: int, age_s: int, is_valid: bool) -> None:
    cookie = COOKIES.option(b"8 octets", CLIENT, made_s)[4:]
    expected = Verdict.VALID if is_valid else Verdict.INVALID
    assert COOKIES.verdict(cookie, CLIENT, made_s + age_s) is expected


@pytest.mark.parametrize(("age_s", "is_sent_again"), [(-300, False), (0, True), (1799, True), (1800, False)])
def test_cookie_is_sent_again_for_half_an_hour(age_s: int, is_sent_again: bool) -> None:
    sent = COOKIES.option(b"8 octets", CLIENT, NOW_S)
    back = COOKIES.option(sent[4:], CLIENT, NOW_S + age_s)
    assert (back == sent) is is_sent_again
    assert COOKIES.verdict(back[4:], CLIENT, NOW_S + age_s) is Verdict.VALID


def test_cookie_of_another_length_or_version_is_invalid() -> None:
    made = COOKIES.option(b"8 octets", CLIENT, NOW_S)[4:]
    assert COOKIES.verdict(made, CLIENT, NOW_S) is Verdict.VALID
    for size in COOKIE_SIZES - {8, 24}:
        assert COOKIES.verdict((made + made)[:size], CLIENT, NOW_S) is Verdict.INVALID, size
    assert COOKIES.verdict(made[:8] + b"\2" + made[9:], CLIENT, NOW_S) is Verdict.INVALID


@pytest.mark.parametrize("secrets", [(), (b"short",), (SECRET, bytes(17))], ids=str)
def test_secrets_have_16_octets(secrets: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match="16 octets"):
        Cookies(secrets)


CLIENT_COOKIES = st.binary(min_size=8, max_size=8)
CLIENTS = st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16)
TIMES = st.integers(0, 2**34)


@given(CLIENT_COOKIES, CLIENTS, TIMES)
def test_cookie_is_recognised_by_any_server_with_the_secret(sent: bytes, client: bytes, now_s: int) -> None:
    made = COOKIES.option(sent, client, now_s)[4:]
    assert made[:8] == sent
    assert Cookies((OTHER_SECRET, SECRET)).verdict(made, client, now_s + 60) is Verdict.VALID
    assert Cookies((OTHER_SECRET,)).verdict(made, client, now_s + 60) is Verdict.INVALID


@given(CLIENT_COOKIES, CLIENTS, TIMES, st.integers(0, 24 * 8 - 1))
def test_one_changed_bit_makes_it_invalid(sent: bytes, client: bytes, now_s: int, bit: int) -> None:
    made = int.from_bytes(COOKIES.option(sent, client, now_s)[4:])
    changed = (made ^ 1 << bit).to_bytes(24)
    assert COOKIES.verdict(changed, client, now_s) is Verdict.INVALID


@given(CLIENT_COOKIES, CLIENTS, CLIENTS, TIMES)
def test_cookie_of_another_address_is_invalid(sent: bytes, client: bytes, other: bytes, now_s: int) -> None:
    made = COOKIES.option(sent, client, now_s)[4:]
    assert (COOKIES.verdict(made, other, now_s) is Verdict.VALID) is (client == other)


@given(st.binary(max_size=48), CLIENTS, TIMES)
def test_a_made_up_cookie_gets_a_valid_one(cookie: bytes, client: bytes, now_s: int) -> None:
    assert COOKIES.verdict(cookie, client, now_s) is (Verdict.NEW if len(cookie) == 8 else Verdict.INVALID)
    if len(cookie) >= 8:
        back = COOKIES.option(cookie, client, now_s)
        assert back[:12] == b"\0\x0a\0\x18" + cookie[:8]
        assert COOKIES.verdict(back[4:], client, now_s) is Verdict.VALID


# Finding it in a query

HEAD = bytes.fromhex("0100 0001 0000 0000 0001") + bytes.fromhex("0001 0001")  # header without id; type and class


def option(code: int, data: bytes) -> bytes:
    return struct.pack("!HH", code, len(data)) + data


def opt(options: bytes, owner: bytes = b"\0", rtype: int = 41) -> bytes:
    return owner + struct.pack("!HHIH", rtype, 1232, 0x8000, len(options)) + options


NSID, EIGHT, FULL = option(3, b""), b"abcdefgh", bytes(range(1, 25))
FOUND = {
    "client cookie": (opt(option(10, EIGHT)), EIGHT, opt(option(10, bytes(8)))),
    "server cookie": (opt(option(10, FULL)), FULL, opt(option(10, bytes(24)))),
    "shortest server cookie": (opt(option(10, FULL[:16])), FULL[:16], opt(option(10, bytes(16)))),
    "longest server cookie": (opt(option(10, b"x" * 40)), b"x" * 40, opt(option(10, bytes(40)))),
    "between others": (
        opt(NSID + option(10, EIGHT) + option(12, b"pad")),
        EIGHT,
        opt(NSID + option(10, bytes(8)) + option(12, b"pad")),
    ),
    "two": (opt(option(10, EIGHT) + option(10, FULL)), EIGHT, opt(option(10, bytes(8)) + option(10, FULL))),
    "record after": (
        opt(option(10, EIGHT)) + opt(b"", b"\1a\0", 250),
        EIGHT,
        opt(option(10, bytes(8))) + opt(b"", b"\1a\0", 250),
    ),
    "16th option": (opt(NSID * 15 + option(10, EIGHT)), EIGHT, opt(NSID * 15 + option(10, bytes(8)))),
}
NOT_FOUND = {
    "no additional section": b"",
    "no options": opt(b""),
    "other options": opt(NSID + option(12, bytes(8))),
    "17th option": opt(NSID * 16 + option(10, EIGHT)),
    "owner is not the root": opt(option(10, EIGHT), b"\1a\0"),
    "not an OPT": opt(option(10, EIGHT), rtype=16),
    "OPT that comes second": opt(b"", rtype=16) + opt(option(10, EIGHT)),
    "shorter than it says": opt(option(10, EIGHT))[:-1],
    "option that leaves its record": opt(option(10, EIGHT)[:-1]) + b"xx",
    "second option that leaves its record": opt(NSID + option(10, EIGHT)[:-1]) + b"xx",
    "option without its length": opt(NSID + b"\0\x0a") + b"\0\x08abcdefgh",
    "malformed, then well-formed": opt(option(10, b"x") + option(10, EIGHT)),
}


@pytest.mark.parametrize(("additional", "cookie", "without"), FOUND.values(), ids=FOUND.keys())
def test_cookie_is_found_and_zeroed(additional: bytes, cookie: bytes, without: bytes) -> None:
    assert split_cookie(HEAD + additional) == (HEAD + without, cookie)


@pytest.mark.parametrize("additional", NOT_FOUND.values(), ids=NOT_FOUND.keys())
def test_query_without_a_cookie_is_unchanged(additional: bytes) -> None:
    assert split_cookie(HEAD + additional) == (HEAD + additional, b"")


@pytest.mark.parametrize("size", range(60))
def test_cookie_of_an_impossible_size_is_left_for_the_parser_to_refuse(size: int) -> None:
    rest = HEAD + opt(option(10, b"x" * size))
    possible = size == 8 or 16 <= size <= 40
    assert (split_cookie(rest)[1] == b"x" * size != b"") is possible
    assert (size in COOKIE_SIZES) is possible


def test_cut_anywhere_nothing_is_found() -> None:
    whole = HEAD + FOUND["between others"][0]
    for size in range(len(whole)):
        assert split_cookie(whole[:size]) == (whole[:size], b"")


@given(st.binary(max_size=100), st.binary(max_size=100), st.booleans())
def test_only_zeros_change(options: bytes, after: bytes, has_head: bool) -> None:
    rest = (HEAD + opt(options) if has_head else options) + after
    zeroed, cookie = split_cookie(rest)
    assert len(zeroed) == len(rest)
    assert not cookie or (len(cookie) in COOKIE_SIZES and cookie in rest)
    assert split_cookie(zeroed) == (zeroed, bytes(len(cookie)))
