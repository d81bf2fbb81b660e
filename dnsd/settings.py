"""The server's settings: one YAML file, whose keys the environment can override (docs/settings.md)."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema

from dnsd.compile.build import Options
from dnsd.cores import usable_cores
from dnsd.errors import InvalidDataError, Place, Problem
from dnsd.errors import Path as KeyPath
from dnsd.formats.yaml_text import Data, YamlError, parse_yaml
from dnsd.log import Format, Level
from dnsd.model.fields import Cidr, Fields, Host, Ip, IPAddress, validate
from dnsd.model.maps import MAX_ADDRESSES, MissingFamily
from dnsd.model.records import MAX_STRING
from dnsd.model.times import parse_duration
from dnsd.model.zone_rules import DEFAULT_LIMITS, MOST_RRSET_OCTETS, MOST_RRSET_RECORDS, RrsetLimits
from dnsd.net.listen import Address
from dnsd.net.tcp_connection import TcpLimits
from dnsd.net.udp import Udp
from dnsd.process.worker_settings import RateLimits, WorkerSettings
from dnsd.store.text_file import NotTextError, read_text

PREFIX = "DNSD_"
# Variables that are not settings: other ones of dnsd, and those set by Kubernetes for a service named dnsd.
NOT_SETTINGS = ("DNSD_CONFIG", "DNSD_API_URL", "DNSD_API_TOKEN", "DNSD_SERVICE_", "DNSD_PORT")
DEFAULT_DATA = "accounts"
DEFAULT_STATE = "state"
DNS_PORT = 53
MAX_WORKERS = 1024
SECRET_SIZE = 16  # octets, RFC 9018 §4.4
MAX_WINDOW_S = 24 * 3600
MAX_NSID = 128  # octets: fits into 512 with the longest question


def _parse_listen(value: Any) -> Address:
    if isinstance(value, Address):
        return value
    text = str(value)
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]") or (":" in host and not host.startswith("[")):
        host, port = text, str(DNS_PORT)
    try:
        ip = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
        if not (port.isascii() and port.isdigit() and int(port) <= 65_535):
            raise ValueError
    except ValueError:
        raise ValueError(f"{text!r} is not an address to listen on, such as 127.0.0.1:5300 or [::1]:5300") from None
    return Address(str(ip), int(port))


def _at_most(limit: int) -> Callable[[str], str]:
    def check(text: str) -> str:
        if (size := len(text.encode())) > limit:
            raise ValueError(f"has {size} octets; the limit is {limit}")
        return text

    return check


def _distinct(ips: tuple[IPAddress, ...]) -> tuple[IPAddress, ...]:
    for index, ip in enumerate(ips):
        if ip in ips[:index]:
            raise ValueError(f"{ip} is listed twice")
    return ips


def _parse_workers(value: Any) -> int | Literal["auto"]:
    text = str(value)
    if text == "auto":
        return "auto"
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MAX_WORKERS):
        raise ValueError(f"expected auto, or a number from 1 to {MAX_WORKERS}, found {text[:20]!r}")
    return int(text)


def _split(value: Any) -> Any:
    """A list written as one text, such as `a, b` in an environment variable, as its parts."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _parse_secret(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        secret = bytes.fromhex(str(value))
    except ValueError:
        secret = b""
    if len(secret) != SECRET_SIZE:
        raise ValueError(f"expected {SECRET_SIZE} octets as {2 * SECRET_SIZE} hexadecimal digits")  # never shown
    return secret


