"""The sessions of the dashboard: what is kept of them."""

from __future__ import annotations

import json
import pathlib
from datetime import UTC, datetime, timedelta

import pytest

from dnsd.dashboard.sessions import MAX_SESSIONS, Sessions
from dnsd.manage.session_file import SessionFile
from dnsd.manage.session_port import LIFETIME
from dnsd.manage.state_names import SESSIONS
from dnsd.manage.token_file import TokenFile

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("end", ["roll", "revoke"])
def test_tokens_that_end_leave_no_sessions(tmp_path: pathlib.Path, end: str) -> None:
    tokens = TokenFile(tmp_path)
    sessions = Sessions(SessionFile(tmp_path), tokens)
    other, other_secret = tokens.create(name="other", now=NOW)
    kept = sessions.begin(other, other_secret, NOW)
    token, secret = tokens.create(name="tenant", now=NOW)
    for number in range(5):
        for _ in range(MAX_SESSIONS):
            last = sessions.begin(token, secret, NOW + timedelta(minutes=number))
        if end == "roll":
            _, secret = tokens.roll(token.id)
        else:
            tokens.revoke(token.id)
            token, secret = tokens.create(name="tenant", now=NOW)
        assert sessions.find(last.secret, NOW) is None
    sessions.begin(token, secret, NOW)
    assert len(json.loads((tmp_path / SESSIONS).read_bytes())) == 2
    assert sessions.find(kept.secret, NOW) == kept
    assert sessions.find(kept.secret, NOW + LIFETIME) is None
