"""F15: files made to break their reader, loaded by a running server."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Callable

from tests.limits import judged
from tests.packets import answers, query
from tests.soak.harness import EDGE, PROBE, PROBE_ANSWER, Soaked, soaked

Figures = Callable[..., None]

WITHIN_S = judged(2.0)
ZONE, TEXT, MAP = "zones/example.com.yaml", "../globex/zones/example.org.zone", "maps/shop.yaml"
MIB = 1024 * 1024
TOO_LARGE = 65 * MIB
MANY = 100_000
MANY_RECORDS = 5_000  # slow even in a well-meant file
SOA = "@ SOA ns1.example.net. hostmaster.example.org. 1 7200 3600 1209600 300\n@ NS ns1.example.net.\n"

YAML: dict[str, str | bytes] = {
    "aliases of aliases": "a0: &a0 [x, x]\n"
    + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 40)),
    "an alias repeated": "records: &r [{name: a, type: A, content: 192.0.2.1}]\nmore: [" + "*r, " * 1_000_000 + "]\n",
    "an alias of itself": "records: &r\n- *r\n",
    "many anchors": "records:\n" + "".join(f"- &a{n} x\n" for n in range(10 * MANY_RECORDS)),
    "nested brackets": "[" * MANY,
    "nested brackets, closed": "records: " + "[" * MANY + "]" * MANY,
    "nested braces": "{a: " * MANY,
    "nested dashes": "- " * MANY,
    "nested questions": "? " * MANY,
    "nested by indentation": "".join(f"{' ' * n}a:\n" for n in range(3_000)),
    "keys twice": "records: []\nrecords: []\n",
    "many keys twice": "records: []\n" * MANY,
    "a zero octet": "records:\n- {name: \0, type: A, content: 192.0.2.1}\n",
    "zero octets": bytes(MIB),
    "65 MiB of empty lines": "\n" * TOO_LARGE,
    "65 MiB of one word": "x" * TOO_LARGE,
    "65 MiB of brackets": "[" * TOO_LARGE,
    "not UTF-8": b"records:\n- {name: \xff\xfe}\n",
    "UTF-16": "records: [}".encode("utf-16"),
    "a Python object": '!!python/object/apply:os.system ["true"]\n',
    "many tags": "".join(f"%TAG !{n}! tag:example.org,2024:{n}\n" for n in range(20_000)) + "---\nrecords: []\n",
    "a quote that never ends": 'records: "' + "x" * 4 * MIB,
    "a number of a million digits": f"records:\n- {{name: a, type: A, content: 192.0.2.1, ttl: {'9' * 1_000_000}}}\n",
    "an impossible escape": 'records: "\\UFFFFFFFF"\n',
    "two documents": "records: []\n---\nrecords: []\n",
    "thousands of mistakes": "records:\n" + "- {name: a, type: A, content: x}\n" * MANY_RECORDS,
    "text instead of a list": "records: " + "x " * 2 * MIB,
    "an empty file": "",
}
ZONE_TEXT: dict[str, str | bytes] = {
    "open brackets": SOA + "(" * MANY,
    "nested brackets": SOA + "( " * MANY + ") " * MANY,
    "a bracket that never ends": SOA + "a TXT ( " + "x " * 2 * MIB,
    "a quote that never ends": SOA + 'a TXT "' + "x" * 4 * MIB,
    "65 MiB of empty lines": "\n" * TOO_LARGE,
    "65 MiB of one word": "x" * TOO_LARGE,
    "65 MiB of comment": SOA + ";" * TOO_LARGE,
    "a zero octet": SOA + "a\0 A 192.0.2.1\n",
    "zero octets": bytes(MIB),
    "UTF-16": (SOA + "a TXT x\n").encode("utf-16"),
    "another file": SOA + "$INCLUDE /etc/passwd\n",
    "a device": SOA + "$INCLUDE /dev/zero\n",
    "a thousand million names": SOA + "$GENERATE 1-1000000000 a$ A 192.0.2.1\n",
    "origins that grow": SOA + "$ORIGIN a\n" * MANY,
    "a line of a million words": SOA + "a TXT " + "x " * 1_000_000 + "\n",
    "a hundred thousand mistakes": SOA + "a A x\n" * MANY,
    "a TTL of a million digits": SOA + f"a {'9' * 1_000_000} A 192.0.2.1\n",
    "a name of a million labels": SOA + "a." * 1_000_000 + " A 192.0.2.1\n",
    "escapes without end": SOA + "\\" * 1_000_001,
    "SOA twice": SOA + SOA.replace(" 1 ", " 2 "),
    "thousands of addresses": SOA + "".join(f"a A 10.0.{n >> 8}.{n & 255}\n" for n in range(MANY_RECORDS)),
    "an empty file": "",
}
MAPS: dict[str, str | bytes] = {
    "thousands of addresses": "enabled: true\nips: [" + "203.0.113.1, " * MANY_RECORDS + "]\nmemberships: []\n",
    "addresses twice": "enabled: true\nips: [203.0.113.1, 203.0.113.1]\nmemberships: []\n",
    "nested brackets": "ips: " + "[" * MANY,
}


def test_hostile_files(tmp_path: pathlib.Path, figures: Figures) -> None:
    cases = [
        (file, name, content)
        for file, table in ((ZONE, YAML), (TEXT, ZONE_TEXT), (MAP, MAPS))
        for name, content in table.items()
    ]
    with soaked(tmp_path, reload={"watch": False}, on_error="refuse") as server:
        pids, rss = server.pids(), server.rss_kib()["control"]
        seconds = {
            f"{name} in {pathlib.Path(file).name}": refuse(server, file, content) for file, name, content in cases
        }
        slowest = max(seconds, key=seconds.__getitem__)
        figures(
            "F15",
            "hostile files",
            files=len(cases),
            slowest=f"{seconds[slowest]:.2f} s ({slowest})",
            control_grew_by=f"{(server.rss_kib()['control'] - rss) / 1024:.0f} MiB",
        )
        assert {name: spent for name, spent in seconds.items() if spent > WITHIN_S} == {}
        assert server.pids() == pids
        assert server.metric("dnsd_reloads_total", result="refused") == len(cases)
        assert server.metric("dnsd_reloads_total", result="failed") == 0
        assert server.ask_reload()["ok"]


def refuse(server: Soaked, file: str, content: str | bytes) -> float:
    """Reload with this file, which must be refused; return the seconds taken, and restore the file."""
    path = (server.folder / "accounts/acme" / file).resolve()
    good = path.read_bytes()
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    started = time.monotonic()
    result = server.ask_reload()
    took_s = time.monotonic() - started
    path.write_bytes(good)
    assert not result["ok"], path
    assert any(str(path) in problem["text"] for problem in result["problems"]), result["problems"][:1]
    assert answers(server.udp(PROBE)) == PROBE_ANSWER
    assert answers(server.udp(query("www.example.com"))) == EDGE
    return took_s
