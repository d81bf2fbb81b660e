"""Forms: values as browsers send them, and errors at their fields."""

from __future__ import annotations

import pytest

from dnsd.dashboard.forms import MAX_FIELDS, FormErrors, FormValues
from dnsd.manage.refusal import Fault, Reason, RefusedError


def test_values_by_name() -> None:
    form = FormValues.of(b"name=+x+&zone=a&zone=b&zone=a&zone=&n=7&empty=")
    assert (form.get("name"), form.text("name"), form.get("missing", "z")) == (" x ", "x", "z")
    assert form.all("zone") == ["a", "b"]
    assert ("empty" in form, "missing" in form) == (True, False)
    assert form.pairs()[0] == ("name", " x ")


@pytest.mark.parametrize(
    ("text", "number"), [("7", 7), ("0", 1), ("-1", 5), ("x", 5), ("", 5), ("٣", 5), ("9" * 10, 5)]
)
def test_number_of_a_page(text: str, number: int) -> None:
    assert FormValues([("page", text)]).number("page", 5) == number


@pytest.mark.parametrize("encoded", [b"a=\xff", b"a=%ff", b"a=1&" * (MAX_FIELDS + 1)])
def test_unreadable_form_is_refused(encoded: bytes) -> None:
    with pytest.raises(RefusedError) as caught:
        FormValues.of(encoded)
    assert caught.value.faults == (Fault(Reason.INVALID, "the form cannot be read"),)


def test_errors_stand_at_the_last_field_of_their_path() -> None:
    faults = [("no name", ("name",)), ("bad address", ("ips", 3)), ("of all", ()), ("elsewhere", ("x", "y"))]
    errors = FormErrors(RefusedError(*(Fault(Reason.INVALID, *fault) for fault in faults)), ("name", "ips"))
    assert (errors.of("name"), errors.of("ips")) == (["no name"], ["bad address"])
    assert errors.others == ["of all", "elsewhere"]
    assert (bool(errors), errors.status) == (True, 400)
    assert (bool(FormErrors()), FormErrors().status) == (False, 200)
