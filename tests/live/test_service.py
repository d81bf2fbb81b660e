"""The running server: reloads, signals, ports, and TCP clients that are slow, hasty or do not read."""

from __future__ import annotations

import contextlib
import pathlib
import re
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.limits import HANG_S, judged
from tests.live.forked import run
from tests.live.server import LISTENING, Dnsd, receive_exactly
from tests.packets import answers, query, rcode_text
from tests.worlds import AccountFiles, World, as_yaml, write_world

BLUE = ["203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4"]
GREEN = ["203.0.113.11", "203.0.113.12", "203.0.113.13", "203.0.113.14"]
RECORDS = [
    {"name": "www", "type": "A", "content": "192.0.2.1", "proxied": True},
    {"name": "dns", "type": "A", "content": "192.0.2.2"},
    {"name": "a", "type": "CNAME", "content": "www.example.com"},
    {"name": "large", "type": "TXT", "content": " ".join([f'"{"x" * 250}"'] * 100)},
]
WWW = query("www.example.com")
DNS = query("dns.example.com")
MAP = "accounts/a1/maps/m.yaml"
ZONE = "accounts/a1/zones/example.com.yaml"


def config(folder: pathlib.Path, **settings: Any) -> pathlib.Path:
    files = AccountFiles(
        {"prefixes": [{"cidr": "203.0.113.0/24", "approved": "V"}]},
        {"m": map_of(BLUE)},
        {"example.com.yaml": {"records": RECORDS}},
    )
    world = World(
        {"default_addresses": ["198.51.100.10"], "nameservers": ["ns1.example.net"], **settings}, {"a1": files}
    )
    return write_world(world, folder)


def map_of(ips: list[str]) -> dict[str, Any]:
    return {"enabled": True, "ips": ips, "memberships": [{"kind": "zone", "identifier": "example.com"}]}


@pytest.fixture
def server(tmp_path: pathlib.Path) -> Iterator[Dnsd]:
    with Dnsd(config(tmp_path)) as running:
        yield running


@pytest.fixture
def strict(tmp_path: pathlib.Path) -> Iterator[Dnsd]:
    """A server with on_error: refuse."""
    with Dnsd(config(tmp_path, on_error="refuse")) as running:
        yield running


@pytest.fixture
def unwatched(tmp_path: pathlib.Path) -> Iterator[Dnsd]:
    """A server that reloads on request only: each reload's line in the log is that of the request."""
    with Dnsd(config(tmp_path, reload={"watch": False})) as running:
        yield running


def write(folder: pathlib.Path, file: str, text: str) -> None:
    (folder / file).write_text(text, encoding="utf-8")


def reload(server: Dnsd, expected: str) -> str:
    """Request a reload, and wait for its last log line."""
    seen = server.stderr.count()
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: expected in server.stderr.since(seen), lambda: server.stderr.text())
    return server.stderr.since(seen)


