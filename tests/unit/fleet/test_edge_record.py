"""The records of edges: what is packed comes back, and what no version writes is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dnsd.fleet.edge_record import EdgeRecord, edge_subject, parse_edge_record
from dnsd.fleet.subjects import SHARED, account_of_subject, is_state
from dnsd.fleet.values import LaterValueError, ValueFormatError


@pytest.mark.parametrize("record", [EdgeRecord("UABC"), EdgeRecord("UABC", 2, "Zürich, rack 4", is_drained=True)])
def test_a_record_comes_back(record: EdgeRecord) -> None:
    assert parse_edge_record(record.packed()) == record


def test_a_record_is_state_of_no_account() -> None:
    subject = edge_subject("pop-1")
    assert subject == "dnsd.s.e.pop-1"
    assert is_state(subject)
    assert account_of_subject(subject) == SHARED


@pytest.mark.parametrize(
    "change",
    [{"v": True}, {"key": 1}, {"ring": -1}, {"ring": 10}, {"ring": True}, {"label": "x" * 65}, {"drained": 1}],
    ids=str,
)
def test_what_no_version_writes_is_refused(change: dict[str, Any]) -> None:
    content = json.loads(EdgeRecord("UABC").packed())
    with pytest.raises(ValueFormatError):
        parse_edge_record(json.dumps({**content, **change}).encode())


def test_a_record_of_a_later_version_is_named() -> None:
    with pytest.raises(LaterValueError, match="version 2"):
        parse_edge_record(b'{"v":2,"key":"UABC"}')
