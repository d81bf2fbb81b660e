"""Changes of an edge's record by its operator: commits of the fleet's state, with their entries in the audit log."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

from dnsd.control.change_request import not_written
from dnsd.control.control import Control
from dnsd.manage.audit_entries import Entry, Outcome
from dnsd.manage.change import Witness, testified
from dnsd.manage.fleet_view import EdgeChange
from dnsd.manage.refusal import Reason, refused
from dnsd.manage.service import Actor
from dnsd.process.tasks import in_thread
from dnsd.store.directory import Files
from dnsd.store.port import Op, OvertakenError

ACTION = "edge.edit"
TRIES = 5  # while others change shared objects


async def edit_edge(control: Control, actor: Actor, name: str, change: EdgeChange) -> None:
    """Change the record of an edge. Raises RefusedError."""
    for _ in range(TRIES):
        try:
            await _edit(control, actor, name, change)
            return
        except OvertakenError:
            continue
        except OSError as error:
            raise not_written(error) from None
    raise refused(Reason.NOT_WRITABLE, "others keep changing the fleet's settings; nothing was written: try again")


async def _edit(control: Control, actor: Actor, name: str, change: EdgeChange) -> None:
    """The same, once. Raises RefusedError, OvertakenError and OSError."""
    if control.fleet is None:
        raise refused(Reason.NOT_FOUND, "this server is not a control of a fleet")
    before, after = control.fleet.after(name, change)
    entry = Entry(
        at=datetime.now(UTC),
        token=actor.token,
        client=actor.client,
        action=ACTION,
        object=f"edges/{name}",
        outcome=Outcome.OK,
        before=before,
        after=after,
    )
    op, is_attested = Op(), control.current.settings.audit.applies(ACTION, removes=False)
    if is_attested:
        witness = Witness([entry], _nothing_to_keep, frozenset())
        op = Op(evidence=await in_thread(partial(testified, control.audit, [witness], Files(""))))
    await control.fleet.change(name, change, op)
    control.setup.log.info(f"{ACTION}: {name}, by {actor.token.name or actor.token.id}")
    if is_attested:
        try:
            await control.store.finish(op, control.publisher.revision)
        except OSError as error:
            control.setup.log.error(f"the outcome of a change is not in the audit log yet: {error.strerror}")
    elif problem := await in_thread(partial(control.audit.append, entry)):
        control.setup.log.error(problem)


def _nothing_to_keep(files: Files) -> None:
    """An edge has no versions in the history."""
