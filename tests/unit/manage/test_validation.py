"""The validation of prefixes: each check with each of its states."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from dnsd.manage.prefixes import ownership_token
from dnsd.manage.validation import Validation, Validations, reverse_names, validated
from dnsd.manage.vrps import VrpFile
from dnsd.model.accounts import Account, AccountSettings, Approval, Prefix
from dnsd.model.dataset import Dataset
from tests.models import record, zone

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PREFIX = Prefix("91" * 16, ip_network("203.0.113.0/24"), 64500, Approval.PENDING, "", ())
ACCOUNT = Account("acme", "a1" * 16, "Acme", (PREFIX,), (), AccountSettings())
REVERSE = {
    "203.0.113.0/24": ["113.0.203.in-addr.arpa"],
    "203.0.112.0/23": ["112.0.203.in-addr.arpa", "113.0.203.in-addr.arpa"],
    "198.0.0.0/8": ["198.in-addr.arpa"],
    "203.0.113.128/25": ["113.0.203.in-addr.arpa"],
    "2001:db8::/32": ["8.b.d.0.1.0.0.2.ip6.arpa"],
    "2001:db8:4000::/34": [f"{nibble}.8.b.d.0.1.0.0.2.ip6.arpa" for nibble in "4567"],
}


@pytest.mark.parametrize("cidr", REVERSE)
def test_reverse_zones_are_split_at_boundaries(cidr: str) -> None:
    assert [*reverse_names(ip_network(cidr))] == REVERSE[cidr]


def result(prefix: Prefix = PREFIX, *texts: str, vrps: Path | None = None, **fields: Any) -> Validation:
    """The validation of a prefix, with texts at the token's name in a reverse zone unless there are none."""
    records = [record(f'cf-validation TXT "{text}"') for text in texts]
    zones = [zone("113.0.203.in-addr.arpa", records, **fields)] if texts else []
    covering = partial(VrpFile().covering, vrps) if vrps else None
    return validated(Dataset({ACCOUNT.id: ACCOUNT}, {}, {one.id: one for one in zones}), ACCOUNT, prefix, covering, NOW)


TOKEN = ownership_token(ACCOUNT, PREFIX)


def test_ownership_is_proved_by_the_token_in_a_verified_reverse_zone() -> None:
    assert result().ownership == "pending"  # the reverse zone is not served here
    assert result(PREFIX, "something else").ownership == "missing"
    assert result(PREFIX, TOKEN).ownership == "valid"
    assert result(PREFIX, "a", TOKEN).ownership == "valid"
    assert result(PREFIX, TOKEN, verified=False).ownership == "pending"  # anybody may make a zone with this name
    assert TOKEN in "".join(result(PREFIX, "else").remarks)


def test_token_is_for_one_account_and_one_prefix() -> None:
    other = replace(ACCOUNT, id="a2" * 16)
    assert len({TOKEN, ownership_token(other, PREFIX), ownership_token(ACCOUNT, replace(PREFIX, id="92" * 16))}) == 3


def vrps(tmp_path: Path, *roas: tuple[str, str, int], **style: Any) -> Path:
    file = tmp_path / "vrps.json"
    listed = [{"asn": asn, "prefix": prefix, "maxLength": length, "ta": "t"} for asn, prefix, length in roas]
    file.write_text(json.dumps({"metadata": {"generated": 1}, "roas": listed}, **style))
    return file


RPKI = {
    "the exact ROA": ((("AS64500", "203.0.113.0/24", 24),), "valid"),
    "a larger ROA that allows it": ((("AS64500", "203.0.112.0/22", 24),), "valid"),
    "a larger ROA that does not": ((("AS64500", "203.0.112.0/22", 22),), "invalid"),
    "another ASN": ((("AS64501", "203.0.113.0/24", 24),), "mismatch_asn"),
    "another ASN and ours": ((("AS64501", "203.0.113.0/24", 24), ("AS64500", "203.0.113.0/24", 24)), "valid"),
    "AS0": ((("AS0", "203.0.113.0/24", 24),), "mismatch_asn"),
    "a part of it": ((("AS64500", "203.0.113.0/25", 25),), "missing"),
    "other space": ((("AS64500", "198.51.100.0/24", 24), ("AS64500", "2001:db8::/32", 48)), "missing"),
    "an ASN as a number": (((64500, "203.0.113.0/24", 24),), "valid"),
}


@pytest.mark.parametrize("case", RPKI)
@pytest.mark.parametrize("style", [{}, {"indent": 2}, {"separators": (",", ":")}], ids=["usual", "indented", "dense"])
def test_rpki_follows_rfc_6811(tmp_path: Path, case: str, style: Any) -> None:
    roas, expected = RPKI[case]
    found = result(vrps=vrps(tmp_path, *roas, **style))
    assert found.rpki == expected
    assert found.asn == ("valid" if expected == "valid" else "pending")


def test_unusable_file_of_vrps_leaves_the_state_pending(tmp_path: Path) -> None:
    for text in ("", "[]", "{", "not JSON"):
        file = tmp_path / "vrps.json"
        file.write_text(text)
        assert result(vrps=file).rpki == "pending"
    assert result(vrps=tmp_path / "none.json").rpki == "pending"
    assert result().rpki == "pending"


SIZES = {
    "203.0.113.0/24": "pending",
    "203.0.113.0/25": "invalid",
    "2001:db8:7::/48": "pending",
    "2001:db8:7::/49": "invalid",
}


@pytest.mark.parametrize("cidr", SIZES)
def test_sizes(cidr: str) -> None:
    found = result(replace(PREFIX, cidr=ip_network(cidr)))
    assert found.irr == SIZES[cidr]
    assert any("smaller than" in text for text in found.remarks) == (SIZES[cidr] == "invalid")


def test_asn() -> None:
    assert result(replace(PREFIX, asn=None)).asn == "missing"
    assert result(replace(PREFIX, asn=23456)).asn == "invalid"


def test_results_outlive_restarts_and_end_with_the_network_or_asn(tmp_path: Path) -> None:
    kept = Validations(tmp_path)
    kept.keep(PREFIX, result(PREFIX, TOKEN), [PREFIX])
    again = Validations(tmp_path)
    assert again.of(PREFIX) == kept.of(PREFIX)
    assert again.of(PREFIX).ownership == "valid"
    assert again.of(replace(PREFIX, asn=64501)).ownership == "pending"
    (tmp_path / "validations").write_text('{"x": 5}')
    assert Validations(tmp_path).of(PREFIX).ownership == "pending"


def test_prefixes_that_come_and_go_leave_no_results(tmp_path: Path) -> None:
    kept = Validations(tmp_path)
    kept.keep(PREFIX, result(PREFIX, TOKEN), [PREFIX])
    for number in range(20):
        brief = replace(PREFIX, id=f"{number:032x}", asn=64500 + number)
        kept.keep(brief, result(brief), [PREFIX, brief])
    assert len(json.loads((tmp_path / "validations").read_text())) == 2
    assert kept.of(PREFIX).ownership == "valid"
