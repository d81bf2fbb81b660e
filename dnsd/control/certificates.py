"""The certificates of the HTTP services: read at the start, and again whenever their files change.

New connections get the new pair; a pair that cannot be used changes nothing. Without any usable pair, a service with
TLS accepts no connection: it never falls back to plain HTTP, and DNS does not wait for it.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from dnsd.control.current import Current
from dnsd.log import Log
from dnsd.metrics import Key
from dnsd.model.times import time_text
from dnsd.net.tls import KeyPair, PairFiles, UnusablePairError, load_pair
from dnsd.process.tasks import in_thread
from dnsd.settings.sections import TlsSettings
from dnsd.settings.server import Settings
from dnsd.settings.services import OPEN_KEY, SERVICES, HttpService, http_settings

LOOK_S = 1.0
PATIENCE_S = 5.0  # for both files of a pair to be replaced
REMIND_EVERY = timedelta(days=1)


class NoPairError(UnusablePairError):
    """A service with TLS has no usable certificate yet."""


class _Kept:
    """The pair of one service, and the fault of its files."""

    def __init__(self) -> None:
        self.pair: KeyPair | None = None
        self.files: PairFiles | None = None
        self.problem = ""  # of the files; with a pair, that of the files before is served
        self.seen: object = None  # the files and their stamp when last judged
        self.failing_since: float | None = None  # on the monotonic clock; not yet reported
        self.remind_at: datetime | None = None


class Certificates:
    """The current pair of each running service with TLS."""

    def __init__(self, config: Path, current: Current, first: Settings, log: Log) -> None:
        """`first` are the settings of the server's start: they name the running services."""
        self._config = config
        self._current = current
        self._first = first
        self._log = log
        self._kept = {service: _Kept() for service in SERVICES if http_settings(first, first, service)}

    def context(self, service: HttpService) -> ssl.SSLContext | None:
        """The context for a new connection; None if the service has no TLS. Raises NoPairError."""
        if not self._tls(service):
            return None
        pair = self._kept[service].pair
        if pair is None:
            raise NoPairError(self._kept[service].problem)
        return pair.context

    def has_tls(self, service: HttpService) -> bool:
        """Whether connections to a service are encrypted."""
        return self._tls(service) is not None

    async def watch(self) -> None:
        """Look for changes of the files, forever."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look(is_patient=True)

    async def look(self, *, is_patient: bool) -> None:
        """Read the files that changed; `is_patient`: report a fault only once it has lasted for PATIENCE_S."""
        for service in self._kept:
            if tls := self._tls(service):
                await in_thread(partial(self._look, service, tls, is_patient=is_patient))
            else:
                self._kept[service] = _Kept()

    def problems(self) -> list[str]:
        """The faults of all pairs and files, for the operator."""
        now = datetime.now(UTC)
        return [
            f"{service}.tls: {text}"
            for service, kept in self._kept.items()
            for text in (
                kept.problem and _refused(kept),
                kept.pair and (kept.pair.fault(now) or kept.pair.warning(now)),
            )
            if text
        ]

    def data(self) -> dict[str, dict[str, str | None]]:
        """The state of each service with TLS, as plain data."""
        return {
            service: {
                "expires_at": time_text(kept.pair.not_after) if kept.pair else None,
                "problem": kept.problem or None,
            }
            for service, kept in self._kept.items()
            if self.has_tls(service)
        }

    def samples(self) -> Iterator[tuple[Key, float]]:
        """The metrics of the services with TLS."""
        for service, kept in self._kept.items():
            if self.has_tls(service):
                expires = kept.pair.not_after.timestamp() if kept.pair else 0
                yield ("dnsd_tls_certificate_expiry_timestamp_seconds", service), expires
                yield ("dnsd_tls_certificate_usable", service), not kept.problem

    def _tls(self, service: HttpService) -> TlsSettings | None:
        found = http_settings(self._current.settings, self._first, service)
        return found.tls if found else None

    def _look(self, service: HttpService, tls: TlsSettings, *, is_patient: bool) -> None:
        """Read the files of one service if they changed. Blocks."""
        kept, files = self._kept[service], tls.files(self._config)
        seen = files, files.stamp()
        now = datetime.now(UTC)
        if seen != kept.seen:
            try:
                pair = _better(load_pair(files), kept.pair, now)
            except UnusablePairError as error:
                if is_patient and self._may_be_unfinished(kept):
                    return
                kept.seen, kept.problem, kept.failing_since = seen, str(error), None
                self._log.error(f"{service}.tls: {_refused(kept)}")
            else:
                is_new = kept.pair is not None
                kept.pair, kept.files, kept.seen = pair, files, seen
                kept.problem, kept.failing_since, kept.remind_at = "", None, None
                until = f"valid until {pair.not_after:%Y-%m-%d %H:%M} UTC"
                self._log.info(
                    f"{service}.tls: {'new ' if is_new else ''}certificate of {_listed(pair.names)}, {until}"
                )
                if files.is_open_key():
                    self._log.warning(f"warning: {service}.tls.key: {OPEN_KEY.format(files.key)}")
        self._remind(service, kept, now)

    def _may_be_unfinished(self, kept: _Kept) -> bool:
        """Whether the second file of a pair may still be on its way."""
        kept.failing_since = kept.failing_since or time.monotonic()
        return time.monotonic() - kept.failing_since < PATIENCE_S

    def _remind(self, service: HttpService, kept: _Kept, now: datetime) -> None:
        """Log the end of the certificate, once a day."""
        if kept.pair is None or (kept.remind_at and now < kept.remind_at):
            return
        if fault := kept.pair.fault(now):
            self._log.error(f"alarm: {service}.tls: {fault}")
        elif warning := kept.pair.warning(now):
            self._log.warning(f"warning: {service}.tls: {warning}")
        else:
            return
        kept.remind_at = now + REMIND_EVERY


def _better(new: KeyPair, kept: KeyPair | None, now: datetime) -> KeyPair:
    """The new pair. Raises UnusablePairError if clients refuse it, but not the one before."""
    if kept and not kept.fault(now) and (fault := new.fault(now)):
        raise UnusablePairError(fault)
    return new


def _refused(kept: _Kept) -> str:
    rest = "the earlier pair is still served" if kept.pair else "no connection is accepted until it is fixed"
    return f"{kept.problem}; {rest}"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") if names else "no DNS name"
