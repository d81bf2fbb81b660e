"""Zone files with odd names, tags or data: warnings and problems at their place, never a crash."""

from __future__ import annotations

import pathlib

import pytest

from dnsd.app import load
from dnsd.errors import InvalidDataError
from tests.bugs.files import answers, write


def test_proxied_tag_on_another_type_is_ignored(tmp_path: pathlib.Path) -> None:
    zone = "@ 1 MX 5 mail.example.net. ; cf_tags=cf-proxied:true\n"
    loaded = load(write(tmp_path, {"accounts/a/zones/example.com.zone": zone}), {})
    assert answers(loaded, "example.com", "MX") == ["example.com. 300 IN MX 5 mail.example.net."]


def test_zone_name_that_differs_from_its_file_name_is_a_warning(tmp_path: pathlib.Path) -> None:
    zone = "example.org. 60 SOA a. b. 1 2 3 4 5\nexample.org. 60 NS a.\n"
    loaded = load(write(tmp_path, {"accounts/a/zones/export.zone": zone}), {})
    assert ["example.org" in str(warning) for warning in loaded.warnings] == [True]


def test_problem_is_one_line_with_any_file_name(tmp_path: pathlib.Path) -> None:
    config = write(tmp_path, {"accounts/a/zones/a\n\x1b[31mb.txt": "x", "accounts/a/zones/example.com.yaml": "{}"})
    with pytest.raises(InvalidDataError) as caught:
        load(config, {})
    assert str(caught.value).count("\n") == 0
    assert "\x1b" not in str(caught.value)


REFUSED = {
    "a LOC too high": (
        "records: [{name: a, type: LOC, content: 90 0 0 N 180 0 0 E 99999999999m}]\n",
        "not valid LOC data",
    ),
    "records without a list": ("records: {}\n", "expected a list of records"),
}


@pytest.mark.parametrize(("zone", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_zone_is_refused(tmp_path: pathlib.Path, zone: str, said: str) -> None:
    with pytest.raises(InvalidDataError, match=said):
        load(write(tmp_path, {"accounts/a/zones/example.com.yaml": zone}), {})