def wait_for(condition: Callable[[], bool], said: Callable[[], str] = str, timeout_s: float = HANG_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, said()
        time.sleep(0.005)


# Reload


def test_reloads_under_load_lose_and_mix_no_answer(unwatched: Dnsd, tmp_path: pathlib.Path) -> None:
    server = unwatched
    whole = [BLUE, GREEN]
    found: list[list[str]] = []
    lost: list[int] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            try:
                reply = server.udp(query(("www.example.com", "a.example.com")[len(found) % 2]))
                found.append(answers(reply)[-4:])
            except TimeoutError:
                lost.append(len(found))

    client = threading.Thread(target=ask)
    client.start()
    try:
        for turn in range(1, 31):
            write(tmp_path, MAP, as_yaml(map_of(whole[turn % 2])))
            reload(server, "reloaded: revision ")
            assert answers(server.udp(WWW)) == whole[turn % 2]
    finally:
        stop.set()
        client.join()
    assert lost == []
    assert len(found) > 100
    assert all(answer in whole for answer in found)
    assert all(answer in found for answer in whole)


def test_refused_reload_keeps_serving(strict: Dnsd, tmp_path: pathlib.Path) -> None:
    write(tmp_path, MAP, "enabled: true\nips: [198.51.100.1]\nips: []\nmemberships: []\n")
    said = reload(strict, "reload refused")
    assert f"{tmp_path}/{MAP}:3:1: " in said
    assert "still serving revision 1" in said
    assert answers(strict.udp(WWW)) == BLUE
    write(tmp_path, MAP, as_yaml(map_of(GREEN)))
    reload(strict, "reloaded: revision 2, ")
    assert answers(strict.udp(WWW)) == GREEN


BROKEN: dict[str, tuple[str, str]] = {
    "an emptied zone": (ZONE, ""),
    "a half-written zone": (ZONE, "records:\n- {name: www, type: A, con"),
    "a zone of nested brackets": (ZONE, "[" * 100_000),
    "an emptied map": (MAP, ""),
    "an address that is not ours": (MAP, as_yaml(map_of(["192.0.2.99"]))),
    "emptied settings": ("dnsd.yaml", ""),
    "an account that is text": ("accounts/a1/account.yaml", "later"),
}


def test_broken_data_is_never_served(strict: Dnsd, tmp_path: pathlib.Path) -> None:
    for name, (file, text) in BROKEN.items():
        good = (tmp_path / file).read_text(encoding="utf-8")
        write(tmp_path, file, text)
        assert re.search(rf"{re.escape(file)}:\d+:\d+: ", reload(strict, "reload refused")), name
        assert answers(strict.udp(WWW)) == BLUE, name
        assert answers(strict.udp(DNS)) == ["192.0.2.2"], name
        write(tmp_path, file, good)
    (tmp_path / "accounts").rename(tmp_path / "gone")
    assert "there is no folder" in reload(strict, "reload refused")
    (tmp_path / "gone").rename(tmp_path / "accounts")
    reload(strict, "reloaded: revision 2, ")
    assert answers(strict.udp(WWW)) == BLUE


def test_change_of_listen_waits_for_the_next_start(server: Dnsd, tmp_path: pathlib.Path) -> None:
    text = (tmp_path / "dnsd.yaml").read_text(encoding="utf-8")
    write(tmp_path, "dnsd.yaml", text.replace("127.0.0.1:0", "127.0.0.2:0"))
    assert "listen: " in reload(server, "reloaded: ")
    assert answers(server.udp(WWW)) == BLUE


# Shutdown


def test_sigterm_answers_what_was_received(server: Dnsd) -> None:
    count = 200
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.create_connection((server.host, server.port), timeout=HANG_S) as tcp,
    ):
        udp.settimeout(HANG_S)
        udp.connect((server.host, server.port))
        tcp.sendall(frame(DNS))  # certainly accepted once answered
        receive_message(tcp)
        server.process.send_signal(signal.SIGSTOP)
        for number in range(count):
            udp.send(numbered(number))
        tcp.sendall(b"".join(frame(numbered(number)) for number in range(count)))
        server.process.send_signal(signal.SIGTERM)
        server.process.send_signal(signal.SIGCONT)
        assert {udp.recv(4096)[:2] for _ in range(count)} == {numbered(number)[:2] for number in range(count)}
        assert [receive_message(tcp)[:2] for _ in range(count)] == [numbered(number)[:2] for number in range(count)]
        assert tcp.recv(1) == b""
    assert server.process.wait(judged(5)) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_an_idle_server(server: Dnsd, number: signal.Signals) -> None:
    with socket.create_connection((server.host, server.port), timeout=HANG_S) as idle:
        server.udp(DNS)
        server.process.send_signal(number)
        assert server.process.wait(judged(5)) == 0
        assert idle.recv(1) == b""
    assert "Traceback" not in server.stderr.text()


def test_client_that_does_not_read_delays_the_end_by_five_seconds_at_most(server: Dnsd) -> None:
    with socket.create_connection((server.host, server.port), timeout=HANG_S) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(frame(query("large.example.com", "TXT")) * 500)
        wait_for(lambda: bool(server.udp(DNS)))
        server.process.terminate()
        assert server.process.wait(judged(6)) == 0


# TCP


def frame(message: bytes) -> bytes:
    return struct.pack("!H", len(message)) + message


def receive_message(client: socket.socket) -> bytes:
    (size,) = struct.unpack("!H", receive_exactly(client, 2))
    return receive_exactly(client, size)


