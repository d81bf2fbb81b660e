"""The cost of a map edit inside a worker, with NAMES proxied names behind the map and remembered replies.

    python -m bench.map_edit NAMES

Handles a delta from control like a worker: reads it, makes the next snapshot, forgets the replies made from the last
one, publishes. Prints a JSON object with the median of several edits, in milliseconds, and their range.
"""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import io
import json
import socket
import statistics
import sys
import time
from ipaddress import ip_address

from bench.lookup import question, world
from dnsd.compile.build import Options, build_snapshot
from dnsd.engine.delta import apply_delta, delta
from dnsd.engine.respond import respond
from dnsd.engine.snapshot import Snapshot
from dnsd.net.reply import DnsReply, Scope
from dnsd.net.udp import BATCH_SIZE, Udp, UdpServer, available, udp_server
from dnsd.process.snapshot_file import pickled, unpickled

EDITS = 11
KNOWN = 10_000  # remembered replies at each edit, spread over all names
TYPES = (1, 28, 65, 15, 16, 2, 6, 33, 257, 99)


class Memory:
    """Answers queries, with every reply repeatable, as a worker's Answering does for existing names."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

    def answer(self, query: bytes, peer: bytes) -> DnsReply:
        return DnsReply(respond(self.snapshot, query), Scope.SAME_QUESTION)

    def repeated(self, account: object, sent: int, cut: int, dropped: int, *, truncated: bool) -> None:
        pass

    def not_sent(self, reply: bytes) -> None:
        pass

    def observe(self, count: int, seconds: float) -> None:
        pass


async def fill(server: socket.socket, names: int) -> None:
    """Send different queries until the server remembers `KNOWN` replies."""
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.connect(server.getsockname())
        for number in range(KNOWN):
            client.send(question(f"h{number % names}.example.com", TYPES[number // names % len(TYPES)], b""))
            if number % BATCH_SIZE == BATCH_SIZE - 1:
                await asyncio.sleep(0)
                await asyncio.sleep(0)


async def edit_times(names: int) -> list[float]:
    """Milliseconds per edit."""
    dataset, address_map = world(names)
    options = Options((ip_address("198.51.100.10"),))
    published = build_snapshot(dataset, options)
    # The worker's own copy: pickled and unpickled, as through a socket, like the later ones.
    held = last_of(b"".join(pickled(delta(None, published))), None)
    memory, times = Memory(held), []
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sock.bind(("127.0.0.1", 0))
        server: UdpServer = udp_server(available(Udp.AUTO), asyncio.get_running_loop(), sock, memory)
        server.start()
        gc.freeze()
        for number in range(1, EDITS + 1):
            ips = (ip_address(f"203.0.113.{number}"), *address_map.ips)
            edited = dataclasses.replace(dataset, maps={address_map.id: dataclasses.replace(address_map, ips=ips)})
            following = dataclasses.replace(build_snapshot(edited, options, published), revision=number)
            payload = b"".join(pickled(delta(published, following)))
            await fill(sock, names)
            start = time.perf_counter()
            changed = last_of(payload, memory.snapshot)
            server.forget(changed.names.table, None)
            memory.snapshot = changed
            gc.freeze()
            times.append((time.perf_counter() - start) * 1e3)
            published = following
        server.stop()
    return times


def last_of(payload: bytes, current: Snapshot | None) -> Snapshot:
    """The snapshot after applying a message from control."""
    return [step for step in apply_delta(current, unpickled(io.BytesIO(payload))) if step][-1]


def main() -> None:
    names = int(sys.argv[1])
    times = asyncio.run(edit_times(names))
    print(json.dumps({"names": names, "median": statistics.median(times), "least": min(times), "most": max(times)}))


if __name__ == "__main__":
    main()
