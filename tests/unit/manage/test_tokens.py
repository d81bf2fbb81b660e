"""Tokens: scope and permissions, the file of tokens, concurrent writers, and the limit on failed authentications."""

from __future__ import annotations

import json
import os
import pathlib
import re
import stat
import subprocess
import sys
import threading
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dnsd.manage.failures import FAILURES_WITHIN_S, MAX_CLIENTS, MAX_FAILURES, Failures
from dnsd.manage.token_file import TokenFile
from dnsd.manage.token_format import MAX_LINE
from dnsd.manage.token_port import NoSuchTokenError, TokenFileError, Unusable
from dnsd.manage.tokens import AccessLevel, Area, Token, parse_permission
from dnsd.model.times import parse_time, time_text

NOW = datetime(2026, 1, 1, 12, 0, 0, 123450, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
ACCOUNT, OTHER_ACCOUNT = "a" * 32, "b" * 32
ZONE, OTHER_ZONE = "c" * 32, "d" * 32
NOBODY = 65_534  # a user that owns nothing

MAPS, PREFIXES, ZONES, DNS, TOKENS = Area
READ, EDIT = AccessLevel


def token(**fields: Any) -> Token:
    return Token(**{"id": "0" * 32, "name": "ci", "created_at": NOW, **fields})


# Scope: whether it covers the account, a zone and another zone of it, another account, and a zone of that account

OBJECTS = [(ACCOUNT, None), (ACCOUNT, ZONE), (ACCOUNT, OTHER_ZONE), (OTHER_ACCOUNT, None), (OTHER_ACCOUNT, "e" * 32)]

SCOPES: dict[str, tuple[dict[str, Any], list[bool]]] = {
    "all": ({}, [True] * 5),
    "all, with a permission": ({"permissions": ((DNS, READ),)}, [True] * 5),
    "an account": ({"accounts": (ACCOUNT,)}, [True, True, True, False, False]),
    "a zone": ({"zones": (ZONE,)}, [False, True, False, False, False]),
    "a zone of a covered account": (
        {"accounts": (ACCOUNT,), "zones": (ZONE,)},
        [True, True, True, False, False],
    ),
    "an account and another's zone": (
        {"accounts": (OTHER_ACCOUNT,), "zones": (ZONE,)},
        [False, True, False, True, True],
    ),
    "both accounts": ({"accounts": (ACCOUNT, OTHER_ACCOUNT)}, [True] * 5),
    "an account's id given as a zone": ({"zones": (ACCOUNT,)}, [False] * 5),
    "a zone's id given as an account": ({"accounts": (ZONE,)}, [False] * 5),
}


@pytest.mark.parametrize(("fields", "expected"), SCOPES.values(), ids=SCOPES.keys())
def test_scope(fields: dict[str, Any], expected: list[bool]) -> None:
    made = token(**fields)
    assert [made.covers(*one) for one in OBJECTS] == expected
    allowed = [made.may(DNS, READ, account_id=account, zone_id=zone) for account, zone in OBJECTS]
    assert allowed == expected


PERMISSIONS: dict[str, tuple[tuple[tuple[Area, AccessLevel], ...], set[tuple[Area, AccessLevel]]]] = {
    "none given": ((), {(area, level) for area in Area for level in AccessLevel}),
    "read": (((DNS, READ),), {(DNS, READ), (ZONES, READ)}),  # reading records includes finding their zone
    "edit": (((MAPS, EDIT),), {(MAPS, READ), (MAPS, EDIT)}),
    "read and edit of one area": (((ZONES, READ), (ZONES, EDIT)), {(ZONES, READ), (ZONES, EDIT)}),
    "several": (((DNS, EDIT), (PREFIXES, READ)), {(DNS, READ), (DNS, EDIT), (PREFIXES, READ), (ZONES, READ)}),
}


@pytest.mark.parametrize(("given", "expected"), PERMISSIONS.values(), ids=PERMISSIONS.keys())
@pytest.mark.parametrize("scope", [{}, {"accounts": (ACCOUNT,)}, {"zones": (ZONE,)}], ids=["all", "account", "zone"])
def test_permissions(
    given: tuple[tuple[Area, AccessLevel], ...], expected: set[tuple[Area, AccessLevel]], scope: dict[str, Any]
) -> None:
    made = token(permissions=given, **scope)
    pairs = [(area, level) for area in Area for level in AccessLevel]
    assert {pair for pair in pairs if made.grants(*pair)} == expected
    assert {pair for pair in pairs if made.may(*pair, account_id=ACCOUNT, zone_id=ZONE)} == expected
    assert not any(made.may(*pair, account_id=OTHER_ACCOUNT) for pair in pairs if scope)


OPERATORS: dict[str, tuple[dict[str, Any], bool]] = {
    "nothing given": ({}, True),
    "an expiry": ({"expires_at": LATER}, True),
    "an account": ({"accounts": (ACCOUNT,)}, False),
    "a zone": ({"zones": (ZONE,)}, False),
    "all permissions": ({"permissions": tuple((area, EDIT) for area in Area)}, False),
}


@pytest.mark.parametrize(("fields", "expected"), OPERATORS.values(), ids=OPERATORS.keys())
def test_operator(fields: dict[str, Any], expected: bool) -> None:
    assert token(**fields).is_operator is expected


IMPOSSIBLE: dict[str, dict[str, Any]] = {
    "a short id": {"id": "a"},
    "an id in capitals": {"accounts": ("A" * 32,)},
    "a long id": {"zones": ("a" * 32 + "\n",)},
    "a name of two lines": {"name": "a\nb"},
    "a name that turns a terminal red": {"name": "\x1b[31m"},
    "a lone surrogate": {"name": "\ud800"},
    "a long name": {"name": "x" * 101},
    "a time without a zone": {"expires_at": datetime(2026, 1, 1)},
}


@pytest.mark.parametrize("fields", IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
def test_invalid_token(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        token(**fields)


@pytest.mark.parametrize("text", ["", "dns", "dns:", ":edit", "dns:write", "dnss:read", "dns:edit:", "DNS:edit"])
def test_invalid_permission(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape("use {maps,prefixes,zones,dns,tokens}:{read,edit}")):
        parse_permission(text)


# Times

TIMES = {
    "2026-01-01T12:00:00.12345Z": "2026-01-01T12:00:00.123450Z",
    "2026-01-01t12:00:00z": "2026-01-01T12:00:00.000000Z",
    "2026-01-01T12:00:00+02:00": "2026-01-01T10:00:00.000000Z",
    "2026-01-01 12:00:00-00:30": "2026-01-01T12:30:00.000000Z",
}


@pytest.mark.parametrize(("text", "expected"), TIMES.items(), ids=TIMES)
def test_time(text: str, expected: str) -> None:
    assert time_text(parse_time(text)) == expected
    assert parse_time(expected) == parse_time(text)


@pytest.mark.parametrize(
    "text", ["", "tomorrow", "2026-01-01", "2026-01-01T12:00:00", "9999-12-31T23:59:59-01:00", "1"]
)
def test_invalid_time(text: str) -> None:
    with pytest.raises(ValueError, match="with a time zone"):
        parse_time(text)


# The file


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "state"


@pytest.fixture
def file(folder: pathlib.Path) -> TokenFile:
    return TokenFile(folder)


def test_token_is_found_by_its_secret(file: TokenFile) -> None:
    made, secret = file.create(
        name="ci",
        now=NOW,
        expires_at=LATER,
        accounts=[ACCOUNT, ACCOUNT],
        zones=[ZONE, OTHER_ZONE],
        permissions=[(DNS, EDIT), (MAPS, READ)],
    )
    assert made.accounts == (ACCOUNT,)
    assert re.fullmatch(r"dnsd_[\w-]{43}", secret)
    assert file.find(secret, NOW) == made
    assert TokenFile(file._folder).find(secret, NOW) == made


EXPIRY = [(timedelta(0), True), (timedelta(minutes=59), True), (timedelta(hours=1), False), (timedelta(days=1), False)]


@pytest.mark.parametrize(("after", "is_good"), EXPIRY, ids=str)
def test_expiry(file: TokenFile, after: timedelta, is_good: bool) -> None:
    made, secret = file.create(name="", now=NOW, expires_at=LATER)
    assert file.find(secret, NOW + after) == (made if is_good else Unusable.EXPIRED)


UNKNOWN = ["", "dnsd_", "dnsd_" + "A" * 43, "é\ud800", "\0", "x" * 100_000]


@pytest.mark.parametrize("secret", UNKNOWN, ids=lambda secret: ascii(secret)[:20])
def test_unknown_secret(file: TokenFile, secret: str) -> None:
    assert file.find(secret, NOW) is Unusable.UNKNOWN  # without a file
    _, known = file.create(name="", now=NOW)
    assert file.find(secret, NOW) is Unusable.UNKNOWN
    assert file.find(known[:-1], NOW) is Unusable.UNKNOWN
    assert file.find(known.upper(), NOW) is Unusable.UNKNOWN


def test_hash_is_not_accepted_as_secret(file: TokenFile, folder: pathlib.Path) -> None:
    file.create(name="", now=NOW)
    [entry] = json.loads((folder / "tokens.json").read_bytes())["tokens"]
    assert file.find(entry["hash"], NOW) is Unusable.UNKNOWN


def test_secret_is_not_stored(file: TokenFile, folder: pathlib.Path) -> None:
    made, secret = file.create(name="ci", now=NOW)
    for part in (secret, secret.removeprefix("dnsd_")):
        assert not any(part.encode() in one.read_bytes() for one in folder.iterdir())
        assert part not in repr(made) + repr(file.tokens()) + repr(vars(file))


def test_files_are_readable_by_their_owner_only(file: TokenFile, folder: pathlib.Path) -> None:
    before = os.umask(0)
    try:
        file.create(name="", now=NOW)
    finally:
        os.umask(before)
    modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in (folder, *folder.iterdir())}
    assert modes == {"state": 0o700, "tokens.json": 0o600, "tokens.lock": 0o600}


def test_change_is_seen_at_once(file: TokenFile, folder: pathlib.Path) -> None:
    """Even if changes follow each other immediately, and although file systems reuse inode numbers."""
    reader = TokenFile(folder)
    for _ in range(200):
        made, secret = file.create(name="ci", now=NOW)
        assert reader.find(secret, NOW) == made
        assert file.revoke("ci") == [made]
        assert reader.find(secret, NOW) is Unusable.UNKNOWN


def test_unchanged_file_is_not_read_again(file: TokenFile, monkeypatch: pytest.MonkeyPatch) -> None:
    made, secret = file.create(name="", now=NOW)
    file.find(secret, NOW)
    monkeypatch.setattr("builtins.open", None)
    assert file.find(secret, NOW) == made


def test_later_version_has_a_later_time_after_the_clock_was_set_back(file: TokenFile, folder: pathlib.Path) -> None:
    file.create(name="", now=NOW)
    ahead_ns = 4_000_000_000 * 10**9
    os.utime(folder / "tokens.json", ns=(ahead_ns, ahead_ns))
    TokenFile(folder).create(name="", now=NOW)
    assert (folder / "tokens.json").stat().st_mtime_ns == ahead_ns + 1
    assert len(file.tokens()) == 2


def test_deleted_file_has_no_tokens(file: TokenFile, folder: pathlib.Path) -> None:
    _, secret = file.create(name="", now=NOW)
    (folder / "tokens.json").unlink()
    assert (file.find(secret, NOW), file.tokens()) == (Unusable.UNKNOWN, [])


# Revoking


def test_revoke_by_id_and_by_name(file: TokenFile) -> None:
    made = [file.create(name=name, now=NOW)[0] for name in ("a", "b", "c")]
    assert file.revoke(made[0].id.upper()) == [made[0]]
    assert file.revoke("c") == [made[2]]
    assert file.tokens() == [made[1]]


def test_id_has_precedence_over_name(file: TokenFile) -> None:
    first, _ = file.create(name="", now=NOW)
    second, _ = file.create(name=first.id, now=NOW)
    assert file.revoke(first.id) == [first]
    assert file.revoke(first.id) == [second]


@pytest.mark.parametrize("text", ["d", "", "A", "e" * 32])
def test_revoke_of_unknown_token(file: TokenFile, text: str) -> None:
    for name in ("a", "b", ""):
        file.create(name=name, now=NOW)
    with pytest.raises(NoSuchTokenError, match="there is no token"):
        file.revoke(text)
    assert len(file.tokens()) == 3


def test_revoke_of_ambiguous_name(file: TokenFile) -> None:
    ids = [file.create(name="ci", now=NOW)[0].id for _ in range(2)]
    with pytest.raises(NoSuchTokenError, match=f"choose one by its id: {', '.join(ids)}"):
        file.revoke("ci")
    assert len(file.tokens()) == 2


# Descent

LIMITS: dict[str, tuple[dict[str, Any], dict[str, Any], list[bool]]] = {  # of the parent, of its child; the scope left
    "none": ({}, {}, [True] * 5),
    "the parent's account": ({"accounts": (ACCOUNT,)}, {}, [True, True, True, False, False]),
    "the child's zone": ({"accounts": (ACCOUNT,)}, {"zones": (ZONE,)}, [False, True, False, False, False]),
    "a child for more accounts": (
        {"accounts": (ACCOUNT,)},
        {"accounts": (ACCOUNT, OTHER_ACCOUNT)},
        [True, True, True, False, False],
    ),
    "a zone that has moved away": ({"accounts": (OTHER_ACCOUNT,)}, {"zones": (ZONE,)}, [False] * 5),
}


@pytest.mark.parametrize(("parent", "child", "expected"), LIMITS.values(), ids=LIMITS.keys())
def test_child_reaches_no_further_than_its_parent(
    parent: dict[str, Any], child: dict[str, Any], expected: list[bool]
) -> None:
    made = token(parent=token(**parent), **child)
    assert [made.covers(*one) for one in OBJECTS] == expected
    assert made.is_operator is (not parent and not child)


def test_child_has_no_more_permissions_than_its_parent() -> None:
    parent = token(permissions=((DNS, EDIT), (MAPS, READ)))
    made = token(parent=token(parent=parent), permissions=((DNS, READ), (MAPS, EDIT), (TOKENS, EDIT)))
    pairs = {(area, level) for area in Area for level in AccessLevel if made.grants(area, level)}
    assert pairs == {(DNS, READ), (ZONES, READ), (MAPS, READ)}


def test_child_expires_with_its_parent() -> None:
    made = token(parent=token(expires_at=LATER))
    assert (made.is_expired(NOW), made.is_expired(LATER)) == (False, True)
    assert token(expires_at=NOW, parent=token(expires_at=LATER)).expires == NOW


def test_root_is_the_author_of_a_line(file: TokenFile) -> None:
    first, _ = file.create(name="ops", now=NOW)
    second, _ = file.create(name="job", now=NOW, parent=first)
    third, secret = file.create(name="step", now=NOW, parent=second)
    assert [one.root for one in (first, second, third)] == [first] * 3
    assert file.find(secret, NOW) == third
    assert [one.name for one in third.line] == ["step", "job", "ops"]


def test_file_never_grows_beyond_what_is_read(file: TokenFile, monkeypatch: pytest.MonkeyPatch) -> None:
    first, secret = file.create(name="first", now=NOW)
    monkeypatch.setattr("dnsd.manage.token_file.MAX_SIZE", 2000)
    with pytest.raises(ValueError, match="more than 2,000 octets"):
        file.create(name="fat", now=NOW, written=json.dumps([{"permission_groups": ["a" * 2000], "resources": {}}]))
    assert file.find(secret, NOW) == first
    assert file.tokens() == [first]


def test_customers_of_one_operator_are_authors_of_their_own() -> None:
    operator = token()
    tool = token(parent=operator, id="2" * 32)
    first = token(parent=tool, id="3" * 32, accounts=(ACCOUNT,))
    second = token(parent=tool, id="4" * 32, permissions=((DNS, EDIT),))
    made = token(parent=first, id="5" * 32, zones=(ZONE,))
    assert [one.author for one in (operator, tool, first, second, made)] == [operator, operator, first, second, first]


def test_revoked_token_takes_with_it_all_made_from_it(file: TokenFile) -> None:
    first, _ = file.create(name="ops", now=NOW)
    other, _ = file.create(name="other", now=NOW)
    second, _ = file.create(name="job", now=NOW, parent=first)
    third, secret = file.create(name="step", now=NOW, parent=second)
    assert file.revoke("job") == [second, third]
    assert file.find(secret, NOW) is Unusable.UNKNOWN
    assert file.tokens() == [first, other]
    with pytest.raises(NoSuchTokenError):
        file.create(name="late", now=NOW, parent=second)


def test_token_without_its_parent_in_the_file_is_revoked(file: TokenFile, folder: pathlib.Path) -> None:
    first, _ = file.create(name="ops", now=NOW)
    _, secret = file.create(name="job", now=NOW, parent=first)
    said = json.loads((folder / "tokens.json").read_text())
    (folder / "tokens.json").write_text(json.dumps(said | {"tokens": said["tokens"][1:]}))
    assert file.find(secret, NOW) is Unusable.UNKNOWN
    loop = [one | {"parent": one["id"]} for one in said["tokens"]]
    (folder / "tokens.json").write_text(json.dumps(said | {"tokens": loop}))
    assert file.find(secret, NOW) is Unusable.UNKNOWN


def test_narrowed_parent_narrows_its_children_at_once(file: TokenFile) -> None:
    parent, _ = file.create(name="ops", now=NOW, accounts=[ACCOUNT, OTHER_ACCOUNT])
    _, secret = file.create(name="job", now=NOW, parent=parent, accounts=[ACCOUNT])
    file.edit(parent.id, lambda old: replace(old, accounts=(OTHER_ACCOUNT,)))
    found = file.find(secret, NOW)
    assert isinstance(found, Token)
    assert not found.covers(ACCOUNT)


def test_line_of_descent_is_bounded(file: TokenFile) -> None:
    last, _ = file.create(name="", now=NOW)
    for _ in range(MAX_LINE - 1):
        last, _ = file.create(name="", now=NOW, parent=last)
    with pytest.raises(ValueError, match="at most 8"):
        file.create(name="", now=NOW, parent=last)
    assert len(file.tokens()) == MAX_LINE


def test_rolled_token_keeps_everything_but_its_secret(file: TokenFile) -> None:
    parent, old = file.create(name="ops", now=NOW)
    child, of_child = file.create(name="ci", now=NOW, parent=parent)
    rolled, new = file.roll(parent.id)
    assert rolled == parent
    assert (file.find(old, NOW), file.find(new, NOW), file.find(of_child, NOW)) == (Unusable.UNKNOWN, parent, child)


# Corrupt files


def good_file() -> dict[str, Any]:
    entry = {"id": "1" * 32, "name": "", "hash": "2" * 64, "created_at": time_text(NOW), "expires_at": None}
    return {"format": 1, "tokens": [{**entry, "accounts": [ACCOUNT], "zones": [], "permissions": ["dns:read"]}]}


def edited(**fields: Any) -> str:
    said = good_file()
    [entry] = said["tokens"]
    said["tokens"] = [{key: value for key, value in {**entry, **fields}.items() if value is not ...}]
    return json.dumps(said)


SECOND_FORMAT = {"parent": None, "modified_at": None}
POLICY = {"permission_groups": ["3" * 32], "resources": {"x": "*"}}


def third(*policies: Any) -> str:
    """A file of format 3 with these policies of its token."""
    return json.dumps({"format": 3, "tokens": [good_file()["tokens"][0] | {**SECOND_FORMAT, "policies": [*policies]}]})


DAMAGED = {
    "empty": "",
    "cut": edited()[:-10],
    "zeros": "\0" * 100,
    "no object": "[]",
    "deep": "[" * 100_000,
    "another format": json.dumps({**good_file(), "format": 4}),
    "an unknown key at the top": json.dumps({**good_file(), "more": 1}),
    "tokens by name": json.dumps({"format": 1, "tokens": {}}),
    "a token that is a text": json.dumps({"format": 1, "tokens": ["x"]}),
    "an unknown key": edited(only_from="192.0.2.1"),
    "no accounts": edited(accounts=...),
    "accounts are nothing": edited(accounts=None),
    "accounts are a text": edited(accounts=""),
    "accounts are an object": edited(accounts={}),
    "an account with an invalid id": edited(accounts=["acme"]),
    "an account that is a number": edited(accounts=[1]),
    "permissions are nothing": edited(permissions=None),
    "an unknown permission": edited(permissions=["dns:own"]),
    "a short hash": edited(hash="2" * 63),
    "a time without a zone": edited(expires_at="2026-01-01T00:00:00"),
    "a time that is a number": edited(created_at=1),
    "a name that is a number": edited(name=1),
    "keys of format 2 in format 1": edited(**SECOND_FORMAT),
    "keys of format 1 in format 2": json.dumps({**good_file(), "format": 2}),
    "a parent that is no id": json.dumps(
        {"format": 2, "tokens": [good_file()["tokens"][0] | {**SECOND_FORMAT, "parent": "x"}]}
    ),
    "a parent that is a number": json.dumps(
        {"format": 2, "tokens": [good_file()["tokens"][0] | {**SECOND_FORMAT, "parent": 1}]}
    ),
    "keys of format 3 in format 2": third().replace('"format": 3', '"format": 2'),
    "a policy that is a text": third("x"),
    "a policy without resources": third({"permission_groups": []}),
    "a policy with another key": third({**POLICY, "effect": "deny"}),
    "resources that are a list": third({**POLICY, "resources": []}),
    "a permission group that is a number": third({**POLICY, "permission_groups": [1]}),
    "policies that are too long": third(*[POLICY] * 1_000),
    "an id twice": json.dumps({"format": 1, "tokens": good_file()["tokens"] * 2}),
}


@pytest.mark.parametrize("text", DAMAGED.values(), ids=DAMAGED.keys())
def test_corrupt_file(file: TokenFile, folder: pathlib.Path, text: str) -> None:
    folder.mkdir()
    (folder / "tokens.json").write_text(text)
    actions = [
        lambda: file.find("x", NOW),
        file.tokens,
        lambda: file.create(name="", now=NOW),
        lambda: file.revoke("1" * 32),
    ]
    for action in actions:
        with pytest.raises(TokenFileError, match=rf"{folder}/tokens\.json is corrupt: ") as caught:
            action()
        assert "2" * 63 not in str(caught.value)
    assert (folder / "tokens.json").read_text() == text


def test_original_of_the_corrupt_files_is_valid(file: TokenFile, folder: pathlib.Path) -> None:
    folder.mkdir()
    (folder / "tokens.json").write_text(edited())
    assert [one.accounts for one in file.tokens()] == [(ACCOUNT,)]


def test_policies_as_written_are_kept_in_the_file(file: TokenFile, folder: pathlib.Path) -> None:
    folder.mkdir()
    (folder / "tokens.json").write_text(third(POLICY, POLICY))
    file.create(name="other", now=NOW)  # writes the file
    assert [one.policies for one in TokenFile(folder).tokens()] == [[POLICY, POLICY], []]


@pytest.mark.parametrize("text", [edited(), edited(**SECOND_FORMAT).replace(": 1", ": 2", 1)], ids=["first", "second"])
def test_older_formats_are_read(file: TokenFile, folder: pathlib.Path, text: str) -> None:
    folder.mkdir()
    (folder / "tokens.json").write_text(text)
    assert [(one.accounts, one.policies) for one in file.tokens()] == [((ACCOUNT,), [])]


def test_file_corrupted_after_reading_is_refused(file: TokenFile, folder: pathlib.Path) -> None:
    _, secret = file.create(name="", now=NOW)
    (folder / "tokens.json").write_text("{")
    with pytest.raises(TokenFileError):
        file.find(secret, NOW)


def test_unusable_file(file: TokenFile, folder: pathlib.Path) -> None:
    (folder / "tokens.json").mkdir(parents=True)
    with pytest.raises(TokenFileError, match="is corrupt"):
        file.tokens()
    (folder / "tokens.json").rmdir()
    folder.rmdir()
    folder.write_text("")
    with pytest.raises(TokenFileError, match="cannot be written: File exists"):
        file.create(name="", now=NOW)


def test_full_disk_changes_nothing(file: TokenFile, folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = file.create(name="", now=NOW)

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(TokenFileError, match=r"tokens\.json cannot be written: No space left on device"):
        file.create(name="", now=NOW)
    assert file.tokens() == [made]
    assert sorted(one.name for one in folder.iterdir()) == ["tokens.json", "tokens.lock"]


def test_leftover_of_a_killed_writer_is_replaced(file: TokenFile, folder: pathlib.Path) -> None:
    folder.mkdir()
    (folder / "tokens.json.new").write_text("{")
    file.create(name="", now=NOW)
    assert len(file.tokens()) == 1


# Writers at the same time

CREATOR = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from dnsd.manage.token_file import TokenFile
sys.stdin.read(1)
file = TokenFile(Path(sys.argv[1]))
for number in range(20):
    print(file.create(name=f"{sys.argv[2]}-{number}", now=datetime.now(UTC))[1])
"""


def test_concurrent_creates_lose_nothing(file: TokenFile, folder: pathlib.Path) -> None:
    creators = [
        subprocess.Popen(
            [sys.executable, "-c", CREATOR, str(folder), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for creator in creators:
        assert creator.stdin
        creator.stdin.write("\n")
        creator.stdin.flush()
    secrets = [line for creator in creators for line in creator.communicate()[0].split()]
    assert [creator.returncode for creator in creators] == [0] * 4
    assert len(secrets) == 80
    assert {file.find(secret, NOW).name for secret in secrets} == {f"{i}-{n}" for i in range(4) for n in range(20)}  # type: ignore[union-attr]


def test_reader_never_sees_half_a_file(file: TokenFile, folder: pathlib.Path) -> None:
    kept, secret = file.create(name="", now=NOW)
    is_done = threading.Event()

    def write() -> None:
        other = TokenFile(folder)
        for _ in range(100):
            other.revoke(other.create(name="x", now=NOW)[0].id)
        is_done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not is_done.is_set():
        assert file.find(secret, NOW) == kept
    writer.join()


# Root creates tokens for a server that is another user

root = pytest.mark.skipif(os.geteuid() != 0, reason="requires root, to give files away")


@root
def test_root_gives_the_files_to_the_owner_of_the_folder(file: TokenFile, folder: pathlib.Path) -> None:
    folder.mkdir()
    os.chown(folder, NOBODY, NOBODY)
    made, _ = file.create(name="", now=NOW)
    file.revoke(made.id)
    assert {(one.stat().st_uid, one.stat().st_gid) for one in folder.iterdir()} == {(NOBODY, NOBODY)}


PLANTED: dict[str, tuple[Any, str, bool]] = {
    "a symbolic link for the file": (os.symlink, "tokens.json.new", False),
    "a hard link for the file": (os.link, "tokens.json.new", False),
    "a symbolic link for the lock": (os.symlink, "tokens.lock", True),
    "a hard link for the lock": (os.link, "tokens.lock", False),
}


@root
@pytest.mark.parametrize(("plant", "name", "is_refused"), PLANTED.values(), ids=PLANTED.keys())
def test_root_gives_away_no_other_file(
    file: TokenFile, tmp_path: pathlib.Path, plant: Any, name: str, is_refused: bool
) -> None:
    secret_file = tmp_path / "shadow"
    secret_file.write_text("secret")
    (tmp_path / "state").mkdir()
    os.chown(tmp_path / "state", NOBODY, NOBODY)
    plant(secret_file, tmp_path / "state" / name)
    with pytest.raises(TokenFileError, match="cannot be written") if is_refused else nullcontext():
        file.create(name="", now=NOW)
    assert secret_file.read_text() == "secret"
    assert secret_file.stat().st_uid == 0


# Failures


def failed(failures: Failures, times: int, client: str = "192.0.2.1", now: float = 0.0) -> Failures:
    for _ in range(times):
        failures.note(client, now)
    return failures


@pytest.mark.parametrize(("times", "expected"), [(0, False), (9, False), (10, True), (11, True), (100, True)])
def test_client_is_blocked_after_ten_failures(times: int, expected: bool) -> None:
    assert failed(Failures(), times).is_blocked("192.0.2.1", 0.0) is expected


def test_client_has_ten_failures_in_any_minute() -> None:
    failures, allowed = Failures(), []
    for tick in range(4 * 60 * 5):  # five minutes, four attempts a second
        now = 1000.0 + tick / 4
        if not failures.is_blocked("192.0.2.1", now):
            failures.note("192.0.2.1", now)
            allowed.append(now)
    assert len(allowed) == 5 * MAX_FAILURES
    assert all(b - a >= FAILURES_WITHIN_S for a, b in zip(allowed, allowed[MAX_FAILURES:], strict=False))


def test_slow_failures_block_no_client() -> None:
    failures = Failures()
    for number in range(100):
        assert not failures.is_blocked("192.0.2.1", number * 6.1)
        failures.note("192.0.2.1", number * 6.1)


CLIENTS = [
    ("192.0.2.1", "192.0.2.2", False),
    ("192.0.2.1", "::ffff:192.0.2.1", True),
    ("2001:db8::1", "2001:db8::ffff:0:0:1", True),
    ("2001:db8::1", "2001:db8:0:1::1", False),
    ("fe80::1%eth0", "fe80::1", True),
    ("", "?\0", True),
    ("", "192.0.2.1", False),
]


@pytest.mark.parametrize(("one", "other", "expected"), CLIENTS)
def test_addresses_of_one_client(one: str, other: str, expected: bool) -> None:
    assert failed(Failures(), 10, one).is_blocked(other, 0.0) is expected


def test_success_forgets_failures() -> None:
    failures = failed(Failures(), 9)
    failures.forget("192.0.2.1")
    failures.forget("192.0.2.9")
    assert not failed(failures, 9).is_blocked("192.0.2.1", 0.0)


def test_oldest_client_is_forgotten_over_the_limit() -> None:
    failures = failed(failed(Failures(), 10, "192.0.2.1"), 10, "192.0.2.2")
    failures.note("192.0.2.1", 1.0)
    for number in range(MAX_CLIENTS - 1):
        failures.note(f"2001:db8:0:{number:x}::1", 2.0)
    assert len(failures) == MAX_CLIENTS
    assert failures.is_blocked("192.0.2.1", 3.0)
    assert not failures.is_blocked("192.0.2.2", 3.0)