def numbered(number: int, message: bytes = DNS) -> bytes:
    return number.to_bytes(2) + message[2:]


@pytest.fixture
def client(server: Dnsd) -> Iterator[socket.socket]:
    with socket.create_connection((server.host, server.port), timeout=HANG_S) as connected:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield connected


def test_queries_in_one_segment(client: socket.socket) -> None:
    client.sendall(b"".join(frame(numbered(number)) for number in range(900)))
    replies = [receive_message(client) for _ in range(900)]
    assert [int.from_bytes(reply[:2]) for reply in replies] == list(range(900))
    assert answers(replies[-1]) == ["192.0.2.2"]


def test_one_byte_at_a_time(client: socket.socket) -> None:
    for octet in frame(WWW) + frame(DNS):
        client.sendall(bytes([octet]))
        time.sleep(0.001)
    assert answers(receive_message(client)) == BLUE
    assert answers(receive_message(client)) == ["192.0.2.2"]


def test_half_close(client: socket.socket) -> None:
    client.sendall(b"".join(frame(numbered(number, query("large.example.com", "TXT"))) for number in range(100)))
    client.shutdown(socket.SHUT_WR)
    assert [int.from_bytes(receive_message(client)[:2]) for _ in range(100)] == list(range(100))
    assert client.recv(1) == b""


def test_half_close_in_the_middle_of_a_query(client: socket.socket) -> None:
    client.sendall(frame(DNS) + frame(WWW)[:-1])
    client.shutdown(socket.SHUT_WR)
    assert answers(receive_message(client)) == ["192.0.2.2"]
    assert client.recv(1) == b""


def test_large_reply(server: Dnsd, client: socket.socket) -> None:
    asked = query("large.example.com", "TXT")
    client.sendall(frame(asked))
    assert len(receive_message(client)) > 25_000
    assert server.udp(asked)[2] & 0x02  # TC


def test_malformed_messages_leave_the_connection_open(client: socket.socket) -> None:
    silent = [b"", b"x", WWW[:11], query("www.example.com", flags=0x8000)]
    client.sendall(b"".join(map(frame, silent)) + frame(WWW[:-1]) + frame(DNS))
    assert rcode_text(receive_message(client)) == "FORMERR"
    assert answers(receive_message(client)) == ["192.0.2.2"]


def test_several_connections_at_once(server: Dnsd) -> None:
    clients = [socket.create_connection((server.host, server.port), timeout=HANG_S) for _ in range(80)]
    try:
        for half in (slice(None, 20), slice(20, None)):
            for number, one in enumerate(clients):
                one.sendall(frame(numbered(number))[half])
        assert [receive_message(one)[:2] for one in reversed(clients)] == [n.to_bytes(2) for n in reversed(range(80))]
    finally:
        for one in clients:
            one.close()


def test_client_that_goes_away(server: Dnsd) -> None:
    for _ in range(20):
        with socket.create_connection((server.host, server.port), timeout=HANG_S) as rude:
            rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close with a reset
            rude.sendall(frame(query("large.example.com", "TXT")) * 50)
    assert answers(server.udp(DNS)) == ["192.0.2.2"]
    assert "Traceback" not in server.stderr.text()


def test_client_that_does_not_read_takes_no_memory(server: Dnsd) -> None:
    """Its 250 MB of replies wait while others are served; the client gets them once it reads."""
    asked = frame(query("large.example.com", "TXT"))
    before = resident_kib(server)
    with socket.create_connection((server.host, server.port)) as client:
        client.setblocking(False)
        data, sent = asked * 10_000, 0
        for _ in range(80):
            with contextlib.suppress(BlockingIOError):
                sent += client.send(data[sent : sent + 65_536])
            assert answers(server.udp(DNS)) == ["192.0.2.2"]
            assert answers(server.tcp(DNS)) == ["192.0.2.2"]
            time.sleep(0.01)
        assert resident_kib(server) - before < 16 * 1024
        client.settimeout(HANG_S)
        for _ in range(200):
            assert len(receive_message(client)) > 25_000
    assert resident_kib(server) - before < 16 * 1024


