"""Words of the API about a fleet that commands know, too."""

from __future__ import annotations

WAIT, FLEET = "wait", "fleet"  # in a query: answer once every healthy edge serves the change
WAITED_S = 10.0
NOT_EVERYWHERE = "it is saved, but not every edge serves it yet"  # how a message begins
MAX_NAMED = 20  # edges in it


def not_everywhere(late: list[str], *, names: bool) -> str:
    """The message about the edges that are late, with their names or only their number."""
    if not names:
        return f"{NOT_EVERYWHERE}: {len(late):,} {'is' if len(late) == 1 else 'are'} late"
    more = f" and {len(late) - MAX_NAMED:,} more" if len(late) > MAX_NAMED else ""
    return f"{NOT_EVERYWHERE}: {', '.join(late[:MAX_NAMED])}{more}"
