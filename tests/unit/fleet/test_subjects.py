"""Subjects stand for one object each, whatever octets its name has."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsd.fleet.subjects import (
    META,
    SETTINGS,
    SHARED,
    account_of_subject,
    head_subject,
    name_of,
    object_of,
    object_subject,
    op_subject,
    token,
)
from dnsd.store.directory import FileKind

TOKENS = [
    ("acme", "acme"),
    ("example.com", "example=2Ecom"),
    ("*.example.com", "=2A=2Eexample=2Ecom"),
    (">", "=3E"),
    ("a=b", "a=3Db"),
    ("=2E", "=3D2E"),
    ("größe", "gr=C3=B6=C3=9Fe"),
    ("two words\r\n", "two=20words=0D=0A"),
    ("\udcff", "=FF"),  # an octet that is not UTF-8
]
OBJECTS = [
    ("acme", FileKind.ACCOUNT, "dnsd.s.o.acme.account"),
    ("acme/maps/shop", FileKind.MAP, "dnsd.s.o.acme.map.shop"),
    ("acme/zones/example.com", FileKind.ZONE_YAML, "dnsd.s.o.acme.zone.example=2Ecom"),
    ("a.b/zones/example.com", FileKind.ZONE_MASTER, "dnsd.s.o.a=2Eb.zonefile.example=2Ecom"),
    ("acme/zones/0/28.2.0.192", FileKind.ZONE_YAML, None),
    ("acme", FileKind.ZONE_YAML, None),
    ("acme/maps/shop", FileKind.ZONE_YAML, None),
    ("acme/maps/shop", FileKind.ACCOUNT, None),
    ("acme/maps/", FileKind.MAP, None),
    ("", FileKind.ACCOUNT, None),
    ("x", FileKind.SETTINGS, None),
]
NOT_TOKENS = ["", ".", "a.b", "*", "a b", "=2e", "=41", "=", "=2", "=C3=B6ß", "a\n"]
NO_OBJECTS = [
    META,
    "dnsd.s.o.acme",
    "dnsd.s.o.acme.map",
    "dnsd.s.o.acme.account.x",
    "dnsd.s.o.acme.kind.x",
    "dnsd.s.o.acme.map.x.y",
    "dnsd.c.o.acme.map.x",
    "dnsd.s.o.acme.map.=41",
    "dnsd.s.o.=2E=2E.account",  # `..`: an export would leave its folder
    "dnsd.s.o.acme.map.a=2Fb",
    "dnsd.s.o.acme.map.=2E",
    "dnsd.s.o.acme.map.=00",
]
ACCOUNTS = [
    (META, SHARED),
    (SETTINGS, SHARED),
    ("dnsd.s.h", SHARED),
    ("dnsd.s.e.edge-1", SHARED),
    ("dnsd.s.h.acme", "acme"),
    ("dnsd.s.o.a=2Eb.zone.x", "a.b"),
    ("dnsd.s.n.acme.0", "acme"),
    ("dnsd.s.later.acme.x.y", "acme"),
]
OTHERS = ["dnsd.s", "dnsd.c.names", "dnsd.c.op.1", "", "dnsd.s.", "dnsd.s.o..x", "dnsd.s.o.=41.x", "x.s.o.acme.account"]
# Names as a folder may have them: any octets except 0 and `/`.
NAMES = st.binary(min_size=1, max_size=60).filter(lambda name: not set(name) & {0, 47}).map(os.fsdecode)


@pytest.mark.parametrize(("name", "expected"), TOKENS)
def test_other_octets_are_escaped(name: str, expected: str) -> None:
    assert token(name) == expected
    assert name_of(expected) == name


@pytest.mark.parametrize("text", NOT_TOKENS)
def test_a_name_has_one_token(text: str) -> None:
    with pytest.raises(ValueError, match="token"):
        name_of(text)


def test_an_empty_name_has_no_token() -> None:
    with pytest.raises(ValueError, match="at least one"):
        token("")


@pytest.mark.parametrize(("key", "kind", "subject"), OBJECTS)
def test_an_object_has_one_subject(key: str, kind: FileKind, subject: str | None) -> None:
    if subject is None:
        with pytest.raises(ValueError):
            object_subject(key, kind)
    else:
        assert object_subject(key, kind) == subject
        assert object_of(subject) == (key, kind)


@pytest.mark.parametrize("subject", NO_OBJECTS)
def test_no_other_subject_is_an_object(subject: str) -> None:
    assert object_of(subject) is None


@pytest.mark.parametrize(("subject", "account"), ACCOUNTS)
def test_state_belongs_to_an_account_or_to_all(subject: str, account: str) -> None:
    assert account_of_subject(subject) == account


@pytest.mark.parametrize("subject", OTHERS)
def test_other_subjects_are_not_state(subject: str) -> None:
    with pytest.raises(ValueError):
        account_of_subject(subject)


def test_heads_and_markers_have_subjects() -> None:
    assert (head_subject("a.b"), head_subject(SHARED)) == ("dnsd.s.h.a=2Eb", "dnsd.s.h")
    assert op_subject("1-2") == "dnsd.c.op.1-2"


def test_a_subject_has_a_limit() -> None:
    with pytest.raises(ValueError, match="limit"):
        object_subject("." * 1001, FileKind.ACCOUNT)


@given(NAMES, NAMES)
def test_any_name_comes_back(account: str, name: str) -> None:
    for key, kind in ((account, FileKind.ACCOUNT), (f"{account}/maps/{name}", FileKind.MAP)):
        subject = object_subject(key, kind)
        assert not set(subject) & set("*> \r\n\t")
        assert account_of_subject(subject) == account
        if not {account, name} & {".", ".."}:
            assert object_of(subject) == (key, kind)


@given(
    st.text(max_size=40) | st.from_regex(r"dnsd\.s\.o\.[a=.C3\w]{1,20}\.(map|account)(\.[=F\w]{1,9})?", fullmatch=True)
)
def test_any_subject_read_is_the_one_that_is_written(subject: str) -> None:
    if found := object_of(subject):
        assert object_subject(*found) == subject
