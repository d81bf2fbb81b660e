"""When a command gives up the fetch of a fleet's state; no servers."""

from __future__ import annotations

import asyncio

import pytest

from dnsd.fleet import fetch
from dnsd.fleet.fetch import NotFetchedError, _caught_up


class Stalled:
    """A follower that gets no further after two accounts, because of `reason`; without one, all comes in the end."""

    def __init__(self, said: list[str], reason: str) -> None:
        self.heads: dict[str, int] = {}
        self.is_caught_up = False
        self._said, self._reason = said, reason

    async def run(self) -> None:
        for account in ("a", "b"):
            await asyncio.sleep(0.05)
            self.heads[account] = 1
        if self._reason:
            self._said.append(self._reason)
        await asyncio.sleep(0.5)
        self.is_caught_up = not self._reason
        await asyncio.Event().wait()


@pytest.mark.parametrize("reason", ["no server of the fleet can be reached", ""])
def test_a_fetch_that_stalls_is_given_up_with_its_reason(monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
    monkeypatch.setattr(fetch, "STALLED_S", 0.2)
    said = [""]
    fetched = _caught_up(Stalled(said, reason), lambda: True, said)  # type: ignore[arg-type]
    if reason:
        with pytest.raises(NotFetchedError, match=f"the fleet's state does not come: {reason}"):
            asyncio.run(fetched)
    else:
        asyncio.run(fetched)
