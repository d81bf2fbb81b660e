"""Cloudflare's TypeScript client drives the operations on prefixes, if Node and the client are installed.

`npm install --prefix .venv/node cloudflare@5.2.0` installs it.
"""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from tests.api.server import A1, PREFIX1, Api
from tests.limits import HANG_S
from tests.live.server import PROJECT

MODULES = PROJECT / ".venv" / "node" / "node_modules"
SCRIPT = """
const Cloudflare = require('cloudflare');
const [baseURL, apiToken, account_id, prefix_id] = process.argv.slice(2);
const client = new Cloudflare({ apiToken, baseURL, maxRetries: 0 });
const all = async (page) => { const found = []; for await (const one of page) found.push(one); return found; };
(async () => {
  const { prefixes, services } = client.addressing;
  const made = await prefixes.create({ account_id, asn: 64510, cidr: '198.51.100.0/24' });
  const edited = await prefixes.edit(made.id, { account_id, description: 'ours' });
  const bgp = await prefixes.bgpPrefixes.create(prefix_id, { account_id, cidr: '203.0.113.0/24' });
  const up = await prefixes.bgpPrefixes.edit(prefix_id, bgp.id, { account_id, on_demand: { advertised: true } });
  const status = await prefixes.advertisementStatus.get(prefix_id, { account_id });
  const routes = await all(prefixes.bgpPrefixes.list(prefix_id, { account_id }));
  const [service] = await all(services.list({ account_id }));
  const binding = await prefixes.serviceBindings.create(prefix_id, {
    account_id, cidr: '203.0.113.0/24', service_id: service.id });
  const bindings = await all(prefixes.serviceBindings.list(prefix_id, { account_id }));
  await prefixes.serviceBindings.delete(prefix_id, binding.id, { account_id });
  await prefixes.delete(made.id, { account_id });
  console.log(JSON.stringify({
    approved: made.approved, described: edited.description, started: bgp.on_demand.advertised,
    advertised: up.on_demand.advertised, status: status.advertised, routes: routes.length,
    service: bindings[0].service_name, left: (await all(prefixes.list({ account_id }))).length }));
})().catch((error) => { console.error(error); process.exit(1); });
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")
@pytest.mark.skipif(not (MODULES / "cloudflare").is_dir(), reason="the client is not installed in .venv/node")
def test_typescript_client_drives_prefixes(api: Api) -> None:
    command = ["node", "-", f"{api.origin}/client/v4", api.operator, A1, PREFIX1]
    environment = {"NODE_PATH": str(MODULES), "PATH": "/usr/bin:/bin:/usr/local/bin"}
    done = subprocess.run(command, input=SCRIPT, capture_output=True, text=True, timeout=HANG_S, env=environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "approved": "P",
        "described": "ours",
        "started": False,
        "advertised": True,
        "status": True,
        "routes": 1,
        "service": "CDN",
        "left": 2,
    }
