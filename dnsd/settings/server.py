"""All settings of the server: `dnsd.yaml`, and the parts of it that workers and snapshots take."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from dnsd.compile.build import Options
from dnsd.cores import usable_cores
from dnsd.model.fields import Fields, Host, Ip
from dnsd.model.maps import MAX_ADDRESSES, MissingFamily
from dnsd.model.quotas import DEFAULT_QUOTAS, Quotas
from dnsd.model.zone_rules import RrsetLimits
from dnsd.net.limits import RateLimits
from dnsd.net.listen import Address
from dnsd.net.places import PlaceLimits
from dnsd.net.tcp_connection import TcpLimits
from dnsd.net.udp import Udp
from dnsd.process.worker_settings import WorkerSettings
from dnsd.settings.role import FleetSettings, Role
from dnsd.settings.sections import (
    AdvertisementSettings,
    ApiSettings,
    AuditMode,
    LimitSettings,
    LogSettings,
    MetricsSettings,
    OnError,
    QueryLogSettings,
    ReloadSettings,
)
from dnsd.settings.values import Listen, Name, Nsid, Resolver, Workers, distinct, split

DEFAULT_DATA = "accounts"
MAX_RESOLVERS = 4


class Settings(Fields):
    """`dnsd.yaml`."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"required": ["default_addresses"]}, {"required": ["fleet"]}]}
    )

    listen: Annotated[tuple[Listen, ...], BeforeValidator(split), Field(min_length=1)] = Field(
        default=(Address("127.0.0.1", 5300), Address("::1", 5300)),
        description="addresses for DNS over UDP and TCP; port 0 = a free port, printed at the start",
    )
    workers: Workers = Field(default="auto", description="number of worker processes; auto = one per usable core")
    default_addresses: Annotated[
        tuple[Ip, ...],
        BeforeValidator(split),
        AfterValidator(distinct),
        Field(min_length=1, max_length=MAX_ADDRESSES),
    ] = Field(
        default=(),
        description="default anycast pool, for proxied names not covered by an address map; required, unless the "
        "server's fleet has it",
    )
    role: Role = Field(
        default=Role.STANDALONE,
        description="standalone: answers from the folder `data`; edge: from a copy of a fleet's state; control: also, "
        "with the API, which changes that state (docs/fleet.md)",
    )
    fleet: FleetSettings | None = None
    data: str = Field(default=DEFAULT_DATA, description="folder of the accounts, relative to this file")
    missing_family: MissingFamily = Field(
        default=MissingFamily.NODATA,
        description="for queries of an address family that the map lacks: nodata, or fallback to the next map",
    )
    nameservers: Annotated[tuple[Host, ...], BeforeValidator(split)] = Field(
        default=(), description="apex NS of YAML zones without their own"
    )
    resolver: Annotated[tuple[Resolver, ...], BeforeValidator(split), Field(max_length=MAX_RESOLVERS)] = Field(
        default=(),
        description="recursive resolvers, such as 127.0.0.1:53, to look up proofs that zones belong to their accounts; "
        "without one, only the operator verifies zones",
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
    quotas: Quotas = DEFAULT_QUOTAS
    audit: AuditMode = Field(
        default=AuditMode.DELETES,
        description="requested changes that are refused (507) if their entry in the audit log cannot be written; "
        "required: all; deletes: those that remove something; best_effort: none",
    )
    audit_days: int = Field(
        default=365,
        ge=1,
        le=100_000,
        description="days for which entries of the audit log are kept, within `quotas.audit_octets` of each account",
    )

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
            tcp_places=PlaceLimits(tcp.connections, tcp.per_client, tcp.network_limit),
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
