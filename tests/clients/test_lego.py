"""lego obtains certificates by dns-01 through the API, from a CA that asks dnsd for each challenge."""

from __future__ import annotations

import os
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.server import Z1, Z2, Api
from tests.clients.pebble import Pebble
from tests.clients.tools import tool
from tests.limits import HANG_S

NAMES = ("example.com", "*.example.com", "shop.example.com")  # the first two have their challenges at one name
CHALLENGES = ("_acme-challenge.example.com", "_acme-challenge.shop.example.com")


@pytest.fixture
def pebble(tmp_path: Path, api: Api) -> Iterator[Pebble]:
    with Pebble(tmp_path, f"{api.dns.host}:{api.dns.port}").running() as pebble:
        yield pebble


def run_lego(
    folder: Path, api: Api, pebble: Pebble, *arguments: str, **credentials: str
) -> subprocess.CompletedProcess[str]:
    """A run of lego, told to ask dnsd alone: names in tests are delegated nowhere."""
    command = [tool("lego"), "--accept-tos", "--email", "admin@example.com", "--path", folder]
    command += ["--server", pebble.directory, "--dns", "cloudflare"]
    command += ["--dns.resolvers", f"{api.dns.host}:{api.dns.port}"]
    command += ["--dns.propagation-disable-ans", "--dns.propagation-rns"]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("CF_", "CLOUDFLARE_"))},
        "LEGO_CA_CERTIFICATES": str(pebble.trusted),
        "CLOUDFLARE_BASE_URL": f"{api.origin}/client/v4",
        **credentials,
    }
    return subprocess.run(
        [*command, *(f"--domains={name}" for name in NAMES), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_S,
    )


def is_trusted(certificate: Path, root: str, name: str) -> bool:
    """Whether a client that trusts a root accepts a certificate with its key for a name."""
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate, certificate.with_suffix(".key"))
    asking = ssl.create_default_context(cadata=root)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = asking.wrap_bio(back, there, server_hostname=name)
    server = serving.wrap_bio(there, back, server_side=True)
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLCertVerificationError:
            return False
    return True


def challenges(api: Api) -> list[str]:
    return [text for name in CHALLENGES for text in api.ask(name, "TXT")]


def records(api: Api) -> list[str]:
    return [one["id"] for one in api.result("GET", f"/zones/{Z1}/dns_records")]


def test_certificate_is_obtained_and_renewed_with_a_token_for_one_zone(
    api: Api, pebble: Pebble, tmp_path: Path
) -> None:
    before = records(api)
    token = api.token("--name", "acme", "--zone", Z1, "--permission", "dns:edit")
    done = run_lego(tmp_path / "lego", api, pebble, "run", CLOUDFLARE_DNS_API_TOKEN=token)
    assert done.returncode == 0, done.stdout + done.stderr
    certificate = tmp_path / "lego" / "certificates" / "example.com.crt"
    first, root = certificate.read_bytes(), pebble.root()
    for name in ("example.com", "any.example.com", "shop.example.com"):
        assert is_trusted(certificate, root, name)
    assert not is_trusted(certificate, root, "example.net")
    done = run_lego(
        tmp_path / "lego", api, pebble, "renew", "--days", "99999", "--no-random-sleep", CLOUDFLARE_DNS_API_TOKEN=token
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert certificate.read_bytes() != first
    assert is_trusted(certificate, root, "any.example.com")
    assert challenges(api) == []
    assert records(api) == before


def test_tokens_may_be_separate_for_zones_and_records(api: Api, pebble: Pebble, tmp_path: Path) -> None:
    reads = api.token("--name", "reads", "--permission", "zones:read")
    edits = api.token("--name", "edits", "--zone", Z1, "--permission", "dns:edit")
    done = run_lego(
        tmp_path / "lego", api, pebble, "run", CLOUDFLARE_ZONE_API_TOKEN=reads, CLOUDFLARE_DNS_API_TOKEN=edits
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--zone", Z2, "--permission", "dns:edit"), "zone could not be found"),
        (("--zone", Z1, "--permission", "dns:read"), "dns:edit"),
    ],
    ids=["another zone", "read only"],
)
def test_token_that_is_too_narrow_obtains_nothing(
    arguments: tuple[str, ...], reason: str, api: Api, pebble: Pebble, tmp_path: Path
) -> None:
    token = api.token("--name", "acme", *arguments)
    done = run_lego(tmp_path / "lego", api, pebble, "run", CLOUDFLARE_DNS_API_TOKEN=token)
    assert done.returncode != 0
    assert reason in done.stderr, done.stderr
    assert challenges(api) == []
    assert not (tmp_path / "lego" / "certificates" / "example.com.crt").exists()
