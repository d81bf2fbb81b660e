"""The data of browser tests and screenshots: a company with prefixes, maps and zones, and a neighbour."""

from __future__ import annotations

from collections.abc import Mapping

SETTINGS = """
listen: ["127.0.0.1:0"]
workers: 1
default_addresses: [198.51.100.10, 198.51.100.11, "2001:db8:f::10", "2001:db8:f::11"]
nameservers: [ns1.example.net, ns2.example.net]
api: {listen: "127.0.0.1:0"}
"""

ACME, GLOBEX = "a1" * 16, "a2" * 16
SHOP, BLOG, SPARE, THEIRS = "21" * 16, "22" * 16, "23" * 16, "24" * 16
PREFIX4, PREFIX6, PENDING = "91" * 16, "92" * 16, "93" * 16
MAP_SHOP, MAP_ALL, MAP_OFF, MAP_MANAGED = "5a" * 16, "5b" * 16, "5c" * 16, "5d" * 16
WWW = "5e" * 16

ZONE = """
id: "{id}"
records:
  - {{name: www, type: A, content: 192.0.2.1, proxied: true, id: {www}}}
  - {{name: "@", type: A, content: 192.0.2.1, proxied: true}}
  - {{name: api, type: A, content: 192.0.2.3, proxied: true, comment: behind the edge}}
  - {{name: mail, type: A, content: 192.0.2.25}}
  - {{name: "@", type: MX, content: mail.{name}, priority: 10}}
  - {{name: "@", type: TXT, content: "v=spf1 mx -all"}}
  - {{name: _sip._tcp, type: SRV, content: "0 5 5060 sip.{name}"}}
"""

PROXIED = "{name: www, type: A, content: 192.0.2.7, proxied: true}"

FILES: Mapping[str, str] = {
    "acme/account.yaml": f"""
id: {ACME}
name: Acme
prefixes:
  - id: "{PREFIX4}"
    cidr: 203.0.113.0/24
    asn: 64500
    approved: V
    description: Anycast
    delegations: [{{cidr: 203.0.113.192/27, account: globex}}]
  - {{id: "{PREFIX6}", cidr: "2001:db8:100::/48", asn: 64500, approved: V, description: Anycast}}
  - {{id: "{PENDING}", cidr: 198.18.0.0/24, asn: 64500}}
static_ips: [192.0.2.200, 192.0.2.201]
""",
    "acme/maps/shop.yaml": f"""
id: {MAP_SHOP}
description: Shop
enabled: true
ips: [203.0.113.10, 203.0.113.11, "2001:db8:100::10"]
memberships: [{{kind: zone, identifier: shop.example, created_at: 2026-01-02T03:04:05Z}}]
default_sni: "*.shop.example"
created_at: 2026-01-02T03:04:05Z
modified_at: 2026-03-04T05:06:07Z
""",
    "acme/maps/all.yaml": f"""
id: {MAP_ALL}
description: Everything else
enabled: true
ips: [203.0.113.20, 192.0.2.200, "2001:db8:100::20"]
memberships: [{{kind: account, identifier: acme}}]
""",
    "acme/maps/off.yaml": f"""
id: {MAP_OFF}
description: Maintenance
ips: [203.0.113.99]
memberships: [{{kind: zone, identifier: shop.example}}]
""",
    "acme/maps/managed.yaml": f"""
id: {MAP_MANAGED}
description: In place of the shared pool
enabled: true
ips: [203.0.113.30, "2001:db8:100::30"]
memberships: [{{kind: account, identifier: acme}}]
immutable: true
""",
    "acme/zones/shop.example.yaml": ZONE.format(id=SHOP, name="shop.example", www=WWW),
    "acme/zones/blog.example.yaml": ZONE.format(id=BLOG, name="blog.example", www="5f" * 16),
    "acme/zones/spare.example.yaml": f'id: "{SPARE}"\npaused: true\nrecords: [{PROXIED}]\n',
    "globex/account.yaml": f"id: {GLOBEX}\nname: Globex\n",
    "globex/zones/theirs.example.yaml": f'id: "{THEIRS}"\nrecords: [{PROXIED}]\n',
}

MAPS = f"/accounts/{ACME}/maps"
# Every page, by its content.
PAGES: Mapping[str, str] = {
    "overview": "/",
    "accounts": "/accounts",
    "maps": MAPS,
    "default pool": f"/accounts/{ACME}/pool",
    "deleted maps": f"{MAPS}/deleted",
    "create a map": f"{MAPS}/create",
    "map": f"{MAPS}/{MAP_SHOP}",
    "map of the account": f"{MAPS}/{MAP_ALL}",
    "managed map": f"{MAPS}/{MAP_MANAGED}",
    "edit a map": f"{MAPS}/{MAP_SHOP}/edit",
    "edit a managed map": f"{MAPS}/{MAP_MANAGED}/edit",
    "enable": f"{MAPS}/{MAP_OFF}/enable",
    "disable": f"{MAPS}/{MAP_SHOP}/disable",
    "delete": f"{MAPS}/{MAP_OFF}/delete",
    "addresses": f"/accounts/{ACME}/addresses",
    "approve a prefix": f"/accounts/{ACME}/addresses/{PENDING}/approve",
    "advertise a prefix": f"/accounts/{ACME}/addresses/{PREFIX4}/advertise",
    "withdraw a prefix in use": f"/accounts/{ACME}/addresses/{PREFIX4}/withdraw",
    "delete a prefix in use": f"/accounts/{ACME}/addresses/{PREFIX4}/delete",
    "addresses of an empty account": f"/accounts/{GLOBEX}/addresses",
    "maps of an empty account": f"/accounts/{GLOBEX}/maps",
    "zones": "/zones",
    "zones of an account": f"/zones?account={ACME}",
    "nothing found": "/zones?q=nothing",
    "create a zone": "/zones/create",
    "zone": f"/zones/{SHOP}",
    "paused zone": f"/zones/{SPARE}",
    "pause a zone": f"/zones/{SHOP}/pause",
    "delete a zone": f"/zones/{SHOP}/delete",
    "records": f"/zones/{SHOP}/records",
    "create a record": f"/zones/{SHOP}/records/create?type=CNAME",
    "create an SRV record": f"/zones/{SHOP}/records/create?type=SRV",
    "create a TXT record": f"/zones/{SHOP}/records/create?type=TXT",
    "edit a record": f"/zones/{SHOP}/records/{WWW}/edit",
    "delete a record": f"/zones/{SHOP}/records/{WWW}/delete",
    "import": f"/zones/{SHOP}/records/import",
    "explain": "/explain?name=www.shop.example&type=A",
    "explain, empty form": "/explain",
    "quotas": f"/accounts/{ACME}/quotas",
    "audit log": "/audit",
    "tokens": "/tokens",
    "create a token": "/tokens/create",
}
