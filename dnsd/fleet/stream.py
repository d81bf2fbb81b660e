"""The stream that holds a fleet's state: made by a control, and refused in words if it is another one.

Its settings are what commits rely on: one message for each subject, batches that are stored whole or not at all, and
messages that nobody deletes. Requests are raw, as the types of nats-py lack fields.
"""

from __future__ import annotations

from typing import Any

from dnsd.fleet.link import EngineRefusedError, Link
from dnsd.fleet.subjects import ALL_STATE, CONTROL

STREAM = "DNSD"
MAX_MESSAGE = 1024 * 1024  # octets
NOT_FOUND = 10059  # no stream of this name
MAKE_S = 5.0  # in the first seconds of a cluster, a request may take that long
NEEDED: dict[str, Any] = {
    "subjects": [ALL_STATE, f"{CONTROL}.>"],
    "storage": "file",
    "retention": "limits",
    "max_msgs_per_subject": 1,
    "max_age": 0,
    "discard": "new",
    "allow_atomic": True,
    "allow_msg_ttl": True,
    "allow_direct": True,
    "deny_delete": True,
    "deny_purge": True,
}


async def check_stream(link: Link) -> int:
    """The number of servers that keep the stream, 0 without it.

    Raises EngineRefusedError if it is not a fleet's; NoAnswerError.
    """
    try:
        return _checked(await link.ask(f"$JS.API.STREAM.INFO.{STREAM}", within_s=MAKE_S))
    except EngineRefusedError as error:
        if error.code == NOT_FOUND:
            return 0
        raise


async def make_stream(link: Link, replicas: int) -> int:
    """Make the stream, kept by `replicas` servers, if it is missing; the number of servers that keep it.

    Raises EngineRefusedError, and NoAnswerError: then ask again.
    """
    if found := await check_stream(link):
        return found
    config = {"name": STREAM, "num_replicas": replicas, "max_msg_size": MAX_MESSAGE, **NEEDED}
    return _checked(await link.ask(f"$JS.API.STREAM.CREATE.{STREAM}", config, within_s=MAKE_S))


def _checked(info: dict[str, Any]) -> int:
    """The number of servers that keep a stream. Raises EngineRefusedError if it is not a fleet's."""
    config = info.get("config")
    found = config if isinstance(config, dict) else {}
    if wrong := [name for name, value in NEEDED.items() if found.get(name) != value]:
        shown = ", ".join(f"{name} is {found.get(name)}" for name in wrong)
        raise EngineRefusedError(f"the stream {STREAM} is not one of a fleet of dnsd ({shown}); nothing was written")
    replicas = found.get("num_replicas")
    return replicas if isinstance(replicas, int) and replicas > 0 else 1
