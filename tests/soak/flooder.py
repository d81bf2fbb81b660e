"""Sends a query at a fixed rate from several sockets and ignores answers: faster than a client that waits for them.

python -m tests.soak.flooder HOST PORT QUERIES_PER_SECOND SECONDS QUERY_IN_HEX; prints the number of queries sent.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import time

SOCKETS = 16  # so that every worker receives a share


def main(host: str, port: str, rate: str, seconds: str, query: str) -> None:
    octets, sent, started = bytes.fromhex(query), 0, time.monotonic()
    socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(SOCKETS)]
    for sock in socks:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # answers are dropped at once
        sock.connect((host, int(port)))
    while (spent_s := time.monotonic() - started) < float(seconds):
        due = float(rate) * spent_s
        while sent < due:
            for sock in socks:
                with contextlib.suppress(OSError):
                    sock.send(octets)
            sent += SOCKETS
    print(sent)


if __name__ == "__main__":
    main(*sys.argv[1:])
