"""The sections of `dnsd.yaml`."""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from dnsd.log import Format, Level
from dnsd.model.fields import Cidr, Fields
from dnsd.model.times import parse_duration
from dnsd.model.zone_rules import DEFAULT_LIMITS, MOST_RRSET_OCTETS, MOST_RRSET_RECORDS
from dnsd.net.tls import PairFiles
from dnsd.settings.values import HostName, Listen, Secret, WindowText, split
from dnsd.store.text_file import MAX_FILE_SIZE

MAX_HOSTS = 100
REMOVALS = frozenset({"delete", "revoke", "undelegate", "cancel"})  # ends of actions

Hosts = Annotated[tuple[HostName, ...], BeforeValidator(split), Field(max_length=MAX_HOSTS)]


class TlsSettings(Fields):
    """A certificate and its key."""

    certificate: str = Field(
        description="PEM file with the certificate, then those of its issuers, relative to this file; read again "
        "when it changes"
    )
    key: str = Field(description="PEM file with the private key, without a passphrase; readable by `user`")

    def files(self, config: Path) -> PairFiles:
        """The paths of the files; `config` is the settings file."""
        return PairFiles(config.parent / self.certificate, config.parent / self.key)


class ApiSettings(Fields):
    """The HTTP API and dashboard."""

    listen: Listen = Field(description="address of the HTTP API and the dashboard; without `api`, both are disabled")
    hosts: Hosts = Field(
        default=(),
        description="names of the server in URLs of the API and the dashboard; addresses and localhost are always "
        "accepted",
    )
    tls: TlsSettings | None = None


class MetricsSettings(Fields):
    """Prometheus metrics and health."""

    listen: Listen = Field(description="address of /metrics, /healthz and /readyz; without `metrics`, all are disabled")
    hosts: Hosts = Field(
        default=(),
        description="names of the server in URLs of /metrics, /healthz and /readyz; addresses and localhost are always "
        "accepted",
    )
    tls: TlsSettings | None = None
    token_file: str | None = Field(
        default=None,
        description="file with the bearer token that /metrics then requires, relative to this file; read again when it "
        "changes",
    )

    def token_of(self, config: Path) -> Path | None:
        """The path of the file with the token; `config` is the settings file."""
        return config.parent / self.token_file if self.token_file else None


