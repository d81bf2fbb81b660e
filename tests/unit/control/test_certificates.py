"""The pairs of the running services: kept, renewed and refused as their files change."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dnsd.control import certificates
from dnsd.control.certificates import Certificates, NoPairError
from dnsd.settings.file import load_settings
from dnsd.settings.server import Settings
from tests.certificates import DAY, Authority

TLS = "tls: {certificate: server.pem, key: server.key}"
PLAIN = 'default_addresses: [198.51.100.10]\napi: {listen: "127.0.0.1:0"}\n'
WITH_TLS = f'default_addresses: [198.51.100.10]\napi: {{listen: "127.0.0.1:0", {TLS}}}\n'


class Lines:
    """A log that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, event: str) -> None:
        self.lines.append(event)

    warning = error = info


class Watched:
    """Certificates with settings and a log of their own."""

    def __init__(self, folder: Path, text: str = WITH_TLS) -> None:
        self.folder = folder
        self.current: Any = SimpleNamespace(settings=self.settings(text))
        self.log: Any = Lines()
        self.it = Certificates(folder / "dnsd.yaml", self.current, self.current.settings, self.log)

    def settings(self, text: str) -> Settings:
        (self.folder / "dnsd.yaml").write_text(text)
        return load_settings(self.folder / "dnsd.yaml", {}).settings

    def look(self, *, is_patient: bool = False) -> list[str]:
        """Look at the files; return the new lines of the log."""
        seen = len(self.log.lines)
        asyncio.run(self.it.look(is_patient=is_patient))
        return self.log.lines[seen:]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def watched(tmp_path: Path, authority: Authority) -> Watched:
    authority.issue("dns.example.com")
    one = Watched(tmp_path)
    (line,) = one.look()
    assert line.startswith("api.tls: certificate of dns.example.com, valid until ")
    return one


def test_service_without_tls_has_no_context(tmp_path: Path) -> None:
    plain = Watched(tmp_path, PLAIN)
    assert plain.look() == []
    assert plain.it.context("api") is None
    assert not plain.it.has_tls("api")
    assert (plain.it.problems(), plain.it.data(), [*plain.it.samples()]) == ([], {}, [])


def test_pair_is_read_once_while_its_files_stay(watched: Watched) -> None:
    context = watched.it.context("api")
    assert context is not None
    assert watched.look() == []
    assert watched.it.context("api") is context
    assert watched.it.problems() == []


def test_new_files_give_a_new_context(watched: Watched, authority: Authority) -> None:
    before = watched.it.context("api")
    authority.issue("dns.example.net")
    (line,) = watched.look()
    assert line.startswith("api.tls: new certificate of dns.example.net, ")
    assert watched.it.context("api") not in (before, None)


def test_files_behind_links_are_followed(tmp_path: Path, authority: Authority) -> None:
    for stem in ("one", "two"):
        authority.issue(f"{stem}.example", stem=stem)
    links = {"server.pem": "one.pem", "server.key": "one.key"}
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    watched = Watched(tmp_path)
    watched.look()
    for name in links:
        (tmp_path / "new").symlink_to(links[name].replace("one", "two"))
        (tmp_path / "new").rename(tmp_path / name)
    (line,) = watched.look()
    assert "new certificate of two.example" in line


def test_unusable_pair_changes_nothing(watched: Watched, authority: Authority) -> None:
    before = watched.it.context("api")
    authority.issue("dns.example.com", stem="other")
    (watched.folder / "other.key").rename(watched.folder / "server.key")
    (line,) = watched.look()
    assert "server.key is not the key of the certificate" in line
    assert "the earlier pair is still served" in line
    assert watched.it.context("api") is before
    assert watched.look() == []  # said once
    assert watched.it.problems() == [line]
    assert dict(watched.it.samples())[("dnsd_tls_certificate_usable", "api")] == 0
    authority.issue("dns.example.com")
    assert "new certificate" in watched.look()[0]
    assert watched.it.problems() == []


def test_expired_pair_does_not_replace_a_good_one(watched: Watched, authority: Authority) -> None:
    before = watched.it.context("api")
    authority.issue("dns.example.com", start=-9 * DAY, end=-DAY)
    (line,) = watched.look()
    assert "the certificate expired on" in line
    assert watched.it.context("api") is before


def test_expired_pair_is_served_if_there_is_no_other(tmp_path: Path, authority: Authority) -> None:
    authority.issue("dns.example.com", start=-9 * DAY, end=-DAY)
    watched = Watched(tmp_path)
    _, alarm = watched.look()
    assert alarm.startswith("alarm: api.tls: the certificate expired on")
    assert watched.it.context("api") is not None
    assert "expired on" in watched.it.problems()[0]
    assert watched.look() == []


def test_end_of_the_certificate_is_announced_once_a_day(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.issue("dns.example.com", end=10 * DAY)
    watched = Watched(tmp_path)
    _, warning = watched.look()
    assert warning.startswith("warning: api.tls: the certificate expires in 9 days")
    assert watched.look() == []
    assert "expires in 9 days" in watched.it.problems()[0]
    monkeypatch.setattr(certificates, "REMIND_EVERY", timedelta(0))
    authority.issue("dns.example.com", end=5 * DAY)
    watched.look()
    assert "expires in 4 days" in watched.look()[0]


def test_service_without_a_usable_pair_accepts_no_connection(tmp_path: Path, authority: Authority) -> None:
    watched = Watched(tmp_path)
    (line,) = watched.look()
    assert "server.pem cannot be read: No such file or directory; no connection is accepted" in line
    with pytest.raises(NoPairError):
        watched.it.context("api")
    assert watched.it.data()["api"]["expires_at"] is None
    authority.issue("dns.example.com")
    assert watched.look()[0].startswith("api.tls: certificate of dns.example.com")
    assert watched.it.context("api") is not None


def test_half_replaced_pair_is_given_time(
    watched: Watched, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.issue("dns.example.net", stem="new")
    (watched.folder / "new.pem").rename(watched.folder / "server.pem")
    assert watched.look(is_patient=True) == []
    (watched.folder / "new.key").rename(watched.folder / "server.key")
    assert "new certificate of dns.example.net" in watched.look(is_patient=True)[0]
    (watched.folder / "server.key").unlink()
    assert watched.look(is_patient=True) == []
    monkeypatch.setattr(certificates, "PATIENCE_S", 0)
    assert "server.key cannot be read" in watched.look(is_patient=True)[0]


def test_settings_of_a_reload_apply(watched: Watched, authority: Authority) -> None:
    authority.issue("dns.example.org", stem="moved")
    watched.current.settings = watched.settings(WITH_TLS.replace("server.", "moved."))
    assert "new certificate of dns.example.org" in watched.look()[0]
    watched.current.settings = watched.settings(PLAIN)
    assert watched.look() == []
    assert watched.it.context("api") is None
    watched.current.settings = watched.settings("default_addresses: [198.51.100.10]\n")  # takes a restart
    watched.look()
    assert watched.it.context("api") is not None


def test_key_that_others_can_read_is_reported(tmp_path: Path, authority: Authority) -> None:
    _, key = authority.issue("dns.example.com")
    os.chmod(key, 0o644)
    watched = Watched(tmp_path)
    assert watched.look()[1] == f"warning: api.tls.key: other users can read {key}: chmod o= {key}"
