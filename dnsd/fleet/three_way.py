"""Compare a folder with a fleet and with what the fleet had when the folder was made from it or sent to it.

An object is a version: a text that tells its content, and is the same for the same content. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

Versions = Mapping[str, str]  # by key


class PushStep(Enum):
    """What a push does to one object."""

    NONE = "none"  # folder and fleet have the same
    WRITE = "write"
    REMOVE = "remove"
    STAY = "stay"  # removed in the folder, but not to be removed
    OTHERS = "others"  # the fleet alone has changed
    CONFLICT = "conflict"  # both have changed


@dataclass(frozen=True, slots=True)
class PushSteps:
    """The keys of the objects of each step, in order."""

    written: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    staying: list[str] = field(default_factory=list)
    of_others: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)


def step_of(noted: str | None, folder: str | None, fleet: str | None) -> PushStep:
    """The step for an object, by its version when it was noted, in the folder and in the fleet; None without one."""
    if folder == fleet:
        return PushStep.NONE
    if fleet == noted:
        return PushStep.WRITE if folder is not None else PushStep.REMOVE
    return PushStep.OTHERS if folder == noted else PushStep.CONFLICT


def compared(noted: Versions, folder: Versions, fleet: Versions, *, prune: bool, is_forced: bool) -> PushSteps:
    """The steps for all objects.

    Only with `prune` is anything removed, and only what was noted. A forced push takes the folder's side in a conflict.
    """
    found = PushSteps()
    for key in sorted({*noted, *folder, *fleet}):
        step = step_of(noted.get(key), folder.get(key), fleet.get(key))
        if step is PushStep.CONFLICT and is_forced:
            step = PushStep.WRITE if key in folder else PushStep.REMOVE
        if step is PushStep.REMOVE and not prune:
            step = PushStep.STAY
        into = {
            PushStep.WRITE: found.written,
            PushStep.REMOVE: found.removed,
            PushStep.STAY: found.staying,
            PushStep.OTHERS: found.of_others,
            PushStep.CONFLICT: found.conflicts,
        }
        if step in into:
            into[step].append(key)
    return found


def noted_after(noted: Versions, folder: Versions, fleet: Versions, steps: PushSteps) -> dict[str, str]:
    """What to note after a push whose steps are made: the versions on which the next one builds.

    Of what others have changed, it is the version before: so the next push leaves it alone, too. What stays although
    the folder lacks it, and others have changed it, is theirs from now on.
    """
    after = {key: version for key, version in folder.items() if fleet.get(key) == version}
    after |= {key: folder[key] for key in steps.written}
    after |= {key: noted[key] for key in steps.of_others if key in noted}
    after |= {key: noted[key] for key in steps.staying if noted.get(key) == fleet.get(key)}
    return after
