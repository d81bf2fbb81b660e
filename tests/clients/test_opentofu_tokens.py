"""OpenTofu manages API tokens."""

from __future__ import annotations

from tests.api.server import A1, Z1, Z3, Api
from tests.clients.opentofu import CHANGES, EMPTY, Tofu

TOKEN = """
data "cloudflare_api_token_permission_groups_list" "dns" {
  name  = "DNS Write"
  scope = "com.cloudflare.api.account.zone"
}
data "cloudflare_api_token_permission_groups_list" "zones" {
  name = "Zone Read"
}
data "cloudflare_api_token_permission_groups_list" "maps" {
  name = "Address Maps Write"
}
resource "cloudflare_api_token" "ci" {
  name     = "%s"
  status   = "active"
  policies = [
    {
      effect            = "allow"
      permission_groups = [{ id = data.cloudflare_api_token_permission_groups_list.maps.result[0].id }]
      resources         = jsonencode({ "com.cloudflare.api.account.%s" = "*" })
    },
    {
      effect = "allow"
      permission_groups = [
        { id = data.cloudflare_api_token_permission_groups_list.dns.result[0].id },
        { id = data.cloudflare_api_token_permission_groups_list.zones.result[0].id },
      ]
      resources = jsonencode({ "com.cloudflare.api.account.%s" = { "com.cloudflare.api.account.zone.*" = "*" } })
    },
  ]
  %s
}
"""
RESOURCE = "cloudflare_api_token.ci"


def token(name: str, more: str = "") -> str:
    return TOKEN % (name, A1, A1, more)


def test_life_of_a_token(api: Api, tofu: Tofu) -> None:
    tofu.apply(token("ci"))
    token_id, secret = (tofu.attribute(RESOURCE, one) for one in ("id", "value"))
    assert api.result("GET", f"/accounts/{A1}/addressing/address_maps", token=secret) == []
    assert api.result("GET", f"/zones/{Z1}/dns_records", token=secret)
    assert api.refused("GET", f"/zones/{Z3}/dns_records", token=secret)[0] == 404
    tofu.apply(token("cd", 'expires_on = "2099-01-01T00:00:00Z"'))
    assert (tofu.attribute(RESOURCE, "id"), tofu.attribute(RESOURCE, "value")) == (token_id, secret)
    shown = api.result("GET", f"/user/tokens/{token_id}")
    assert (shown["name"], shown["expires_on"][:10]) == ("cd", "2099-01-01")
    tofu.run("destroy", "-auto-approve", "-input=false")
    assert api.refused("GET", f"/zones/{Z1}/dns_records", token=secret)[:2] == (403, 10000)


def test_imported_token_needs_no_change(api: Api, tofu: Tofu) -> None:
    tofu.apply(token("ci"))
    token_id = tofu.attribute(RESOURCE, "id")
    tofu.forget()
    tofu.adopt(RESOURCE, token_id)
    tofu.plan(EMPTY)


def test_drift_of_a_token_is_seen_and_repaired(api: Api, tofu: Tofu) -> None:
    tofu.apply(token("ci"))
    token_id = tofu.attribute(RESOURCE, "id")
    shown = api.result("GET", f"/user/tokens/{token_id}")
    api.result("PUT", f"/user/tokens/{token_id}", {"name": "other", "policies": shown["policies"][:1]})
    assert "0 to add, 1 to change, 0 to destroy" in tofu.plan(CHANGES)
    tofu.apply(token("ci"))
    assert len(api.result("GET", f"/user/tokens/{token_id}")["policies"]) == 2
    api.result("DELETE", f"/user/tokens/{token_id}")
    assert "1 to add, 0 to change, 0 to destroy" in tofu.plan(CHANGES)
    tofu.apply(token("ci"))
