"""Cloudflare's TypeScript client drives address maps, prefixes, LOA documents and tokens.

`make test-clients` installs it into `.venv/node`; it needs Node and npm.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.server import A1, FILES, PREFIX1, Z1, Api
from tests.limits import HANG_S
from tests.live.server import PROJECT

MODULES = PROJECT / ".venv" / "node" / "node_modules"
pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed"),
    pytest.mark.skipif(not (MODULES / "cloudflare").is_dir(), reason="`make test-clients` installs the client"),
]
# `answers` is printed at the end, as JSON.
BEGIN = """
const Cloudflare = require('cloudflare');
const [baseURL, apiToken, account_id, prefix_id, zone_id] = process.argv.slice(2);
const client = new Cloudflare({ apiToken, baseURL, maxRetries: 0 });
const all = async (page) => { const found = []; for await (const one of page) found.push(one); return found; };
const statusOf = async (call) => { try { await call; return 200; } catch (error) { return error.status; } };
const answers = {};
(async () => {
  const { addressMaps: maps, loaDocuments: letters, prefixes, services } = client.addressing;
  const account = { account_id };
"""
END = """
  console.log(JSON.stringify(answers));
})().catch((error) => { console.error(error); process.exit(1); });
"""
# The client has no method for zones as members of a map: the request itself is sent.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "address maps": (
        """
  const ips = ['203.0.113.77', '2001:db8:100::77'];
  const made = await maps.create({ ...account, description: 'from Node', enabled: false, ips });
  const ofMap = { ...account, address_map_id: made.id };
  await maps.ips.update('203.0.113.78', ofMap);
  await maps.ips.delete('203.0.113.77', ofMap);
  await client.put(`/accounts/${account_id}/addressing/address_maps/${made.id}/zones/${zone_id}`);
  const edited = await maps.edit(made.id, { ...account, description: 'edited', enabled: true });
  const got = await maps.get(made.id, account);
  answers.got = [got.description, got.enabled, got.ips.map((one) => one.ip)];
  answers.members = got.memberships.map((one) => one.identifier);
  answers.edited = [edited.description, edited.enabled];
  answers.listed = (await all(maps.list(account))).filter((one) => one.id === made.id).length;
  answers.inUse = await statusOf(maps.delete(made.id, account));
  await maps.accounts.update(account_id, ofMap);
  await maps.accounts.delete(account_id, ofMap);
  await client.delete(`/accounts/${account_id}/addressing/address_maps/${made.id}/zones/${zone_id}`);
  await maps.edit(made.id, { ...account, enabled: false });
  await maps.delete(made.id, account);
  answers.gone = await statusOf(maps.get(made.id, account));
""",
        {
            "got": ["edited", True, ["2001:db8:100::77", "203.0.113.78"]],
            "members": [Z1],
            "edited": ["edited", True],
            "listed": 1,
            "inUse": 400,
            "gone": 404,
        },
    ),
    "prefixes": (
        """
  const made = await prefixes.create({ ...account, asn: 64510, cidr: '198.51.100.0/24' });
  const edited = await prefixes.edit(made.id, { ...account, description: 'ours' });
  const bgp = await prefixes.bgpPrefixes.create(prefix_id, { ...account, cidr: '203.0.113.0/24' });
  const up = await prefixes.bgpPrefixes.edit(bgp.id, { ...account, prefix_id, on_demand: { advertised: true } });
  const status = await prefixes.advertisementStatus.get(prefix_id, account);
  const [service] = await all(services.list(account));
  const binding = await prefixes.serviceBindings.create(prefix_id, {
    ...account, cidr: '203.0.113.0/24', service_id: service.id });
  const bindings = await all(prefixes.serviceBindings.list(prefix_id, account));
  await prefixes.serviceBindings.delete(binding.id, { ...account, prefix_id });
  answers.made = [made.approved, edited.description, bgp.on_demand.advertised, up.on_demand.advertised];
  answers.routes = [status.advertised, (await all(prefixes.bgpPrefixes.list(prefix_id, account))).length];
  answers.service = bindings[0].service_name;
  await prefixes.delete(made.id, account);
  answers.left = (await all(prefixes.list(account))).length;
""",
        {"made": ["P", "ours", False, True], "routes": [True, 1], "service": "CDN", "left": 2},
    ),
    "letters of agency": (
        """
  const pdf = await Cloudflare.toFile(Buffer.from('%PDF-1.7 from Node'), 'letter.pdf', { type: 'application/pdf' });
  const made = await letters.create({ ...account, loa_document: pdf });
  const response = await letters.get(made.id, account);
  answers.made = [made.filename, made.size_bytes, made.account_id === account_id];
  answers.text = await response.text();
  answers.type = response.headers.get('content-type');
""",
        {"made": ["letter.pdf", 18, True], "text": "%PDF-1.7 from Node", "type": "application/pdf"},
    ),
    "tokens": (
        """
  const groups = await all(client.accounts.tokens.permissionGroups.list(account));
  const group = groups.find((one) => one.name.includes('DNS') && one.name.includes('Read'));
  const resources = { [`com.cloudflare.api.account.${account_id}`]: '*' };
  const policies = [{ effect: 'allow', resources, permission_groups: [{ id: group.id }] }];
  const made = await client.accounts.tokens.create({ ...account, name: 'from Node', policies });
  const own = new Cloudflare({ apiToken: made.value, baseURL, maxRetries: 0 });
  answers.verified = (await own.user.tokens.verify()).status;
  answers.records = (await all(own.dns.records.list({ zone_id }))).length > 0;
  const record = { zone_id, name: 'x', type: 'A', content: '192.0.2.1', ttl: 60 };
  answers.narrow = await statusOf(own.dns.records.create(record));
  const rolled = await client.accounts.tokens.value.update(made.id, { ...account, body: {} });
  answers.old = await statusOf(own.user.tokens.verify());
  answers.rolled = rolled !== made.value;
  const change = { ...account, name: 'renamed', policies, status: 'active' };
  answers.renamed = (await client.accounts.tokens.update(made.id, change)).name;
  answers.listed = (await all(client.accounts.tokens.list(account))).filter((one) => one.id === made.id).length;
  answers.deleted = (await client.accounts.tokens.delete(made.id, account)).id === made.id;
  answers.gone = await statusOf(client.accounts.tokens.get(made.id, account));
  answers.self = (await client.user.tokens.verify()).status;
""",
        {
            "verified": "active",
            "records": True,
            "narrow": 403,
            "old": 403,
            "rolled": True,
            "renamed": "renamed",
            "listed": 1,
            "deleted": True,
            "gone": 404,
            "self": "active",
        },
    ),
}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with Api(tmp_path_factory.mktemp("node"), FILES).running() as api:
        yield api


@pytest.mark.parametrize("case", CASES)
def test_typescript_client(api: Api, case: str) -> None:
    script, expected = CASES[case]
    command = ["node", "-", f"{api.origin}/client/v4", api.operator, A1, PREFIX1, Z1]
    environment = {"NODE_PATH": str(MODULES), "PATH": "/usr/bin:/bin:/usr/local/bin"}
    done = subprocess.run(
        command, input=f"{BEGIN}{script}{END}", capture_output=True, text=True, timeout=HANG_S, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == expected
