"""Zones verified by their delegation or a TXT record, which the process `outbound` looks up through resolvers."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from tests.api.server import A1, A2, FILES, SETTINGS, Api
from tests.browser.sessions import Person
from tests.bugs.accounts import made_zone, wait_for
from tests.fake_resolver import FakeResolver, fake_resolver


@pytest.fixture(scope="module")
def resolver() -> Iterator[FakeResolver]:
    with fake_resolver() as resolver:
        yield resolver


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, resolver: FakeResolver) -> Iterator[Api]:
    settings = SETTINGS + f"resolver: 127.0.0.1:{resolver.address[1]}\n"
    with Api(tmp_path_factory.mktemp("resolvers"), FILES, settings=settings).running() as api:
        yield api


def shown(api: Api, zone_id: str) -> dict[str, Any]:
    found: dict[str, Any] = api.result("GET", f"/zones/{zone_id}")
    return found


def is_verified(api: Api, zone_id: str) -> bool:
    return bool(shown(api, zone_id)["verified"])


def test_delegated_zone_is_verified_soon_after_it_is_made(api: Api, acme: str, resolver: FakeResolver) -> None:
    resolver.answers["soon.test.", "NS"] = ["ns.elsewhere.test.", "NS2.example.net."]
    made = api.call("POST", "/zones", {"account": {"id": A1}, "name": "soon.test"}, token=acme).json()
    zone = made["result"]["id"]
    assert "resolvers find it delegated to its name servers or the TXT record" in made["messages"][0]["message"]
    wait_for(lambda: is_verified(api, zone))
    assert "verified: true\n" in api.read("acme/zones/soon.test.yaml")
    entry = next(one for one in api.result("GET", f"/accounts/{A1}/audit_logs") if "zone.verify" in str(one))
    assert "the server" in str(entry)
    assert api.result("PUT", f"/zones/{zone}/activation_check", token=acme) == {"id": zone}


def test_text_verifies_a_pending_zone_once_its_account_asks(
    api: Api, acme: str, globex: str, resolver: FakeResolver
) -> None:
    squatter = made_zone(api, A2, "text.test", globex)
    response = api.call("POST", "/zones", {"name": "text.test"}, token=acme).json()
    zone, key = response["result"]["id"], response["result"]["verification_key"]
    proof = f'resolvers find the TXT record cloudflare-verify.text.test "{key}"'  # a delegation would not do
    assert response["messages"][0]["message"].endswith(proof)
    name = "cloudflare-verify.text.test."
    wait_for(lambda: [one.name for one in resolver.asked].count(name) >= 2)
    resolver.answers["text.test.", "NS"] = ["ns.elsewhere.test."]
    resolver.answers[name, "TXT"] = [f'"{key}"']
    assert (shown(api, zone)["status"], shown(api, zone)["verified"]) == ("pending", False)

    assert api.result("PUT", f"/zones/{zone}/activation_check", token=acme) == {"id": zone}
    wait_for(lambda: is_verified(api, zone))
    assert (shown(api, zone)["status"], shown(api, squatter)["status"]) == ("active", "pending")
    assert api.result("PUT", f"/zones/{squatter}/activation_check", token=globex) == {"id": squatter}
    status, code, message = api.refused("PUT", f"/zones/{squatter}/activation_check", token=globex)
    assert (status, code) == (429, 1014)
    assert "wait" in message
    assert not is_verified(api, squatter)


def test_page_has_the_text_and_a_button(api: Api, acme: str, resolver: FakeResolver) -> None:
    zone = made_zone(api, A1, "page.test", acme)
    path, key = f"/zones/{zone}", shown(api, zone)["verification_key"]
    with Person(api, acme) as person:
        assert f"cloudflare-verify.page.test &#34;{key}&#34;" in person.get(path).text
        assert f'action="{path}/check"' in person.get(path).text
        resolver.answers["page.test.", "NS"] = ["ns1.example.net."]
        assert person.post(f"{path}/check", {}).status_code == 303
        wait_for(lambda: is_verified(api, zone))
        assert "Check now" not in person.get(path).text
        assert person.post(f"{path}/check", {}).status_code == 303


def test_own_records_prove_nothing(api: Api, acme: str, globex: str, resolver: FakeResolver) -> None:
    """Resolvers ask this server for what is delegated to it, as they do after a customer has left."""
    thief = made_zone(api, A2, "www.left.test", globex)
    owner = made_zone(api, A1, "left.test", acme)
    key = shown(api, thief)["verification_key"]
    text = {"type": "TXT", "name": "cloudflare-verify", "content": f'"{key}"'}
    api.result("POST", f"/zones/{thief}/dns_records", text, token=globex)
    resolver.answers["www.left.test.", "NS"] = api.ask("www.left.test", "NS")
    resolver.answers["cloudflare-verify.www.left.test.", "TXT"] = api.ask("cloudflare-verify.www.left.test", "TXT")
    assert resolver.answers["cloudflare-verify.www.left.test.", "TXT"] == [f'"{key}"']
    asked = len(resolver.asked)
    api.result("PUT", f"/zones/{thief}/activation_check", token=globex)
    wait_for(lambda: len(resolver.asked) >= asked + 2)
    resolver.answers["left.test.", "NS"] = ["ns1.example.net."]
    api.result("PUT", f"/zones/{owner}/activation_check", token=acme)
    wait_for(lambda: is_verified(api, owner))
    assert not is_verified(api, thief)
    assert shown(api, thief)["status"] == "pending"


def test_process_has_no_listening_socket_and_is_replaced_when_it_ends(
    api: Api, acme: str, resolver: FakeResolver
) -> None:
    (process,) = (one for one in children(api) if not listening(one))
    os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: any(one.pid != process.pid and not listening(one) for one in children(api)))
    assert "outbound ended" in api.dns.stderr.text()
    resolver.answers["again.test.", "NS"] = ["ns1.example.net."]
    zone = made_zone(api, A1, "again.test", acme)
    wait_for(lambda: is_verified(api, zone))


def children(api: Api) -> list[psutil.Process]:
    return [one for one in psutil.Process(api.dns.process.pid).children() if one.status() != psutil.STATUS_ZOMBIE]


def listening(process: psutil.Process) -> list[Any]:
    """The sockets of a process that anybody could send to: TCP listeners, and UDP sockets without a peer."""
    return [one for one in process.net_connections() if not one.raddr]


def test_without_a_resolver_nothing_is_looked_up(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Api(tmp_path_factory.mktemp("alone"), FILES).running() as api:
        assert all(listening(one) for one in children(api))
        zone = made_zone(api, A1, "alone.test", api.token("--account", A1))
        for _ in range(3):
            assert api.result("PUT", f"/zones/{zone}/activation_check") == {"id": zone}
        assert not is_verified(api, zone)
