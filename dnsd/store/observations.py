"""Observed routes in files: those kept in the state folder, and the feed in the watched file."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dnsd.model.fields import parse_network, validate
from dnsd.model.observed import FeedFields, Observation, Observed, observation_data
from dnsd.model.times import parse_time
from dnsd.store.kept_file import read_kept, read_octets
from dnsd.whole_file import replacing

FILE_NAME = "observed"  # in the state folder
MAX_SIZE = 4 * 1024 * 1024  # octets of a feed
MAX_KEPT_SIZE = 16 * 1024 * 1024  # octets of the kept file


class UnusableFileError(ValueError):
    """A file of routes that cannot be used; the message says why."""


def load_observed(folder: Path) -> Observed | None:
    """The kept observations; None without a file. Raises OSError, or UnusableFileError for a damaged file."""
    try:
        octets = _read(folder / FILE_NAME, MAX_KEPT_SIZE)
    except FileNotFoundError:
        return None
    try:
        return _parsed_all(octets)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise UnusableFileError("the file is damaged") from None


def load_own(folder: Path) -> Observed | None:
    """The same for the server itself, which moves a damaged file aside. Raises OSError and DamagedFileError."""
    try:
        return read_kept(folder / FILE_NAME, _parsed_all, most=MAX_KEPT_SIZE)
    except FileNotFoundError:
        return None


def save_observed(folder: Path, observed: Observed) -> None:
    """Keep the observations. Raises OSError."""
    data = [observation_data(network, one) for network, one in observed.by_network.items()]
    with replacing(folder / FILE_NAME, is_synced=False) as out:  # it outlives processes; a new feed follows a crash
        out.write(json.dumps(data).encode())


def load_feed(path: Path) -> FeedFields:
    """The feed in a file; without its own time it has the file's. Raises OSError and UnusableFileError."""
    modified = datetime.fromtimestamp(os.stat(path).st_mtime, UTC)
    octets = _read(path, MAX_SIZE)
    try:
        data = json.loads(octets)
    except (ValueError, RecursionError):
        raise UnusableFileError("it is not JSON") from None
    feed, problems = validate(FeedFields, data, "")
    if feed is None:
        raise UnusableFileError(str(problems[0]))
    return feed if feed.observed_at else feed.model_copy(update={"observed_at": modified})


def _read(path: Path, most: int) -> bytes:
    """The content of a regular file; a pipe would wait for a writer. Raises OSError and UnusableFileError."""
    try:
        return read_octets(path, most)
    except ValueError:
        raise UnusableFileError(f"it is not a regular file, or larger than {most:,} octets") from None


def _parsed_all(octets: bytes) -> Observed:
    listed = json.loads(octets)
    if not isinstance(listed, list):
        raise TypeError
    return Observed(dict(map(_parsed, listed)))


def _parsed(data: Any) -> tuple[Any, Observation]:
    advertised, source = data["advertised"], data["source"]
    if not isinstance(advertised, bool) or not isinstance(source, str):
        raise ValueError("not an observation")
    return parse_network(data["cidr"]), Observation(advertised, parse_time(data["at"]), source)
