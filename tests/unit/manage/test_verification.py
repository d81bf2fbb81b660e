"""The proof that a zone belongs to its account, against accounts that answer for themselves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dnsd.manage.validation import txt_text
from dnsd.manage.verification import is_proven, verification_name
from dnsd.model.claims import verification_key
from dnsd.model.zones import Zone
from dnsd.outbound.protocol import AnswerKind, OutsideAnswer
from dnsd.wire.names import MAX_NAME, name_text, parse_name_text
from tests.models import record
from tests.unit.model.test_claims import dataset, made

OURS, OTHERS = "NS1.example.net", "ns.elsewhere.test"
SHOP = made("acme", "shop.test", 2)
SILENT, NO_DATA, NO_NAME = (
    OutsideAnswer(one) for one in (AnswerKind.NO_ANSWER, AnswerKind.NO_DATA, AnswerKind.NO_NAME)
)


def servers(*names: str) -> OutsideAnswer:
    return OutsideAnswer(AnswerKind.DATA, tuple(map(parse_name_text, names)))


def texts(*strings: str) -> OutsideAnswer:
    return OutsideAnswer(AnswerKind.DATA, tuple(bytes([len(one)]) + one.encode() for one in strings))


KEY, FALSE = texts("v=spf1", f" {verification_key(SHOP)}"), texts(verification_key(made("globex", "shop.test")), "")
FIRST = made("globex", "shop.test", 1)
CASES: dict[str, tuple[list[Zone], OutsideAnswer, OutsideAnswer, bool]] = {  # others, NS, TXT -> whether it is proven
    "delegated to us": ([], servers(OURS), NO_NAME, True),
    "delegated to us and to others": ([], servers(OTHERS, OURS), NO_NAME, True),
    "delegated to others": ([], servers(OTHERS), NO_NAME, False),
    "delegated to nobody": ([], NO_NAME, NO_NAME, False),
    "no resolver answers": ([], SILENT, SILENT, False),
    "a text elsewhere": ([], servers(OTHERS), KEY, True),
    "a text elsewhere, without a delegation": ([], NO_DATA, KEY, True),
    "a text of another account": ([], servers(OTHERS), FALSE, False),
    "a text that may be its own": ([], SILENT, KEY, False),
    # Another account has a zone of the name, too.
    "delegated to us, for either account": ([made("globex", "shop.test", 3)], servers(OURS), NO_NAME, False),
    "a text elsewhere, for the first": ([made("globex", "shop.test", 3)], servers(OTHERS), KEY, True),
    # It is served.
    "delegated to us, while it waits": ([FIRST], servers(OURS), NO_NAME, False),
    "a text in the other's zone": ([FIRST], servers(OURS), KEY, True),
    "a text elsewhere, while it waits": ([FIRST], servers(OTHERS), KEY, True),
    "a text in its own zone below": (
        [FIRST, made("acme", "cloudflare-verify.shop.test", 0)],
        servers(OURS),
        KEY,
        False,
    ),
    # A zone above it is served.
    "delegated by another account's zone": ([made("globex", "test", 3)], servers(OURS), NO_NAME, False),
    "a text in itself, below another's zone": ([made("globex", "test", 3)], servers(OURS), KEY, False),
    "below a verified zone of its own": ([made("acme", "test", verified=True)], NO_DATA, NO_NAME, True),
    "below an unverified zone of its own": ([made("acme", "test", 1)], servers(OURS), NO_NAME, False),
    "below the root zone": ([made("globex", ".", verified=True)], servers(OURS), NO_NAME, True),
    "above another's zone": ([made("globex", "www.shop.test", 1)], servers(OURS), NO_NAME, True),
}


@pytest.mark.parametrize(("others", "ns", "txt", "expected"), CASES.values(), ids=CASES.keys())
def test_zone_is_proven(others: list[Zone], ns: OutsideAnswer, txt: OutsideAnswer, expected: bool) -> None:
    assert is_proven(dataset(SHOP, *others), SHOP, ns, txt) is expected


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        (["www A 192.0.2.1"], True),
        (["cloudflare-verify TXT x"], False),
        (["cloudflare-verify CNAME x.shop.test."], False),
        (["* TXT x"], False),
        (["@ DNAME x.test."], False),
    ],
)
def test_text_that_may_be_its_own_proves_nothing_where_resolvers_know_no_servers(
    records: list[str], expected: bool
) -> None:
    """They may remember an answer from before the zone was made: `left.test` was here, and `www.left.test` was not."""
    mine = made("acme", "shop.test", 2, records=map(record, records))
    assert is_proven(dataset(mine), mine, NO_DATA, KEY) is expected
    assert is_proven(dataset(mine), mine, servers(OTHERS), KEY)


def test_zone_edited_during_the_look_up_is_proven() -> None:
    assert is_proven(dataset(replace(SHOP, paused=True)), SHOP, servers(OURS), NO_NAME)


def test_name_of_the_text() -> None:
    assert name_text(verification_name(SHOP) or b"") == "cloudflare-verify.shop.test"
    longest = made("acme", ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 45]))
    assert len(longest.name) <= MAX_NAME
    assert verification_name(longest) is None
    assert not is_proven(dataset(longest), longest, servers(OTHERS), KEY)


@pytest.mark.parametrize(
    ("rdata", "text"), [(b"", ""), (b"\x02ab\x00\x01c", "abc"), (b"\x05ab", "ab"), (b"\x01\xff", "\ufffd")]
)
def test_text_of_a_record(rdata: bytes, text: str) -> None:
    assert txt_text(rdata) == text
