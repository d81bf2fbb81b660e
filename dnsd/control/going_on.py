"""All that control does beside answering requests, once DNS is answered."""

from __future__ import annotations

from functools import partial

from dnsd.control.alarms import Alarms
from dnsd.control.audit_upkeep import keep_up
from dnsd.control.block_upkeep import sweep_blocks
from dnsd.control.control import Control
from dnsd.control.fleet_work import take_part
from dnsd.control.follow import Follower
from dnsd.process.tasks import run_all


async def go_on(control: Control) -> None:
    """Follow the files, keep what is served, and look after the state folder, forever."""
    setup, current, audit = control.setup, control.current, control.audit
    await run_all(
        work()
        for work in (
            Follower(control.store, current, control.loader).follow,
            control.loader.await_workers,
            current.keep_first_good,
            control.loader.tell_of_start,
            Alarms(current, audit, setup.log).watch,
            control.certificates.watch,
            partial(keep_up, audit, control.acts, current, setup.log),
            partial(sweep_blocks, current, control.history, setup.log),
            control.observer.watch,
            partial(current.drains.watch, audit),
            control.changes.save,
            control.publisher.save_again,
            control.keeper.watch,
            partial(take_part, control),
        )
    )
