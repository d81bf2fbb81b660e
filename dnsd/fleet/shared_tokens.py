"""The tokens of a fleet: each is an object that its controls share, with the hash of its secret.

Rules are about all tokens at once (quotas, lines of descent), so all changes of tokens have one guard, and take turns.
A token that a later version wrote gives no access here, and stays.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial

from dnsd.fleet.shared_copy import SharedCopy
from dnsd.fleet.shared_writes import MOST_WRITES, SharedWrites
from dnsd.fleet.subjects import TOKENS, TOKENS_GUARD, token
from dnsd.fleet.writer import SharedWrite
from dnsd.manage.token_format import FORMAT, MAX_LINE, KeptToken, ReadToken, parse_entry, token_entry_data, with_parents
from dnsd.manage.token_port import TokenContent, TokenEdit
from dnsd.process.tasks import in_thread


class SharedTokens:
    """The tokens in a copy, read anew when it has changed; and changes of them."""

    def __init__(self, copy: SharedCopy, writes: SharedWrites) -> None:
        self._copy = copy
        self._writes = writes
        self._of: dict[str, tuple[int, ReadToken | None]] = {}  # by subject, with the number of its message
        self._known: tuple[tuple[int, int], TokenContent, tuple[str, ...]] = ((-1, 0), TokenContent(), ())

    @property
    def has_come(self) -> bool:
        """Whether the fleet has tokens, or had, and the copy has them."""
        return self._copy.seq(TOKENS_GUARD) > 0

    def content(self) -> TokenContent:
        """All tokens, in order of creation."""
        return self._read()[1]

    def orphans(self) -> tuple[str, ...]:
        """The subjects of tokens of whose line of descent one is gone: they are revoked, and can go."""
        return self._read()[2]

    async def change(self, edit: TokenEdit, *, is_begun: bool = False) -> None:
        """Make a change; `edit` runs in a thread, and again if others came first. On return, the copy has it.

        With `is_begun`, the guard is written even if nothing changes. Raises what `edit` raises, and as `SharedWrites`.
        """

        async def draw_up(seq: int) -> Sequence[SharedWrite] | None:
            content = self.content()
            writes = [*_writes(content, await in_thread(partial(edit, content)))]
            if writes:
                return writes + [SharedWrite(one, None) for one in self.orphans()[:MOST_WRITES]]
            return [] if is_begun and not seq else None

        await self._writes.change(TOKENS_GUARD, draw_up)

    async def settle(self) -> None:
        """Have the last tokens, and know what became of each change. Raises StoreAwayError."""
        await self._writes.settle(TOKENS_GUARD)

    def _read(self) -> tuple[tuple[int, int], TokenContent, tuple[str, ...]]:
        version = self._copy.version(TOKENS)
        if self._known[0] != version:
            before, found = self._of, dict[str, tuple[int, ReadToken | None]]()
            for subject, kept in self._copy.objects.copy().items():
                if subject.startswith(TOKENS):
                    old = before.get(subject)
                    found[subject] = old if old and old[0] == kept.seq else (kept.seq, parse_token(kept.value))
            own = (one for subject, (_, one) in found.items() if one and token_subject(one[0].token.id) == subject)
            read = sorted(own, key=_order)
            content = TokenContent.of(with_parents(read))
            parents = {one.token.id: parent for one, parent in read}
            broken = (one for one in parents if one not in content.tokens and _is_orphan(one, parents, found))
            orphans = tuple(map(token_subject, broken))
            self._of, self._known = found, (version, content, orphans)
        return self._known


def token_subject(token_id: str) -> str:
    """The subject of a token."""
    return TOKENS + token(token_id)


def pack_token(entry: KeptToken) -> bytes:
    """The value of a token, with the version of its form."""
    return json.dumps({"v": FORMAT, "token": token_entry_data(entry)}).encode()


def parse_token(value: bytes) -> ReadToken | None:
    """The token of a value; None if this version cannot read it: an unknown key never widens a token's access."""
    try:
        found = json.loads(value)
        return parse_entry(found["token"], found["v"]) if found.keys() == {"v", "token"} else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _writes(before: TokenContent, after: Sequence[KeptToken]) -> Iterator[SharedWrite]:
    """What makes the one the other: of the tokens that go, those from which others were made are the first."""
    old = {one.token.id: one for one in before.entries.values()}
    new = {one.token.id for one in after}
    gone = [one.token for token_id, one in old.items() if token_id not in new]
    for one in sorted(gone, key=lambda one: len([*one.line])):
        yield SharedWrite(token_subject(one.id), None)
    for entry in sorted(after, key=lambda one: len([*one.token.line])):
        known = old.get(entry.token.id)
        if entry is not known and (known is None or token_entry_data(entry) != token_entry_data(known)):
            yield SharedWrite(token_subject(entry.token.id), pack_token(entry))


def _is_orphan(token_id: str, parents: Mapping[str, str | None], there: Container[str]) -> bool:
    """Whether a token of its line is gone; one that this version cannot read is not."""
    line: str | None = token_id
    for _ in range(MAX_LINE):
        if line is None or (line not in parents and token_subject(line) in there):
            return False
        if line not in parents:
            return True
        line = parents[line]
    return False


def _order(read: ReadToken) -> tuple[datetime, str]:
    return read[0].token.created_at, read[0].token.id
