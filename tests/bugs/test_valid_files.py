"""Valid files are not refused."""

from __future__ import annotations

import pathlib

import pytest

from dnsd.app import load

SETTINGS = "default_addresses: [198.51.100.10]\nnameservers: [ns1.example.net]\n"
ID = "0123456789abcdef0123456789abcdef"
ACCOUNT = "prefixes: [{cidr: 203.0.113.0/24, approved: V}]\n"
ZONE = f"id: {ID}\nrecords: [{{name: www, type: A, content: 192.0.2.1, proxied: true}}]\n"
MAP = "enabled: true\nips: [203.0.113.1]\nmemberships: [{kind: zone, identifier: example.com}]\n"
FILES = {
    "dnsd.yaml": SETTINGS,
    "accounts/a/account.yaml": ACCOUNT,
    "accounts/a/zones/example.com.yaml": ZONE,
    "accounts/a/maps/m.yaml": MAP,
}

CASES: dict[str, dict[str, str | bytes]] = {
    "a member by its id in capitals": {"accounts/a/maps/m.yaml": MAP.replace("example.com", ID.upper())},
    "a member by its name in capitals": {"accounts/a/maps/m.yaml": MAP.replace("example.com", "EXAMPLE.COM.")},
    "keys without a value": {
        "accounts/a/account.yaml": ACCOUNT + "static_ips:\nsettings:\n",
        "accounts/a/zones/example.com.yaml": ZONE + "settings:\nsoa:\nnameservers: ~\n",
        "accounts/a/maps/m.yaml": MAP + "default_sni:\nimmutable: ~\n",
        "dnsd.yaml": SETTINGS + "workers:\nlimits:\napi: ~\n",
    },
    "a byte order mark": {
        "accounts/a/account.yaml": b"\xef\xbb\xbf" + ACCOUNT.encode(),
        "accounts/a/zones/example.net.zone": b"\xef\xbb\xbf@ 60 SOA a. b. 1 2 3 4 5\n@ 60 NS a.\n",
    },
    "the root zone in YAML": {"accounts/a/zones/root.yaml": "name: .\nrecords: []\n"},
    "a membership of the year 1": {
        "accounts/a/maps/m.yaml": MAP.replace("example.com", "example.com, created_at: 0001-01-01T00:00:00+23:59")
    },
    "data in generic notation": {
        "accounts/a/zones/example.net.yaml": r"records: [{name: a, type: A, content: '\# 4 c0000201'}]"
    },
}


@pytest.mark.parametrize("files", CASES.values(), ids=CASES.keys())
def test_is_loaded_without_warnings(tmp_path: pathlib.Path, files: dict[str, str | bytes]) -> None:
    for name, text in {**FILES, **files}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert not load(tmp_path / "dnsd.yaml", {}).warnings
