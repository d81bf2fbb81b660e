"""What a push does to an object, by its version when it was noted, in the folder, and in the fleet."""

from __future__ import annotations

import itertools

import pytest

from dnsd.fleet.three_way import PushStep, compared, noted_after, step_of

# noted, folder, fleet: the step
CASES: list[tuple[str | None, str | None, str | None, PushStep]] = [
    (None, None, None, PushStep.NONE),
    (None, "a", None, PushStep.WRITE),  # new in the folder
    (None, None, "a", PushStep.OTHERS),  # new in the fleet
    (None, "a", "a", PushStep.NONE),  # new in both, the same
    (None, "a", "b", PushStep.CONFLICT),  # new in both
    ("a", "a", "a", PushStep.NONE),
    ("a", "b", "a", PushStep.WRITE),  # changed in the folder
    ("a", "a", "b", PushStep.OTHERS),  # changed in the fleet
    ("a", "b", "b", PushStep.NONE),  # in both, to the same, as after a push that was cut
    ("a", "b", "c", PushStep.CONFLICT),
    ("a", None, "a", PushStep.REMOVE),  # removed in the folder
    ("a", "a", None, PushStep.OTHERS),  # removed in the fleet: not made again
    ("a", None, None, PushStep.NONE),
    ("a", None, "b", PushStep.CONFLICT),
    ("a", "b", None, PushStep.CONFLICT),
]


@pytest.mark.parametrize(("noted", "folder", "fleet", "step"), CASES)
def test_each_state_has_its_step(noted: str | None, folder: str | None, fleet: str | None, step: PushStep) -> None:
    assert step_of(noted, folder, fleet) is step


def test_the_table_has_each_state() -> None:
    assert len({case[:3] for case in CASES}) == len(CASES)
    shapes = {_shape(case) for case in itertools.product((None, "a", "b", "c"), repeat=3)}
    assert {_shape(case[:3]) for case in CASES} == shapes


def _shape(state: tuple[str | None, ...]) -> tuple[object, ...]:
    """Which of three versions are missing, and which are alike."""
    return (*(one is None for one in state), *(a == b for a, b in itertools.combinations(state, 2)))


def versions(place: int) -> dict[str, str]:
    return {str(number): version for number, case in enumerate(CASES) if (version := case[place]) is not None}  # type: ignore[misc]


NOTED, FOLDER, FLEET = map(versions, range(3))


def keys(*steps: PushStep) -> list[str]:
    return sorted(str(number) for number, case in enumerate(CASES) if case[3] in steps)


def test_nothing_is_removed_without_prune() -> None:
    found = compared(NOTED, FOLDER, FLEET, prune=False, is_forced=False)
    assert (found.written, found.of_others) == (keys(PushStep.WRITE), keys(PushStep.OTHERS))
    assert (found.removed, found.staying) == ([], keys(PushStep.REMOVE))
    assert found.conflicts == keys(PushStep.CONFLICT)
    pruned = compared(NOTED, FOLDER, FLEET, prune=True, is_forced=False)
    assert (pruned.removed, pruned.staying) == (keys(PushStep.REMOVE), [])


@pytest.mark.parametrize("prune", [False, True])
def test_force_takes_the_side_of_the_folder(*, prune: bool) -> None:
    found = compared(NOTED, FOLDER, FLEET, prune=prune, is_forced=True)
    assert found.conflicts == []
    lost = [key for key in keys(PushStep.CONFLICT) if key not in FOLDER]
    assert lost
    assert {*(found.removed if prune else found.staying)} >= {*lost}
    assert {*found.written} >= {*keys(PushStep.CONFLICT)} - {*lost}
    assert {*found.removed} <= NOTED.keys()


@pytest.mark.parametrize("is_forced", [False, True])
@pytest.mark.parametrize("prune", [False, True])
def test_the_next_push_of_the_same_folder_changes_nothing(*, prune: bool, is_forced: bool) -> None:
    here = {key for key in (*NOTED, *FOLDER, *FLEET) if is_forced or CASES[int(key)][3] is not PushStep.CONFLICT}
    noted, folder, fleet = ({key: one[key] for key in here & one.keys()} for one in (NOTED, FOLDER, FLEET))
    steps = compared(noted, folder, fleet, prune=prune, is_forced=is_forced)
    after = {key: one for key, one in fleet.items() if key not in steps.removed}
    after |= {key: folder[key] for key in steps.written}
    again = compared(noted_after(noted, folder, fleet, steps), folder, after, prune=prune, is_forced=False)
    assert (again.written, again.removed, again.conflicts) == ([], [], [])
    assert {*again.of_others} >= {*steps.of_others}
