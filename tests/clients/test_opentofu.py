"""OpenTofu and Cloudflare's provider manage a zone: create, change, import, drift, destroy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.api.server import A1, Api
from tests.clients.opentofu import CHANGES, EMPTY, Tofu

ZONE = f"""
resource "cloudflare_zone" "shop" {{
  account = {{ id = "{A1}" }}
  name    = "shop.test"
  type    = "full"
}}
"""
SETTING = """
resource "cloudflare_zone_setting" "ipv6" {
  zone_id    = cloudflare_zone.shop.id
  setting_id = "ipv6"
  value      = "%s"
}
"""
RECORDS = {  # label: attributes, and the answer to its name and type
    "apex": ('name = "shop.test"\n type = "A"\n content = "192.0.2.77"\n ttl = 1\n proxied = true', None),
    "relative": ('name = "short"\n type = "A"\n content = "192.0.2.78"\n ttl = 300', "192.0.2.78"),
    "six": ('name = "six.shop.test"\n type = "AAAA"\n content = "2001:db8::77"\n ttl = 300', "2001:db8::77"),
    "alias": ('name = "alias.shop.test"\n type = "CNAME"\n content = "six.shop.test"\n ttl = 300', "six.shop.test."),
    "mail": (
        'name = "shop.test"\n type = "MX"\n content = "mx.shop.test"\n priority = 10\n ttl = 300',
        "10 mx.shop.test.",
    ),
    "null_mail": ('name = "x.shop.test"\n type = "MX"\n content = "."\n priority = 0\n ttl = 300', "0 ."),
    "text": (
        'name = "note.shop.test"\n type = "TXT"\n content = "\\"say \\\\\\"Grüße\\\\\\" twice\\""\n ttl = 300',
        '"say \\"Gr\\195\\188\\195\\159e\\" twice"',
    ),
    "service": (
        'name = "_sip._tcp.shop.test"\n type = "SRV"\n ttl = 300\n priority = 1\n'
        ' data = { priority = 1, weight = 5, port = 5060, target = "sip.shop.test" }',
        "1 5 5060 sip.shop.test.",
    ),
    "issuer": (
        'name = "shop.test"\n type = "CAA"\n ttl = 300\n data = { flags = 0, tag = "issue", value = "ca.test" }',
        '0 issue "ca.test"',
    ),
    "https": (
        'name = "svc.shop.test"\n type = "HTTPS"\n ttl = 300\n'
        ' data = { priority = 1, target = ".", value = "alpn=\\"h3,h2\\"" }',
        '1 . alpn="h3,h2"',
    ),
    "tagged": (
        'name = "tagged.shop.test"\n type = "A"\n content = "192.0.2.79"\n ttl = 300\n'
        ' comment = "Größe; 50 %"\n tags = ["team:edge", "plain"]',
        "192.0.2.79",
    ),
}


def record(label: str, attributes: str) -> str:
    return f'resource "cloudflare_dns_record" "{label}" {{\n zone_id = cloudflare_zone.shop.id\n {attributes}\n}}\n'


def records(**changed: str) -> str:
    """All records, some with other attributes."""
    return "".join(record(label, changed.get(label, attributes)) for label, (attributes, _) in RECORDS.items())


def shown(api: Api, zone_id: str) -> dict[tuple[str, str], dict[str, Any]]:
    """The records that the API shows, by name and type."""
    return {(one["name"], one["type"]): one for one in api.result("GET", f"/zones/{zone_id}/dns_records")}


def test_records_of_every_kind_are_created_and_the_next_plan_is_empty(api: Api, tofu: Tofu) -> None:
    tofu.apply(ZONE, SETTING % "off", records())
    found = shown(api, tofu.attribute("cloudflare_zone.shop", "id"))
    assert len(found) == len(RECORDS)
    assert api.ask("shop.test") == ["198.51.100.10", "198.51.100.11"]
    assert api.ask("shop.test", "AAAA") == [], "ipv6 is off"
    for label, (_, answer) in RECORDS.items():
        if answer:
            name, rtype = (tofu.attribute(f"cloudflare_dns_record.{label}", one) for one in ("name", "type"))
            assert api.ask(name if name.endswith("shop.test") else f"{name}.shop.test", rtype) == [answer], label
    tagged = found["tagged.shop.test", "A"]
    assert (tagged["comment"], sorted(tagged["tags"])) == ("Größe; 50 %", ["plain", "team:edge"])


def test_changes_are_made_in_place(api: Api, tofu: Tofu) -> None:
    tofu.apply(ZONE, SETTING % "off", records())
    zone_id = tofu.attribute("cloudflare_zone.shop", "id")
    before = shown(api, zone_id)
    changed = {
        "apex": RECORDS["apex"][0].replace("192.0.2.77", "192.0.2.99"),
        "mail": RECORDS["mail"][0].replace("10", "20").replace("300", "3600"),
        "service": RECORDS["service"][0].replace("5060", "5061"),
        "text": RECORDS["text"][0].replace("twice", "once"),
        "tagged": 'name = "tagged.shop.test"\n type = "A"\n content = "192.0.2.79"\n ttl = 1\n proxied = true',
    }
    tofu.apply(ZONE.replace("\n}", "\n  paused = true\n}"), SETTING % "on", records(**changed))
    after = shown(api, zone_id)
    assert {key: one["id"] for key, one in after.items()} == {key: one["id"] for key, one in before.items()}
    assert api.ask("shop.test", "MX") == ["20 mx.shop.test."]
    assert api.ask("_sip._tcp.shop.test", "SRV") == ["1 5 5061 sip.shop.test."]
    assert (after["tagged.shop.test", "A"]["comment"], after["tagged.shop.test", "A"]["tags"]) == (None, [])
    assert api.ask("shop.test") == ["192.0.2.99"], "paused: answered as stored"
    tofu.apply(ZONE, SETTING % "on", records(**changed))
    assert api.ask("shop.test", "AAAA") == ["2001:db8:f::10", "2001:db8:f::11"]
    assert api.ask("tagged.shop.test") == ["198.51.100.10", "198.51.100.11"]


def test_imported_objects_need_no_change(api: Api, tofu: Tofu) -> None:
    tofu.apply(ZONE, SETTING % "off", records())
    zone_id = tofu.attribute("cloudflare_zone.shop", "id")
    ids = {label: tofu.attribute(f"cloudflare_dns_record.{label}", "id") for label in RECORDS}
    tofu.forget()
    tofu.adopt("cloudflare_zone.shop", zone_id)
    tofu.adopt("cloudflare_zone_setting.ipv6", f"{zone_id}/ipv6")
    for label, record_id in ids.items():
        tofu.adopt(f"cloudflare_dns_record.{label}", f"{zone_id}/{record_id}")
    tofu.plan(EMPTY)


def test_drift_is_seen_and_repaired(api: Api, tofu: Tofu) -> None:
    tofu.apply(ZONE, SETTING % "off", records())
    zone_id = tofu.attribute("cloudflare_zone.shop", "id")
    found = shown(api, zone_id)
    mail, text, six = (
        found[key]["id"] for key in (("shop.test", "MX"), ("note.shop.test", "TXT"), ("six.shop.test", "AAAA"))
    )
    api.result("PATCH", f"/zones/{zone_id}/dns_records/{mail}", {"priority": 99})
    api.result("PATCH", f"/zones/{zone_id}/dns_records/{text}", {"content": "other"})
    api.result("DELETE", f"/zones/{zone_id}/dns_records/{six}")
    api.result("PATCH", f"/zones/{zone_id}/settings/ipv6", {"value": "on"})
    assert "1 to add, 3 to change, 0 to destroy" in tofu.plan(CHANGES)
    tofu.apply(ZONE, SETTING % "off", records())
    assert api.ask("shop.test", "MX") == [RECORDS["mail"][1]]
    assert api.ask("note.shop.test", "TXT") == [RECORDS["text"][1]]
    assert api.ask("six.shop.test", "AAAA") == [RECORDS["six"][1]]
    assert api.ask("shop.test", "AAAA") == []


def test_token_of_an_account_is_enough(api: Api, tmp_path: Path) -> None:
    tofu = Tofu(tmp_path / "account", api, api.token("--name", "terraform", "--account", A1))
    tofu.apply(ZONE, SETTING % "off", records())
    tofu.run("destroy", "-auto-approve", "-input=false")


def test_destroy_removes_everything(api: Api, tofu: Tofu) -> None:
    tofu.apply(ZONE, SETTING % "off", records())
    tofu.run("destroy", "-auto-approve", "-input=false")
    assert api.result("GET", "/zones?name=shop.test") == []
    assert api.reply("shop.test").rcode() == 5  # REFUSED