def resident_kib(server: Dnsd) -> int:
    """Memory of the server and its child processes."""
    pid = str(server.process.pid)
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    status = (pathlib.Path(f"/proc/{one}/status").read_text() for one in (pid, *children))
    return sum(int(match[1]) for text in status if (match := re.search(r"VmRSS:\s+(\d+)", text)))


# UDP


def test_odd_datagrams(server: Dnsd) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(HANG_S)
        client.connect((server.host, server.port))
        for silent in (b"", b"x", WWW[:11], query("www.example.com", flags=0x8000)):
            client.send(silent)
        client.send(DNS + bytes(9000))
        assert rcode_text(client.recv(4096)) == "FORMERR"
        client.send(DNS)
        assert answers(client.recv(4096)) == ["192.0.2.2"]


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_reply_comes_from_the_queried_address(tmp_path: pathlib.Path) -> None:
    """A connected socket, like a resolver's, accepts replies only from the address that it queried."""
    listen = ["0.0.0.0:0", "[::]:0"] if has_ipv6() else ["0.0.0.0:0"]
    with Dnsd(config(tmp_path, listen=listen)) as server:
        ports = {match["host"]: int(match["port"]) for match in LISTENING.finditer(server.stdout.text())}
        assert list(ports) == [address.removesuffix(":0") for address in listen]
        asked = [("127.0.0.1", ports["0.0.0.0"]), ("127.0.0.2", ports["0.0.0.0"]), ("127.9.9.9", ports["0.0.0.0"])]
        asked += [("::1", ports["[::]"])] if has_ipv6() else []
        for host, port in asked:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with socket.socket(family, socket.SOCK_DGRAM) as client:
                client.settimeout(HANG_S)
                client.connect((host, port))
                client.send(DNS)
                assert answers(client.recv(4096)) == ["192.0.2.2"], host
            with socket.create_connection((host, port), timeout=HANG_S) as stream:
                stream.sendall(frame(DNS))
                assert answers(receive_message(stream)) == ["192.0.2.2"], host


# Starting


def test_port_0_is_one_port_for_udp_and_tcp(tmp_path: pathlib.Path) -> None:
    with Dnsd(config(tmp_path, listen=["127.0.0.1:0", "127.0.0.2:0"])) as server:
        lines = server.stdout.text().splitlines()
        found = [(match["host"], int(match["port"])) for line in lines[:-1] if (match := LISTENING.fullmatch(line))]
        assert [host for host, _ in found] == ["127.0.0.1", "127.0.0.2"]
        assert lines[-1] == "ready"
        for server.host, server.port in found:
            assert server.port != 0
            assert answers(server.udp(DNS)) == answers(server.tcp(DNS)) == ["192.0.2.2"]


def serve(path: pathlib.Path) -> subprocess.CompletedProcess[str]:
    return run("serve", "-c", str(path))


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["TCP", "UDP"])
def test_port_in_use(tmp_path: pathlib.Path, kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            other.listen()
        port = other.getsockname()[1]
        result = serve(config(tmp_path, listen=["127.0.0.1:0", f"127.0.0.1:{port}"]))
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        f"cannot listen on 127.0.0.1:{port}: Address already in use; another server is running there"
    ]


def test_foreign_address(tmp_path: pathlib.Path) -> None:
    result = serve(config(tmp_path, listen=["192.0.2.1:0"]))
    assert (result.returncode, result.stdout) == (1, "")
    assert "cannot listen on 192.0.2.1:0: " in result.stderr
    assert "Traceback" not in result.stderr


def test_missing_configuration(tmp_path: pathlib.Path) -> None:
    result = serve(tmp_path / "none.yaml")
    assert (result.returncode, result.stdout) == (1, "")
    assert "none.yaml:1:1: cannot be read: No such file or directory" in result.stderr


def test_broken_configuration_is_not_served(tmp_path: pathlib.Path) -> None:
    path = config(tmp_path)
    (tmp_path / ZONE).write_text("records: [{name: www, type: A, content: x}]\n", encoding="utf-8")
    result = serve(path)
    assert (result.returncode, result.stdout) == (1, "")
    assert any(line.startswith(f"{tmp_path / ZONE}:1:") for line in result.stderr.splitlines())
