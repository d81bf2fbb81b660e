"""The role of a server: alone, or a control or an edge of a fleet (docs/fleet.md)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from dnsd.errors import Problem
from dnsd.model.fields import Fields
from dnsd.settings.values import Listen, split

if TYPE_CHECKING:
    from dnsd.settings.server import Settings

MAX_SERVERS = 16
MAX_JOIN_URLS = 4
SERVER_URL = re.compile(r"tls://(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")


class Role(StrEnum):
    """Where a server has its accounts' files from."""

    STANDALONE = "standalone"
    CONTROL = "control"
    EDGE = "edge"

    @property
    def is_in_fleet(self) -> bool:
        """Whether the files are those of a fleet, which others judge and write, too."""
        return self is not Role.STANDALONE


def _server_url(text: str) -> str:
    if not SERVER_URL.fullmatch(text):
        raise ValueError(f"{text!r} is not a server of a fleet, such as tls://192.0.2.1:4222")
    return text


ServerUrl = Annotated[str, AfterValidator(_server_url)]


class JoinSettings(Fields):
    """Where a control lets edges into the fleet by a code."""

    listen: Listen = Field(
        description="address at which this control lets edges join, such as 0.0.0.0:8443; without `join`, it lets none"
    )
    urls: Annotated[tuple[ServerUrl, ...], BeforeValidator(split), Field(max_length=MAX_JOIN_URLS)] = Field(
        default=(),
        description="where edges reach controls to join, such as tls://192.0.2.1:8443, for `dnsd fleet code`; default: "
        "`listen`",
    )


class FleetSettings(Fields):
    """The fleet of a control or an edge, or of `dnsd fleet import`."""

    servers: Annotated[tuple[ServerUrl, ...], BeforeValidator(split), Field(min_length=1, max_length=MAX_SERVERS)] = (
        Field(description="nats-servers of the fleet, the nearest first, such as tls://192.0.2.1:4222")
    )
    identity: str = Field(
        default="identity", description="folder with this node's key and papers, relative to this file"
    )
    join: JoinSettings | None = None

    def identity_folder(self, config: Path) -> Path:
        """The folder with the node's papers; `config` is the settings file."""
        return config.parent / self.identity


def role_problems(settings: Settings, source: str) -> Iterator[Problem]:
    """The sections that a server of this role lacks or must not have."""
    if settings.role.is_in_fleet and settings.fleet is None:
        yield Problem(source, ("role",), f"`{settings.role}` needs the section `fleet`, with the fleet's servers")
    if settings.role is Role.EDGE and settings.api is not None:
        yield Problem(source, ("api",), "an edge has no API: use that of a control")
    if settings.fleet and settings.fleet.join and settings.role is Role.EDGE:
        yield Problem(source, ("fleet", "join"), "an edge lets nobody in: a control does")
