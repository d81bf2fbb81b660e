"""A tenant at full speed takes nothing from others: no answer, no time, no memory, no evidence (reliability.md)."""

from __future__ import annotations

import pathlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from tests.api.server import A1, A2, Z1, Z3, Api
from tests.beside import Beside
from tests.limits import judged
from tests.soak.changes import memory_kib
from tests.soak.conftest import Scale
from tests.soak.harness import Dnsperf, growth_percent
from tests.soak.neighbour import Neighbour
from tests.soak.tenant import HostileTenant
from tests.soak.watched import LEAST_S, long_steps

Figures = Callable[..., None]

QPS = 1_000
API_S = judged(0.25)  # the neighbour's 99th percentile
STEP_S = judged(0.02)  # of CPU time, for which control's loop serves nobody else
GROWTH_PERCENT = 10.0
WARM_UP = 0.2  # share of the time, until the tenant's data has its size
SAMPLE_S = 0.5  # between two looks at the memory; it goes up and down with the work


class Memory(Beside):
    """The memory of the server's processes, again and again: with work of the same kind, its average is steady."""

    def __init__(self, api: Api) -> None:
        super().__init__()
        self._api = api
        self._samples: list[dict[str, int]] = []

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            self._samples.append(memory_kib(self._api))

    def growth_percent(self) -> float:
        """From the first third of the samples to the last."""
        third = -(-len(self._samples) // 3)
        return growth_percent(_average(self._samples[:third]), _average(self._samples[-third:]))


def _average(samples: Sequence[dict[str, int]]) -> dict[str, int]:
    return {name: sum(one[name] for one in samples) // len(samples) for name in samples[0]}


def audited(api: Api, token: str) -> int:
    """The number of edits of a record in the neighbour's audit log."""
    found, cursor = 0, ""
    while True:
        said: dict[str, Any] = api.call("GET", f"/accounts/{A2}/logs/audit?limit=1000{cursor}", token=token).json()
        found += sum(entry["action"]["type"] == "update" for entry in said["result"])
        if not said["result_info"].get("cursor"):
            return found
        cursor = f"&cursor={said['result_info']['cursor']}"


def test_neighbours_of_a_hostile_tenant(tmp_path: pathlib.Path, scale: Scale, figures: Figures) -> None:
    seconds = scale(8, 600)
    api, steps = Api(tmp_path), tmp_path / "steps"
    tenant = api.token("--name", "tenant", "--account", "acme")
    other = api.token("--name", "neighbour", "--account", "globex")
    with api.running(command=[sys.executable, "-m", "tests.soak.watched", str(api.config), str(steps)]):
        with HostileTenant(api, tenant, A1, Z1) as hostile, Neighbour(api.origin, other, Z3, A2) as neighbour:
            time.sleep(seconds * WARM_UP)
            begun = steps.stat().st_size
            with Memory(api) as memory:
                questions = ["www.example.org A", "nothing.example.org AAAA"]
                perf = Dnsperf(api.dns, questions, seconds, max_qps=QPS).result()
            longest = max((one.cpu_s for one in long_steps(steps, begun)), default=LEAST_S)
        evidence = audited(api, other)
    seen = neighbour.seen
    times = sorted(seen.seconds)
    slow_s = times[int(0.99 * (len(times) - 1))]
    figures(
        "F17",
        "neighbours of a hostile tenant",
        requests=hostile.statuses.total(),
        refused=sum(count for code, count in hostile.statuses.items() if code >= 400),
        DNS_lost=perf.lost,
        API_p99_ms=1e3 * slow_s,
        longest_step_ms=1e3 * longest,
        memory=f"{memory.growth_percent():+.1f} %",
        edits_audited=f"{evidence:,} of {seen.edits:,}",
    )
    assert not hostile.broken, hostile.broken[:5]
    assert not seen.problems, seen.problems[:5]
    assert perf.lost == 0
    assert evidence == seen.edits > 0
    assert slow_s <= API_S
    assert longest <= STEP_S
    assert memory.growth_percent() <= scale(100.0, GROWTH_PERCENT)
