"""The routes of the watched file: kept over a second load, and parsed once for each change of the file."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path

import pytest

from dnsd.control import kept_routes
from dnsd.control.kept_routes import KeptRoutes
from dnsd.log import Log
from dnsd.model.observed import SLACK, FeedFields
from dnsd.store.observations import FILE_NAME, UnusableFileError, load_feed, load_observed

NETWORK = ip_network("203.0.113.0/24")


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The watched file, once for each time that it is parsed."""
    paths = []

    def counted(path: Path) -> FeedFields:
        paths.append(path)
        return load_feed(path)

    monkeypatch.setattr(kept_routes, "load_feed", counted)
    return paths


def feed(observed_at: datetime | None = None) -> str:
    at = {"observed_at": observed_at.isoformat()} if observed_at else {}
    return json.dumps({"routes": [{"cidr": str(NETWORK), "advertised": False}], **at})


def test_a_second_load_keeps_the_routes_of_the_watched_file(tmp_path: Path) -> None:
    file = tmp_path / "routes.json"
    file.write_text(feed())
    routes = KeptRoutes(tmp_path, Log())
    for read in (routes.read_file, routes.load, routes.load):
        read(file)
        assert [*routes.observed.by_network] == [NETWORK]


def test_an_unusable_file_is_parsed_once(tmp_path: Path, parsed: list[Path]) -> None:
    file = tmp_path / "routes.json"
    routes = KeptRoutes(tmp_path, Log())
    for text in ("[]", "{", feed()):
        file.write_text(text)
        for _ in range(3):
            routes.read_file(file)
    assert len(parsed) == 3
    assert [*routes.observed.by_network] == [NETWORK]


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    """Opening a pipe would wait for a writer, and with it every load."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", 1 << 40)
    for name in ("pipe", "large"):
        with pytest.raises(UnusableFileError, match="not a regular file, or larger than"):
            load_feed(tmp_path / name)
    os.mkfifo(tmp_path / FILE_NAME)
    with pytest.raises(UnusableFileError):
        load_observed(tmp_path)


def test_a_feed_of_the_near_future_is_parsed_once_and_taken_in_its_time(
    tmp_path: Path, parsed: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "routes.json"
    file.write_text(feed(datetime.now(UTC) + 2 * SLACK))
    routes = KeptRoutes(tmp_path, Log())
    routes.read_file(file)
    assert not routes.observed.by_network

    monkeypatch.setattr("dnsd.model.observed.SLACK", 3 * SLACK)  # as if time passed
    routes.read_file(file)
    assert [*routes.observed.by_network] == [NETWORK]
    assert len(parsed) == 1
