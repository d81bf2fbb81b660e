"""dnsd and its three peers with the same zones, asked the same questions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.conformance.client import ask, ask_once
from tests.conformance.compare import Case, Tally
from tests.conformance.peers import KINDS, Peer
from tests.conformance.questions import Question
from tests.conformance.replies import view_of
from tests.live.server import Dnsd

Ports = dict[str, int]  # "dnsd", "nsd", "knot" and "bind" to the port of each

SETTINGS = """\
listen: ["127.0.0.1:0"]
workers: 1
default_addresses: [198.51.100.10, "2001:db8:f::10"]
data: accounts
"""


@contextmanager
def running(zones: Mapping[str, str], folder: Path, *, dnsd_zones: Mapping[str, str] | None = None) -> Iterator[Ports]:
    """All four servers with `zones` (name to master file text), until the end of the block.

    dnsd reads `dnsd_zones` instead if the data has a form that not all peers load.
    """
    with ExitStack() as stack:
        peers = [stack.enter_context(Peer(kind, zones, folder)) for kind in KINDS]
        dnsd = stack.enter_context(Dnsd(write_config(dnsd_zones or zones, folder / "dnsd")))
        yield {"dnsd": dnsd.port} | {peer.name: peer.port for peer in peers}


def write_config(zones: Mapping[str, str], folder: Path) -> Path:
    """Settings and one account with the zones as master files; returns the settings' path."""
    account = folder / "accounts" / "acme"
    (account / "zones").mkdir(parents=True)
    (account / "account.yaml").write_text("name: Acme\n")
    for name, text in zones.items():
        (account / "zones" / f"{name.strip('.') or 'root'}.zone").write_text(text, encoding="utf-8")
    settings = folder / "dnsd.yaml"
    settings.write_text(SETTINGS)
    return settings


def compare(ports: Ports, questions: Sequence[Question], *, once: bool = False) -> Tally:
    """Send all questions to all four servers and judge; `once`: no reply is a valid result, too."""
    tally = Tally()
    for tcp in (False, True):
        batch = [question for question in questions if question.tcp == tcp]
        wires = [question.wire for question in batch]
        with ThreadPoolExecutor(len(ports)) as pool:
            asked = {
                name: pool.submit(ask_once, port, wires) if once else pool.submit(ask, port, wires, tcp=tcp)
                for name, port in ports.items()
            }
        for index, question in enumerate(batch):
            views = {name: view_of(future.result()[index]) for name, future in asked.items()}
            tally.add(Case(question, views.pop("dnsd"), views))
    return tally
