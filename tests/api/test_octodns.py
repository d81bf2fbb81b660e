"""octoDNS with its Cloudflare provider, unmodified: it plans and applies; the second plan is empty."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from typing import Any

import pytest

from tests.api.server import A1, Api

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    octodns = importlib.import_module("octodns.manager")

ZONE = """
'':
  - {type: A, values: [192.0.2.1, 192.0.2.2], octodns: {cloudflare: {proxied: true, auto-ttl: true}}}
  - {type: MX, ttl: 3600, values: [{preference: 10, exchange: mail.octo.test.}]}
  - {type: TXT, ttl: 300, values: ['v=spf1 -all', 'back\\\\slash and a \\; semicolon']}
  - {type: CAA, ttl: 300, values: [{flags: 0, tag: issue, value: ca.test}]}
www: {type: CNAME, ttl: 300, value: octo.test.}
six: {type: AAAA, ttl: 300, values: ['2001:db8::1']}
_sip._tcp: {type: SRV, ttl: 300, values: [{priority: 1, weight: 2, port: 5060, target: sip.octo.test.}]}
sub: {type: NS, ttl: 300, values: [ns1.sub.test., ns2.sub.test.]}
ptr: {type: PTR, ttl: 300, values: [host.octo.test.]}
ssh:
  type: SSHFP
  ttl: 300
  values:
    - {algorithm: 4, fingerprint_type: 2, fingerprint: abababababababababababababababababababababababababababababababab}
"*.wild": {type: A, ttl: 300, values: [192.0.2.9]}
"""
CONFIG = """
providers:
  config: {class: octodns.provider.yaml.YamlProvider, directory: DIRECTORY, default_ttl: 300, enforce_order: false}
  dnsd:
    class: octodns_cloudflare.CloudflareProvider
    token: TOKEN
    account_id: ACCOUNT
    api_url: URL
    min_ttl: 60
    retry_period: 1
zones:
  octo.test.: {sources: [config], targets: [dnsd]}
"""


@pytest.mark.filterwarnings("ignore")
def test_zone_is_applied_and_the_second_plan_is_empty(api: Api, tmp_path: Path) -> None:
    def run(*, is_applied: bool) -> int:
        return int(octodns.Manager(str(config)).sync(dry_run=not is_applied, force=True))

    (tmp_path / "octo.test.yaml").write_text(ZONE)
    config = tmp_path / "config.yaml"
    said: Any = CONFIG.replace("DIRECTORY", str(tmp_path)).replace("TOKEN", api.operator).replace("ACCOUNT", A1)
    config.write_text(said.replace("URL", f"{api.origin}/client/v4"))
    assert run(is_applied=True) > 0
    assert api.ask("octo.test") == ["203.0.113.30"]
    assert api.ask("octo.test", "MX") == ["10 mail.octo.test."]
    assert api.ask("www.octo.test", "CNAME") == ["octo.test."]
    assert run(is_applied=False) == 0
    (tmp_path / "octo.test.yaml").write_text(ZONE.replace("ttl: 3600", "ttl: 7200").replace("192.0.2.9", "192.0.2.10"))
    assert run(is_applied=True) == 2
    assert api.ask("x.wild.octo.test") == ["192.0.2.10"]
    assert run(is_applied=False) == 0
