"""New shared settings are judged by the accounts that a fleet has, also if no node has had settings so far."""

from __future__ import annotations

from pathlib import Path

import pytest

from dnsd.errors import InvalidDataError
from dnsd.fleet.settings_change import planned_settings
from dnsd.settings.shared import shared_file
from dnsd.store.folder import read_files

OWN = 'fleet: {servers: ["tls://192.0.2.1:4222"]}\nrole: control\nlisten: ["127.0.0.1:5399"]\n'
POOL = 'default_addresses: ["192.0.2.10"]\n'
ZONE = "records:\n- {name: a, type: A, content: 192.0.2.1}\n- {name: a, type: A, content: 192.0.2.2}\n"
FILES = {"acme/account.yaml": "name: Acme\n", "acme/zones/x.example.yaml": ZONE}


@pytest.mark.parametrize("own", [OWN, OWN + POOL], ids=["first settings", "settings in dnsd.yaml"])
def test_settings_with_which_an_account_is_in_error_are_refused(tmp_path: Path, own: str) -> None:
    config, accounts = tmp_path / "dnsd.yaml", tmp_path / "accounts"
    config.write_text(own)
    for name, text in FILES.items():
        path = accounts / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    files = read_files(accounts, None)
    planned_settings(config, files, None, shared_file(POOL.encode()))
    with pytest.raises(InvalidDataError):
        planned_settings(config, files, None, shared_file(f"{POOL}limits: {{rrset_records: 1}}\n".encode()))
