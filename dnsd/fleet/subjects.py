"""The subjects of a fleet's objects: which subject stands for which object, and to which account a subject belongs.

`dnsd.s.<kind>.<account>.…` is state, which edges read; `dnsd.c.…` is read by control alone. A subject consists of
tokens between dots. In a token, an octet outside of `[A-Za-z0-9_-]` is written `=XX`, so that a name with dots is one
token and a name with a wildcard of NATS is none. Each name has one such form. Names of files may have octets that are
not UTF-8; as everywhere in Python, they are lone surrogates in text.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from dnsd.store.directory import FileKind

STATE = "dnsd.s"
CONTROL = "dnsd.c"
META = f"{STATE}.meta"  # the fleet's epoch
SETTINGS = f"{STATE}.set"  # the shared settings
NAMES_GUARD = f"{CONTROL}.names"  # rewritten by each change to the set of names of accounts and zones
SPACE_GUARD = f"{CONTROL}.space"  # rewritten by each change to prefixes, delegations and static IPs
TOKENS_GUARD = f"{CONTROL}.tokens"  # rewritten by each change of tokens, last in its batch
TOKENS = f"{CONTROL}.token."  # how the subjects of tokens begin, which have the token's id,
SESSIONS = f"{CONTROL}.session."  # and those of sessions, which have the digest of the session's secret
PENDING = f"{CONTROL}.x.pending."  # of pending changes, by account and id; the guard of an account has no id
CLAIMS = f"{CONTROL}.lease.pending."  # of a due change that a control makes, by its id
BRAKE = f"{CONTROL}.x.brake."  # of what controls have seen of one author of changes
ALL_STATE = f"{STATE}.>"

OBJECTS = f"{STATE}.o."  # how the subjects of files begin, which have the object's account, kind and name,
BLOCKS = f"{STATE}.b."  # and those of the blocks of large files

SHARED = ""  # the "account" of objects that belong to no account

OCTETS = ("utf-8", "surrogateescape")  # PEP 383, as for names of files
MAX_SUBJECT = 3000  # octets: nats-server's default limit of a control line is 4,096, with subjects of replies
ESCAPED = re.compile(rb"[^A-Za-z0-9_-]")
TOKEN = re.compile(r"(?:[A-Za-z0-9_-]|=[0-9A-F]{2})+")
ESCAPE = re.compile(rb"=([0-9A-F]{2})")

KINDS = {
    FileKind.ACCOUNT: "account",
    FileKind.MAP: "map",
    FileKind.ZONE_YAML: "zone",
    FileKind.ZONE_MASTER: "zonefile",
}
FOLDERS = {FileKind.MAP: "maps", FileKind.ZONE_YAML: "zones", FileKind.ZONE_MASTER: "zones"}  # in an object's key
OF_KIND = {word: kind for kind, word in KINDS.items()}
WITHOUT_ACCOUNT = {"meta", "set", "e"}  # the kinds of shared state; what else follows `dnsd.s.` has an account


class ObjectName(NamedTuple):
    """The key of an object, such as `acme/maps/shop`, and the kind of its file."""

    key: str
    kind: FileKind


def token(name: str) -> str:
    """The token for a name of at least one character. Raises ValueError for an empty name."""
    if not name:
        raise ValueError("a name in a subject has at least one character")
    return ESCAPED.sub(lambda one: b"=%02X" % ord(one[0]), name.encode(*OCTETS)).decode("ascii")


def name_of(text: str) -> str:
    """The name for which a token stands. Raises ValueError for a text that `token` does not make."""
    if TOKEN.fullmatch(text):
        name = ESCAPE.sub(lambda one: bytes([int(one[1], 16)]), text.encode("ascii")).decode(*OCTETS)
        if token(name) == text:  # else it has an escape too many, and two subjects would stand for one object
            return name
    raise ValueError(f"{text!r} is not a token of a subject")


def object_subject(key: str, kind: FileKind) -> str:
    """The subject of an object's file. Raises ValueError for a key that is not of this kind, or too long."""
    account, *rest = key.split("/")
    folder = FOLDERS.get(kind)
    if kind not in KINDS or (rest[:1], len(rest)) != (([folder], 2) if folder else ([], 0)):
        raise ValueError(f"{key!r} is not the key of a file of kind {kind.name}")
    return _subject(STATE, "o", token(account), KINDS[kind], *map(token, rest[1:]))


def object_of(subject: str) -> ObjectName | None:
    """The object for which a subject stands; None for a subject that `object_subject` does not make."""
    parts = subject.split(".")
    if len(parts) not in (5, 6) or parts[:3] != ["dnsd", "s", "o"]:
        return None
    kind = OF_KIND.get(parts[4])
    if kind is None or (kind in FOLDERS) != (len(parts) == 6):
        return None
    try:
        account, names = name_of(parts[3]), [name_of(part) for part in parts[5:]]
    except ValueError:
        return None
    if not all(map(_is_file_name, (account, *names))):
        return None
    return ObjectName("/".join([account, *([FOLDERS[kind]] if names else []), *names]), kind)


def block_prefix(key: str, kind: FileKind) -> str:
    """The subject of a block of an object's file, without the last token: the block's digest as hexadecimal digits.

    Raises ValueError as `object_subject` does.
    """
    return f"{BLOCKS}{object_subject(key, kind).removeprefix(OBJECTS)}."


def head_subject(account: str) -> str:
    """The subject of an account's head, the last message of each commit for it; `SHARED` has one, too."""
    return _subject(STATE, "h", *([token(account)] if account else []))


def op_subject(op: str) -> str:
    """The subject of the marker of one commit, by its id."""
    return _subject(CONTROL, "op", token(op))


def join_subject(digest: str) -> str:
    """The subject of a code that lets an edge in, by the digest of the code's secret."""
    return _subject(CONTROL, "join", token(digest))


def left_subject(key: str) -> str:
    """The subject of the note that an edge has left, by the public key of its papers."""
    return _subject(CONTROL, "left", token(key))


def account_of_subject(subject: str) -> str:
    """The account to whose state a subject belongs, also for kinds of later versions; `SHARED` if to none.

    Raises ValueError for a subject that is not state, or whose account is not a token.
    """
    parts = subject.split(".")
    if parts[:2] != ["dnsd", "s"] or len(parts) < 3 or not all(map(TOKEN.fullmatch, parts)):
        raise ValueError(f"{subject!r} is not a subject of a fleet's state")
    return SHARED if len(parts) == 3 or parts[2] in WITHOUT_ACCOUNT else name_of(parts[3])


def is_state(subject: str) -> bool:
    """Whether a subject is one of state, of this or a later version: `account_of_subject` gives its account."""
    try:
        account_of_subject(subject)
    except ValueError:
        return False
    return True


def _is_file_name(name: str) -> bool:
    """Whether a folder can have an entry of this name, so that no export leaves its folder."""
    return name not in (".", "..") and "/" not in name and "\0" not in name


def _subject(*tokens: str) -> str:
    subject = ".".join(tokens)
    if len(subject) > MAX_SUBJECT:
        raise ValueError(f"a subject of {len(subject):,} octets; the limit is {MAX_SUBJECT:,}")
    return subject