class RrlSettings(Fields):
    """Response rate limiting: UDP responses of one kind to one client network."""

    responses_per_second: int = Field(
        default=200, ge=0, le=1_000_000, description="limit on UDP responses of one kind to one network; 0 = no limit"
    )
    slip: int = Field(default=2, ge=0, le=10, description="send every n-th response over the limit, with TC; 0 = none")
    ipv4_prefix: int = Field(default=24, ge=1, le=32, description="prefix length of one IPv4 client network")
    ipv6_prefix: int = Field(default=56, ge=1, le=128, description="prefix length of one IPv6 client network")
    log_only: bool = Field(default=False, description="count and log responses over the limit, but send them")
    table_size: int = Field(default=100_000, ge=1_000, le=10_000_000, description="rates in the table, 8 octets each")
    exempt: Annotated[tuple[Cidr, ...], BeforeValidator(split)] = Field(
        default=(ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")),
        description="client networks without a limit",
    )


class TcpSettings(Fields):
    """Limits on TCP connections (RFC 7766, RFC 9210), for all workers together."""

    connections: int = Field(
        default=1000,
        ge=1,
        le=100_000,
        description="limit on open connections; a new one then closes the one idle longest",
    )
    per_client: int = Field(
        default=100, ge=1, le=100_000, description="limit on open connections from one IPv4 address or IPv6 /64"
    )
    per_network: int = Field(
        default=300,
        ge=1,
        le=100_000,
        description="limit on open connections from one IPv4 /24 or IPv6 /56; default: `per_client` if that is more",
    )
    idle_s: float = Field(
        default=10,
        ge=0.1,
        le=3600,
        allow_inf_nan=False,
        description="seconds from the last complete query until the connection is closed",
    )
    first_byte_s: float = Field(
        default=2,
        ge=0.1,
        le=3600,
        allow_inf_nan=False,
        description="seconds that a new connection may stay silent before it is closed",
    )
    queries: int = Field(
        default=1000, ge=1, le=1_000_000, description="limit on queries of one connection, which is then closed"
    )

    @property
    def network_limit(self) -> int:
        """The limit for a network: unless it is given, never below the limit for one client of it."""
        is_given = "per_network" in self.model_fields_set
        return self.per_network if is_given else max(self.per_network, self.per_client)


class CookieSettings(Fields):
    """DNS cookies (RFC 7873, RFC 9018)."""

    enabled: bool = Field(default=True, description="send cookies; clients with a valid one have no rate limit")
    secrets: Annotated[tuple[Secret, ...], BeforeValidator(split), Field(max_length=4, repr=False)] = Field(
        default=(),
        description="16 octets each, in hex; new cookies use the first, all are accepted; default: one random secret",
    )


class OnError(StrEnum):
    """The effect of an error in one account's files on the other accounts."""

    HOLD = "hold"
    REFUSE = "refuse"


class AuditMode(StrEnum):
    """The changes that are refused if their entry in the audit log cannot be written."""

    REQUIRED = "required"
    DELETES = "deletes"
    BEST_EFFORT = "best_effort"

    def applies(self, action: str, *, removes: bool) -> bool:
        """Whether a change needs its entry; `removes` says whether it removes objects or records."""
        if self is AuditMode.DELETES:
            return removes or action.rpartition(".")[2] in REMOVALS
        return self is AuditMode.REQUIRED


class BrakeSettings(Fields):
    """The accounts whose addresses one author may change within a window: the greater of both figures."""

    accounts: int = Field(
        default=25, ge=1, le=10_000_000, description="accounts whose addresses one author may change within the window"
    )
    accounts_percent: int = Field(
        default=5,
        ge=0,
        le=100,
        description="the same in percent of all accounts; the greater counts; 100, or `brake: off` = no brake",
    )


def _parse_brake(value: Any) -> Any:
    return {"accounts_percent": 100} if value is False or value == "off" else value


BrakeChoice = Annotated[
    BrakeSettings,
    BeforeValidator(_parse_brake),
    WithJsonSchema({"anyOf": [{"const": "off"}, BrakeSettings.model_json_schema()]}),
]


class ReloadSettings(Fields):
    """When the files are reloaded, and which changes are refused."""

    watch: bool = Field(default=True, description="reload when a file changes")
    max_drop_percent: int = Field(
        default=30,
        ge=0,
        le=100,
        description="percentage of zones, records or proxied names that a reload may drop, or answer with other "
        "addresses, without --force; 100 = no guard but the brake",
    )
    brake: BrakeChoice = BrakeSettings()
    window: WindowText = Field(
        default="10m", description="time, such as 90s, 10m or 1h, over which the brake adds up each author's changes"
    )

    @property
    def window_s(self) -> int:
        """The window in seconds."""
        return parse_duration(self.window)

    @property
    def brake_limits(self) -> tuple[int, int] | None:
        """The number and the percentage of accounts; None if the brake is off."""
        percent = self.brake.accounts_percent
        return None if percent == 100 else (self.brake.accounts, percent)


class AdvertisementSettings(Fields):
    """Observed routes to the addresses of maps, from routers or monitoring."""

    file: str | None = Field(
        default=None, description="JSON with observed routes, relative to this file; read when it changes"
    )
    max_age_s: float = Field(
        default=300,
        ge=1,
        le=86_400,
        allow_inf_nan=False,
        description="seconds for which an observation counts; after them, a route counts as advertised",
    )
    vrps: str | None = Field(
        default=None,
        description="validated ROA payloads (Routinator's JSON), relative to this file, to validate prefixes",
    )

    @property
    def max_age(self) -> timedelta:
        """How long an observation counts."""
        return timedelta(seconds=self.max_age_s)

    def feed_file(self, config: Path) -> Path | None:
        """The path of the watched file; `config` is the settings file."""
        return config.parent / self.file if self.file else None

    def vrps_file(self, config: Path) -> Path | None:
        """The path of the VRPs; `config` is the settings file."""
        return config.parent / self.vrps if self.vrps else None


class LogSettings(Fields):
    """The log, on standard error."""

    format: Format = Field(default=Format.CONSOLE, description="console: text; json: one object per line")
    level: Level = Field(default=Level.INFO, description="lowest level to log: debug, info, warning or error")


class QueryLogSettings(Fields):
    """Queries in the log."""

    sample: float = Field(
        default=0, ge=0, le=1, allow_inf_nan=False, description="share of queries to log; 0 = none, 1 = all"
    )


class LimitSettings(Fields):
    """Limits on clients, on RRsets and on memory."""

    file_mib: int = Field(
        default=1024,
        ge=1,
        le=MAX_FILE_SIZE // 1024**2,
        description="limit on the file of a zone, in MiB: a larger one is refused, and not read",
    )
    memory_mib: int | None = Field(
        default=None,
        ge=64,
        le=2**30,
        description="memory, in MiB, that all processes together may use: zones that would need more are refused; "
        "default: 80 % of the machine's memory or, in a container, of its limit",
    )
    rrset_records: int = Field(
        default=DEFAULT_LIMITS.records, ge=1, le=MOST_RRSET_RECORDS, description="limit on records of one name and type"
    )
    rrset_octets: int = Field(
        default=DEFAULT_LIMITS.octets,
        ge=512,
        le=MOST_RRSET_OCTETS,
        description="limit on the octets of one RRset in an answer",
    )
    rrl: RrlSettings = RrlSettings()
    cookies: CookieSettings = CookieSettings()
    tcp: TcpSettings = TcpSettings()
