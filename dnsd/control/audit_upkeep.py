"""The upkeep of the audit log: old files are deleted, and after a failure, writing is tried again until it succeeds."""

from __future__ import annotations

import asyncio
import time
from functools import partial

from dnsd.control.current import Current
from dnsd.log import Log
from dnsd.manage.acts import Acts
from dnsd.manage.audit import AuditLog
from dnsd.process.tasks import in_thread

PRUNE_S = 3600.0
PROBE_S = 5.0


async def keep_up(audit: AuditLog, acts: Acts, current: Current, log: Log) -> None:
    """Delete old files every hour, and look every few seconds whether a log with a problem can be written; forever."""
    prune_at = 0.0
    while True:
        if time.monotonic() >= prune_at:
            prune_at = time.monotonic() + PRUNE_S
            await in_thread(partial(audit.prune, current.settings.audit_days, time.time()))
        if audit.problem:
            await in_thread(audit.probe)
            if audit.problem is None:
                log.info("the audit log can be written again")
        await in_thread(acts.settle)
        await asyncio.sleep(PROBE_S)