Secret = Annotated[
    bytes,
    PlainValidator(_parse_secret),
    PlainSerializer(bytes.hex, return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^[0-9a-fA-F]{32}$"}),
]
Listen = Annotated[Address, BeforeValidator(_parse_listen), WithJsonSchema({"type": "string"})]
Workers = Annotated[
    int | Literal["auto"],
    PlainValidator(_parse_workers),
    WithJsonSchema({"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1, "maximum": MAX_WORKERS}]}),
]
Name = Annotated[str, AfterValidator(_at_most(MAX_STRING)), Field(max_length=MAX_STRING)]
Nsid = Annotated[str, AfterValidator(_at_most(MAX_NSID)), Field(max_length=MAX_NSID)]


class ApiSettings(Fields):
    """The HTTP API and dashboard."""

    listen: Listen = Field(description="address of the HTTP API and the dashboard; without `api`, both are disabled")


class MetricsSettings(Fields):
    """Prometheus metrics and health."""

    listen: Listen = Field(description="address of /metrics, /healthz and /readyz; without `metrics`, all are disabled")


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
    exempt: Annotated[tuple[Cidr, ...], BeforeValidator(_split)] = Field(
        default=(ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")),
        description="client networks without a limit",
    )


class TcpSettings(Fields):
    """Limits on TCP connections (RFC 7766, RFC 9210), for all workers together."""

    connections: int = Field(
        default=1000, ge=1, le=100_000, description="limit on open connections; further ones are closed at once"
    )
    per_client: int = Field(
        default=100, ge=1, le=100_000, description="limit on open connections from one IPv4 address or IPv6 /64"
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


class CookieSettings(Fields):
    """DNS cookies (RFC 7873, RFC 9018)."""

    enabled: bool = Field(default=True, description="send cookies; clients with a valid one have no rate limit")
    secrets: Annotated[tuple[Secret, ...], BeforeValidator(_split), Field(max_length=4, repr=False)] = Field(
        default=(),
        description="16 octets each, in hex; new cookies use the first, all are accepted; default: one random secret",
    )


class OnError(StrEnum):
    """The effect of an error in one account's files on the other accounts."""

    HOLD = "hold"
    REFUSE = "refuse"


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


def _parse_window(value: Any) -> str:
    seconds = parse_duration(str(value))
    if not 1 <= seconds <= MAX_WINDOW_S:
        raise ValueError(f"expected a time from 1s to {MAX_WINDOW_S // 3600}h, found {value!r}")
    return str(value)


BrakeChoice = Annotated[
    BrakeSettings,
    BeforeValidator(_parse_brake),
    WithJsonSchema({"anyOf": [{"const": "off"}, BrakeSettings.model_json_schema()]}),
]
WindowText = Annotated[
    str, BeforeValidator(_parse_window), WithJsonSchema({"type": "string", "pattern": "^[1-9][0-9]{0,6}[smh]$"})
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
    """Limits on clients and on RRsets."""

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


class Settings(Fields):
    """`dnsd.yaml`."""

    listen: Annotated[tuple[Listen, ...], BeforeValidator(_split), Field(min_length=1)] = Field(
        default=(Address("127.0.0.1", 5300), Address("::1", 5300)),
        description="addresses for DNS over UDP and TCP; port 0 = a free port, printed at the start",
    )
    workers: Workers = Field(default="auto", description="number of worker processes; auto = one per usable core")
    default_addresses: Annotated[
        tuple[Ip, ...],
        BeforeValidator(_split),
        AfterValidator(_distinct),
        Field(min_length=1, max_length=MAX_ADDRESSES),
    ] = Field(description="default anycast pool, for proxied names not covered by an address map")
    data: str = Field(default=DEFAULT_DATA, description="folder of the accounts, relative to this file")
    missing_family: MissingFamily = Field(
        default=MissingFamily.NODATA,
        description="for queries of an address family that the map lacks: nodata, or fallback to the next map",
    )
    nameservers: Annotated[tuple[Host, ...], BeforeValidator(_split)] = Field(
        default=(), description="apex NS of YAML zones without their own"
    )
    version: Name | None = Field(default=None, description="answer to version.bind CH TXT")
    identity: Name | None = Field(default=None, description="answer to id.server and hostname.bind CH TXT")
    nsid: Nsid | None = Field(default=None, description="name server identifier (NSID, RFC 5001)")
    api: ApiSettings | None = None
    metrics: MetricsSettings | None = None
    state: str | None = Field(
        default=None,
        description="folder of the snapshot, tokens, history and audit log, relative to this file; default: "
        "$STATE_DIRECTORY, else `state`",
    )
    user: str | None = Field(default=None, description="user to switch to after binding, when started as root")
    group: str | None = Field(default=None, description="group to switch to after binding; default: the user's")
    udp: Udp = Field(
        default=Udp.AUTO, description="batch: the compiled loop; portable: pure Python; auto: batch where available"
    )
    on_error: OnError = Field(
        default=OnError.HOLD,
        description="hold: an account with errors stays at its last good version, others are updated; refuse: an error "
        "in any account refuses the whole reload",
    )
    reload: ReloadSettings = ReloadSettings()
    advertisement: AdvertisementSettings = AdvertisementSettings()
    log: LogSettings = LogSettings()
    query_log: QueryLogSettings = QueryLogSettings()
    limits: LimitSettings = LimitSettings()

    @property
    def for_workers(self) -> WorkerSettings:
        """The settings for workers, which take them over at a reload."""
        rrl, cookies, tcp = self.limits.rrl, self.limits.cookies, self.limits.tcp
        return WorkerSettings(
            rates=RateLimits(
                responses_per_second=rrl.responses_per_second,
                slip=rrl.slip,
                ipv4_prefix=rrl.ipv4_prefix,
                ipv6_prefix=rrl.ipv6_prefix,
                exempt=rrl.exempt,
                log_only=rrl.log_only,
            ),
            cookies=cookies.enabled,
            cookie_secrets=cookies.secrets,
            tcp=TcpLimits(idle_s=tcp.idle_s, first_byte_s=tcp.first_byte_s, queries=tcp.queries),
            tcp_connections=tcp.connections,
            tcp_per_client=tcp.per_client,
            query_sample=self.query_log.sample,
            log_format=self.log.format,
            log_level=self.log.level,
        )

    @property
    def worker_count(self) -> int:
        """The number of workers: by default, one per core that this process may use."""
        return usable_cores() if self.workers == "auto" else self.workers

    @property
    def rrset_limits(self) -> RrsetLimits:
        """The limits on the records of one name and type."""
        return RrsetLimits(self.limits.rrset_records, self.limits.rrset_octets)

    @property
    def options(self) -> Options:
        """The settings that are compiled into the snapshot."""
        return Options(self.default_addresses, self.missing_family, self.version, self.identity, self.nsid)


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """The settings, and a function that gives later problems with them their place in the file."""

    settings: Settings
    locate: Callable[[Problem], Problem]


class InvalidSettingsError(InvalidDataError):
    """Invalid settings; `data` and `state` are the folders named in them, as far as they can be read."""

    def __init__(self, problems: Iterable[Problem], data: str, state: str | None) -> None:
        super().__init__(problems)
        self.data = data
        self.state = state


def load_settings(file: Path, environment: Mapping[str, str] = os.environ) -> SettingsFile:
    """The settings in `file`, overridden by the environment. Raises InvalidDataError with every problem."""
    places: dict[KeyPath, tuple[int, int]] = {}
    written_data = _read(file, places)
    variables = _overrides(environment)

    def locate(problem: Problem) -> Problem:
        return _located(problem, str(file), places, variables)

    written = _overridden(written_data, variables)
    settings, problems = validate(Settings, written, str(file))
    if settings is None:
        folders = [written.get(key) if isinstance(written, dict) else None for key in ("data", "state")]
        data, state = (folder if isinstance(folder, str) else None for folder in folders)
        raise InvalidSettingsError(map(locate, problems), data or DEFAULT_DATA, state)
    return SettingsFile(settings, locate)


def _read(file: Path, places: dict[KeyPath, tuple[int, int]]) -> Data:
    try:
        return parse_yaml(read_text(file), places=places)
    except OSError as error:
        found = [(1, 1, f"cannot be read: {error.strerror}; give a file with -c or $DNSD_CONFIG")]
    except NotTextError as error:
        found = [(error.line, error.column, str(error))]
    except YamlError as error:
        found = [(line, column, message) for line, column, message in error.problems]
    raise InvalidDataError(
        Problem(str(file), (), message, place=Place(str(file), line, column)) for line, column, message in found
    )


Variables = Mapping[KeyPath, tuple[str, Data]]  # key -> name and value of the variable


def _overrides(environment: Mapping[str, str]) -> Variables:
    """`DNSD_API__LISTEN=…` overrides `api: {listen: …}`; a value may be YAML, such as a list."""
    return {
        tuple(name.removeprefix(PREFIX).lower().split("__")): (name, _value(text))
        for name, text in sorted(environment.items())
        if name.startswith(PREFIX) and not name.startswith(NOT_SETTINGS) and text
    }


def _value(text: str) -> Data:
    """The text parsed as YAML if that gives a list, a mapping or null; else the text itself."""
    try:
        data = parse_yaml(text)
    except YamlError:
        return text  # such as [::1]:53
    return text if isinstance(data, str) else data


def _overridden(data: Data, variables: Variables) -> Data:
    if not isinstance(data, dict):
        return data
    merged: dict[str, Data] = dict(data)
    for path, (_, value) in variables.items():
        inner = merged
        for step in path[:-1]:
            below = inner.get(str(step))
            inner[str(step)] = copy = dict(below) if isinstance(below, dict) else {}
            inner = copy
        inner[str(path[-1])] = value
    return merged


def _located(problem: Problem, file: str, places: Mapping[KeyPath, tuple[int, int]], variables: Variables) -> Problem:
    """The problem with its place in the file, or with the name of the variable that caused it."""
    path = problem.path
    for key, (name, _) in variables.items():
        if path and (path[: len(key)] == key or key[: len(path)] == path):
            return replace(problem, source=f"${name}")
    while path and path not in places:
        path = path[:-1]
    return replace(problem, place=Place(file, *places.get(path, (1, 1))))


def state_folder(file: Path, environment: Mapping[str, str] = os.environ) -> Path:
    """The state folder of the server with these settings, also if other settings are invalid.

    Raises InvalidDataError if the file cannot be read or parsed.
    """
    try:
        state = load_settings(file, environment).settings.state
    except InvalidSettingsError as error:
        state = error.state
    return state_folder_of(file, state, environment)


def state_folder_of(file: Path, state: str | None, environment: Mapping[str, str] = os.environ) -> Path:
    """The state folder in the settings, else systemd's (StateDirectory=), else `state` next to `file`."""
    return file.parent / (state or environment.get("STATE_DIRECTORY", "").partition(":")[0] or DEFAULT_STATE)
