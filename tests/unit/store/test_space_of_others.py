"""Messages about address space tell an account nothing of other accounts' pending prefixes."""

from __future__ import annotations

from pathlib import Path

import pytest

from dnsd.app import load
from dnsd.errors import InvalidDataError

SETTINGS = "default_addresses: [192.0.2.1]\nnameservers: [ns1.example.net]\ndata: accounts\non_error: refuse\n"
PENDING = "prefixes:\n- cidr: 198.51.100.0/24\n  delegations: [{cidr: 198.51.100.0/25, account: globex}]\n"


@pytest.mark.parametrize(
    ("whose", "told"),
    [
        ("acme", "198.51.100.9 is outside the account's prefixes"),
        ("globex", "198.51.100.9 lies in 198.51.100.0/24, which is not approved yet"),
    ],
)
def test_only_ones_own_pending_prefix_is_named(tmp_path: Path, whose: str, told: str) -> None:
    accounts = tmp_path / "accounts"
    for name in ("acme", "globex"):
        (accounts / name / "maps").mkdir(parents=True)
        (accounts / name / "account.yaml").write_text(PENDING if name == whose else f"name: {name}\n")
    (accounts / "globex/maps/one.yaml").write_text("enabled: true\nips: [198.51.100.9]\n")
    (tmp_path / "dnsd.yaml").write_text(SETTINGS)
    if whose == "globex":
        (accounts / "globex/account.yaml").write_text("prefixes: [{cidr: 198.51.100.0/24}]\n")
    with pytest.raises(InvalidDataError) as caught:
        load(tmp_path / "dnsd.yaml", {})
    assert told in str(caught.value)
    assert ("198.51.100.0/24" in str(caught.value)) == (whose == "globex")
