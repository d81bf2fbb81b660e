"""The settings of the HTTP services: warnings at the start, and the judgement of `dnsd check`."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from dnsd.cli import main
from dnsd.settings.file import load_settings
from dnsd.settings.services import plain_warnings
from tests.certificates import DAY, Authority

POOL = "default_addresses: [198.51.100.10]\n"
TLS = "tls: {certificate: server.pem, key: server.key}"
API = f'api: {{listen: "127.0.0.1:8053", hosts: [dns.example.com], {TLS}}}\n'
METRICS = 'metrics: {listen: "127.0.0.1:9153", token_file: token}\n'

# Settings, parts of the warnings
PLAIN = {
    "loopback": ('api: {listen: "127.0.0.1:8053"}', []),
    "IPv6 loopback": ('api: {listen: "[::1]:8053"}', []),
    "all addresses": ('api: {listen: "0.0.0.0:8053"}', ["api: 0.0.0.0:8053 has no TLS"]),
    "all IPv6 addresses": ('api: {listen: "[::]:8053"}', ["api: [::]:8053 has no TLS"]),
    "an address": ('api: {listen: "192.0.2.1:8053"}', ["tokens and sessions cross the network in clear"]),
    "with TLS": (f'api: {{listen: "192.0.2.1:8053", {TLS}}}', []),
    "metrics without a token": ('metrics: {listen: "0.0.0.0:9153"}', []),
    "metrics with a token": ('metrics: {listen: "0.0.0.0:9153", token_file: t}', ["metrics: 0.0.0.0:9153 has no TLS"]),
}


@pytest.mark.parametrize(("text", "warnings"), PLAIN.values(), ids=PLAIN.keys())
def test_secrets_in_clear_are_warned_of(tmp_path: Path, text: str, warnings: list[str]) -> None:
    (tmp_path / "dnsd.yaml").write_text(f"{POOL}{text}\n")
    found = [*plain_warnings(load_settings(tmp_path / "dnsd.yaml", {}).settings)]
    assert len(found) == len(warnings)
    assert all(part in line for part, line in zip(warnings, found, strict=True))


def issued(*names: str, end: timedelta = 90 * DAY, mode: int = 0o600) -> Callable[[Authority], object]:
    def issue(authority: Authority) -> None:
        _, key = authority.issue(*names, end=end)
        os.chmod(key, mode)

    return issue


def mismatched(authority: Authority) -> None:
    authority.issue("dns.example.com", stem="other")
    authority.issue("dns.example.com")
    (authority.folder / "other.key").rename(authority.folder / "server.key")


# Preparation; status; place and message of each problem
CHECKED: dict[str, tuple[Callable[[Authority], object], bool, list[tuple[str, str]]]] = {
    "a good pair": (issued("dns.example.com"), True, []),
    "a wildcard": (issued("*.example.com"), True, []),
    "two weeks left": (
        issued("dns.example.com", end=13 * DAY),
        True,
        [("api.tls.certificate", "the certificate expires in 12 days")],
    ),
    "an expired one": (
        issued("dns.example.com", end=timedelta(hours=-1)),
        False,
        [("api.tls.certificate", "the certificate expired on")],
    ),
    "the key of another": (mismatched, False, [("api.tls.certificate", "is not the key of the certificate")]),
    "no files": (lambda authority: None, False, [("api.tls.certificate", "cannot be read: No such file")]),
    "another name": (
        issued("other.example.com"),
        True,
        [("api.tls.certificate", "does not name dns.example.com of api.hosts")],
    ),
    "an open key": (issued("dns.example.com", mode=0o644), True, [("api.tls.key", "other users can read")]),
}


def check(folder: Path, text: str) -> tuple[bool, list[tuple[str, str, int]]]:
    (folder / "dnsd.yaml").write_text(text)
    (folder / "accounts").mkdir(exist_ok=True)
    done = CliRunner().invoke(main, ["check", "--json", "-c", str(folder / "dnsd.yaml")])
    said = json.loads(done.stdout)
    assert done.exit_code == (0 if said["ok"] else 1)
    found = [one for one in said["problems"] if one["path"]]  # not the warning about a folder without accounts
    return said["ok"], [(one["path"], one["message"], one["line"]) for one in found]


@pytest.mark.parametrize("what", CHECKED)
def test_check_judges_the_certificate(tmp_path: Path, what: str) -> None:
    prepare, is_ok, problems = CHECKED[what]
    prepare(Authority(tmp_path))
    found_ok, found = check(tmp_path, POOL + API)
    assert found_ok is is_ok
    assert [(path, line) for path, _, line in found] == [(path, 2) for path, _ in problems]
    assert all(part in message for (_, part), (_, message, _) in zip(problems, found, strict=True))


@pytest.mark.parametrize(
    ("token", "is_ok"),
    [
        ("0123456789abcdef\n", True),
        ("0123456789abcde", False),
        ("", False),
        ("two words of a token", False),
        (None, False),
    ],
)
def test_check_reads_the_token_file_and_never_shows_it(tmp_path: Path, token: str | None, is_ok: bool) -> None:
    if token is not None:
        (tmp_path / "token").write_text(token)
    found_ok, found = check(tmp_path, POOL + METRICS)
    assert found_ok is is_ok
    assert [path for path, _, _ in found] == [] if is_ok else ["metrics.token_file"]
    assert not token or all(token not in message for _, message, _ in found)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can switch to another user")
def test_check_tells_root_what_the_servers_user_cannot_read(tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    certificate, key = Authority(tmp_path).issue("dns.example.com")
    for folder in (tmp_path, *tmp_path.parents[:-1]):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)  # pytest's folders are its user's own
    place, message, _ = check(tmp_path, f"{POOL}user: nobody\n{API}")[1][0]
    assert place == "api.tls.key"
    assert f"{key} cannot be read by the user nobody" in message
    os.chown(key, 0, nobody.pw_gid)
    key.chmod(0o640)
    assert check(tmp_path, f"{POOL}user: nobody\n{API}") == (True, [])
    (tmp_path / "closed").mkdir(mode=0o700)
    key.rename(tmp_path / "closed" / "server.key")
    key.symlink_to("closed/server.key")
    assert check(tmp_path, f"{POOL}user: nobody\n{API}")[1][0][0] == "api.tls.key"
    assert certificate.exists()
