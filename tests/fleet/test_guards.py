"""Which changes keep a rule between accounts, and thus need a guard."""

from __future__ import annotations

import pytest

from dnsd.fleet.around_records import AroundRecords
from dnsd.fleet.guards import Guards, guards_of
from dnsd.fleet.subjects import NAMES_GUARD, SPACE_GUARD
from dnsd.store.directory import Files
from tests.stores import edit_of

ZONE = "acme/zones/x.example.yaml"
MASTER = "acme/zones/m.example.zone"
MAP = "acme/maps/shop.yaml"
TEXT = "id: 1\nrecords:\n  - {name: a, type: A, content: 192.0.2.1}\n\n  # one more\n- b: 1\npaused: true\n"
BEFORE = {"acme/account.yaml": "name: Acme\n", ZONE: TEXT, MASTER: "@ A 192.0.2.1\n", MAP: "enabled: true\n"}
NONE, NAMES = Guards((), ()), Guards((NAMES_GUARD,), ())
CASES: list[tuple[dict[str, str | None], Guards]] = [
    ({ZONE: TEXT.replace("192.0.2.1", "192.0.2.2")}, NONE),
    ({ZONE: TEXT.replace("  # one more\n", "")}, NONE),
    ({ZONE: TEXT.replace("\n", "\r\n")}, NONE),
    ({MASTER: "@ A 192.0.2.2\n"}, NONE),
    ({ZONE: TEXT.replace("id: 1", "id: 2")}, NAMES),
    ({ZONE: TEXT + "verified: false\n"}, NAMES),
    ({ZONE: TEXT.replace("paused: true", "verified: false")}, NAMES),
    ({ZONE: "{id: 1, records: []}\n"}, NAMES),
    ({ZONE: TEXT + "# " + "x" * 100_000 + "\n"}, NAMES),
    ({"acme/zones/y.example.yaml": TEXT}, NAMES),
    ({ZONE: None}, NAMES),
    ({MASTER: None}, NAMES),
    ({ZONE: None, ZONE.replace("yaml", "zone"): "@ A 192.0.2.1\n"}, NAMES),
    ({MAP: "enabled: false\n"}, Guards((), (SPACE_GUARD,))),
    ({MAP: None}, Guards((), (SPACE_GUARD,))),
    ({MAP: None, ZONE: None}, Guards((NAMES_GUARD,), (SPACE_GUARD,))),
    ({"acme/account.yaml": "name: Other\n"}, Guards((NAMES_GUARD, SPACE_GUARD), ())),
    ({"acme/account.yaml": None, MAP: None}, Guards((NAMES_GUARD, SPACE_GUARD), ())),
]


@pytest.mark.parametrize(("change", "guards"), CASES)
def test_a_change_has_the_guards_of_the_rules_that_it_may_break(change: dict[str, str | None], guards: Guards) -> None:
    before = edit_of(Files("/nowhere"), dict(BEFORE), modified=1).after
    assert guards_of(edit_of(before, change, modified=2), AroundRecords()) == guards
