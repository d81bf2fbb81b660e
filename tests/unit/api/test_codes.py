"""The codes of the API: one for each reason, and faults as clients see them."""

from __future__ import annotations

import pytest

from dnsd.api.codes import CODES, ShownFault, logged_text_of, shown_faults, status_of, text_of
from dnsd.errors import BrokenRule, Path, Problem
from dnsd.manage.refusal import REASON_OF_RULE, Fault, Reason, RefusedError, refused, refused_for

IDENTICAL = "An identical record already exists."


def test_every_reason_has_a_code_of_its_own() -> None:
    assert set(CODES) == set(Reason)
    assert len({code.number for code in CODES.values()}) == len(CODES)


def test_every_rule_has_a_reason() -> None:
    assert set(REASON_OF_RULE) == set(BrokenRule)


def test_status_is_that_of_the_first_fault() -> None:
    assert status_of(RefusedError(Fault(Reason.NOT_FOUND, "x"), Fault(Reason.INVALID, "y"))) == 404


POINTERS: list[tuple[Path, str]] = [((), ""), (("a~b", 0, "c/d"), "/a~0b/0/c~1d")]


@pytest.mark.parametrize(("path", "pointer"), POINTERS)
def test_place_is_a_json_pointer(path: Path, pointer: str) -> None:
    (fault,) = shown_faults(refused(Reason.INVALID, "x", *path))
    assert fault.pointer == pointer


def test_cloudflares_message_replaces_ours_once_for_each_place() -> None:
    rule = BrokenRule.IDENTICAL_RECORD
    places: list[Path] = [(), (), ("posts", 1)]
    problems = [Problem("acme/zones/x", path, f"{n} records are equal", rule=rule) for n, path in enumerate(places)]
    error = refused_for([*problems, Problem("acme/zones/x", (), "of old", warning=True)])
    code = CODES[Reason.IDENTICAL_RECORD]
    assert [*shown_faults(error)] == [ShownFault(code, IDENTICAL, ()), ShownFault(code, IDENTICAL, ("posts", 1))]
    assert text_of(error) == f"{IDENTICAL}; {IDENTICAL}"


def test_faults_of_two_keys_at_one_place_are_both_shown() -> None:
    fault = Fault(Reason.INVALID, "control characters are not allowed", ("data",))
    assert len([*shown_faults(RefusedError(fault, fault))]) == 2


LOGGED = {
    refused(
        Reason.NO_ROOM, "/srv/accounts/acme/x.yaml cannot be written"
    ): "the disk is full, an entry of the audit log cannot be written, or a zone would need more than "
    "`limits.memory_mib`; nothing was changed",
    refused(Reason.INVALID, "an invalid address", "ips"): "an invalid address",
}


@pytest.mark.parametrize("error", LOGGED, ids=str)
def test_audit_log_names_no_file_of_the_server(error: RefusedError) -> None:
    assert logged_text_of(error) == LOGGED[error]
