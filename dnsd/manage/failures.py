"""The limit on failed authentications of one client."""

from __future__ import annotations

from collections import OrderedDict

from dnsd.wire.addresses import packed_ip

MAX_FAILURES = 10  # of one client
FAILURES_WITHIN_S = 60.0
MAX_CLIENTS = 10_000  # remembered


class Failures:
    """Failed authentications: a client, an IPv4 address or an IPv6 /64, may have ten within a minute.

    At most MAX_CLIENTS are remembered; the clients with the oldest failures are forgotten first. Times are monotonic,
    in seconds.
    """

    def __init__(self) -> None:
        self._times: OrderedDict[bytes, tuple[float, ...]] = OrderedDict()  # latest failures by client, oldest first

    def __len__(self) -> int:
        """The number of remembered clients."""
        return len(self._times)

    def is_blocked(self, client: str, now: float) -> bool:
        """Whether a client has failed too often."""
        times = self._times.get(_network(client), ())
        return len(times) == MAX_FAILURES and now - times[0] < FAILURES_WITHIN_S

    def note(self, client: str, now: float) -> None:
        """Count a failure."""
        network = _network(client)
        self._times[network] = (*self._times.get(network, ()), now)[-MAX_FAILURES:]
        self._times.move_to_end(network)
        if len(self._times) > MAX_CLIENTS:
            self._times.popitem(last=False)

    def forget(self, client: str) -> None:
        """Forget the failures of a client, after a success."""
        self._times.pop(_network(client), None)


def _network(client: str) -> bytes:
    """The key of a client: its IPv4 address or IPv6 /64; all invalid addresses count as one client."""
    try:
        return packed_ip(client)[:8]  # RFC 4291 §2.5.4: a network has a /64
    except (OSError, ValueError):
        return b""
