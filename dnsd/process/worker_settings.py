"""The workers' settings: plain values, sent by control as JSON at the start and after each change."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from ipaddress import ip_network
from typing import Any, Self

from dnsd.log import Format, Level
from dnsd.net.limits import RateLimits
from dnsd.net.places import PlaceLimits
from dnsd.net.tcp_connection import TcpLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """All settings of a worker. Its data is in the snapshot."""

    rates: RateLimits
    cookies: bool
    cookie_secrets: tuple[bytes, ...]  # if empty, workers use the secret made at the server's start
    tcp: TcpLimits  # of one connection
    tcp_places: PlaceLimits
    query_sample: float  # share of queries to log, 0 to 1
    log_format: Format
    log_level: Level

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON data, for `from_json`."""
        rates = asdict(self.rates) | {"exempt": [str(network) for network in self.rates.exempt]}
        secrets = [secret.hex() for secret in self.cookie_secrets]
        tcp, places = asdict(self.tcp), asdict(self.tcp_places)
        plain = {name: getattr(self, name) for name in PLAIN}
        return plain | {"rates": rates, "cookie_secrets": secrets, "tcp": tcp, "tcp_places": places}

    @classmethod
    def from_json(cls, octets: bytes) -> Self:
        """Read settings written by `to_json`."""
        data = json.loads(octets)
        rates = data["rates"]
        return cls(
            **{name: data[name] for name in PLAIN} | {"log_format": Format(data["log_format"])},
            rates=RateLimits(**rates | {"exempt": tuple(map(ip_network, rates["exempt"]))}),
            cookie_secrets=tuple(map(bytes.fromhex, data["cookie_secrets"])),
            tcp=TcpLimits(**data["tcp"]),
            tcp_places=PlaceLimits(**data["tcp_places"]),
        )


# Fields written to JSON unchanged.
PLAIN = ("cookies", "query_sample", "log_format", "log_level")
