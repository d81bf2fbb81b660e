"""A control process without workers, whose clock the test sets: accounts, tokens and pending changes in a folder."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Mapping
from copy import copy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from dnsd.control.control import Control, ControlSetup
from dnsd.control.service import ControlService
from dnsd.log import Log
from dnsd.manage.audit import AuditLog
from dnsd.manage.audit_search import LogQuery
from dnsd.manage.map_request import MapRequest
from dnsd.manage.pending import PendingChange
from dnsd.manage.service import Actor
from dnsd.manage.token_file import TokenFile
from dnsd.manage.tokens import Token
from dnsd.model.fields import derived_id
from dnsd.process.shared import Shared
from dnsd.process.state import State
from dnsd.settings.file import load_settings

T = TypeVar("T")
ACME, GLOBEX = (derived_id("account", key) for key in ("acme", "globex"))
SHOP, SALE, OTHER = "51" * 16, "52" * 16, "53" * 16
SETTINGS = "default_addresses: [192.0.2.1]\nnameservers: [ns1.example.net]\n"
SPACE = "prefixes: [{cidr: 203.0.113.0/24, approved: V}]\n"
WWW = "records:\n- {name: www, type: A, content: 192.0.2.9, proxied: true}\n"
FILES = {
    "acme/account.yaml": f"name: Acme\n{SPACE}",
    "acme/zones/cake.example.yaml": WWW,
    "acme/zones/bread.example.yaml": WWW,
    "acme/maps/shop.yaml": f'id: "{SHOP}"\nenabled: true\nips: [203.0.113.1, 203.0.113.3]\n'
    "memberships:\n- {kind: zone, identifier: cake.example}\n",
    "acme/maps/sale.yaml": f'id: "{SALE}"\nips: [203.0.113.2]\nmemberships: [{{kind: account, identifier: acme}}]\n',
    "globex/account.yaml": "name: Globex\nstatic_ips: [198.51.100.1]\n",
    "globex/maps/other.yaml": f'id: "{OTHER}"\nips: [198.51.100.1]\n'
    "memberships: [{kind: account, identifier: globex}]\n",
    "globex/zones/tools.example.yaml": WWW,
}


class Scheduling:
    """The folder; each `run` is one life of the process."""

    def __init__(self, folder: Path, files: Mapping[str, str] = FILES) -> None:
        self.folder, self.state, self.config = folder, folder / "state", folder / "dnsd.yaml"
        self.state.mkdir(parents=True)
        self.config.write_text(f"{SETTINGS}data: accounts\n")
        for name, text in files.items():
            self.write(name, text)
        self.tokens = TokenFile(self.state)
        self.alice = self.token("alice", accounts=[ACME])
        self.start = datetime.now(UTC)
        self.lines: list[str] = []

    def copy(self, folder: Path) -> Scheduling:
        """The same in another folder."""
        shutil.copytree(self.folder, folder)
        other = copy(self)
        other.folder, other.state, other.config, other.lines = folder, folder / "state", folder / "dnsd.yaml", []
        other.tokens = TokenFile(other.state)
        return other

    def write(self, name: str, text: str) -> None:
        file = self.folder / "accounts" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def read(self, name: str) -> str:
        """The text of a file; empty without the file."""
        file = self.folder / "accounts" / name
        return file.read_text() if file.exists() else ""

    def token(self, name: str, **what: Any) -> Token:
        return self.tokens.create(name=name, now=datetime.now(UTC), **what)[0]

    def later(self, **ahead: float) -> datetime:
        return self.start + timedelta(**ahead)

    def run(self, work: Callable[[Life], Awaitable[T]]) -> T:
        """The result of work in a process of its own, which has loaded the files."""

        async def life() -> T:
            one = Life(self)
            assert await one.control.loader.load_first(0), one.control.loader.last
            return await work(one)

        return asyncio.run(life())

    def schedule(
        self, action: str, map_id: str = SHOP, *, at: datetime | None = None, **arguments: Any
    ) -> PendingChange:
        """A pending change of alice, due in an hour."""
        request = MapRequest(action, ACME, map_id, arguments)
        return self.run(lambda life: life.add(request, at or self.later(hours=1)))

    def look(self, **ahead: float) -> None:
        """One look of the clock, so much later, in a process of its own."""
        self.run(lambda life: life.schedule.look(self.later(**ahead)))

    def pending(self, account_id: str = ACME) -> list[PendingChange]:
        async def found(life: Life) -> list[PendingChange]:
            life.control.pending.refresh()
            return await life.schedule.of_account(account_id)

        return self.run(found)

    def audit(self) -> list[dict[str, Any]]:
        """The entries of the audit log, the oldest first."""
        return AuditLog(self.state / "audit.log").read(LogQuery(1000)).entries[::-1]


class Life:
    """One life of the control process."""

    def __init__(self, world: Scheduling) -> None:
        shared = Shared(workers=1, rates=1)
        log = Log("control", wait_s=0)
        log.error = log.warning = log.info = world.lines.append  # type: ignore[method-assign]
        settings = load_settings(world.config).settings
        state = State(folder=world.state, address="", lock=-1, is_temporary=False)
        setup = ControlSetup(
            process=shared.control,
            shared=shared,
            config=world.config,
            settings=settings,
            state=state,
            local=None,  # type: ignore[arg-type]
            supervisor=None,  # type: ignore[arg-type]
            metrics=None,
            api=None,
            log=log,
            listening=(),
        )
        self.world = world
        self.control = Control(setup)
        self.service = ControlService(self.control)
        self.schedule = self.service.schedule

    async def add(self, request: MapRequest, at: datetime, token: Token | None = None) -> PendingChange:
        self.control.pending.refresh()
        return await self.schedule.add(Actor(token or self.world.alice, "192.0.2.7"), request, at, lambda tag: None)
