"""The commands of docs/fleet.md, run as they stand there; only addresses are of loopback."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import dns.message
import pytest

from dnsd.fleet.root import RootFolder, load_root
from tests.fleet.nats_servers import free_ports
from tests.fleet.servers import NatsServer, free_servers, running
from tests.limits import HANG_S
from tests.live.server import Dnsd

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "fleet.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SETTINGS = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
LISTEN = re.compile(r"^listen: .*$", re.MULTILINE)
JOIN = re.compile(r"(0\.0\.0\.0|192\.0\.2\.1):8443")
STEPS = """fleet has the keys of a new fleet.

Next:
  copy fleet/servers/n1 to 192.0.2.1, and start nats-server in the copy:
      nats-server -c nats.conf
  copy fleet/controls/c1 to the machine for the control c1
  move fleet to a place off these machines: it can make and withdraw every key of the fleet
"""


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    run = ["sh", "-ec", command]
    return subprocess.run(
        run, cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False, timeout=HANG_S
    )


def folder_of_node(folder: Path, root: RootFolder, identity: str, accounts: Path | None = None) -> Path:
    """A folder with a node's identity, if it has one, and the settings of the page, of which addresses are others."""
    section, control, edge = SETTINGS
    alone = f"default_addresses: [198.51.100.1]\nnameservers: [ns1.example]\n{section}"
    text = alone if accounts else control if identity.startswith("controls/") else edge
    for server in root.servers:
        text = text.replace(f"tls://192.0.2.{int(server.name[1:])}:4222", f"tls://{server.host}:{server.port}")
    text = (
        LISTEN.sub('listen: ["127.0.0.1:0"]', text).replace("user: dnsd\n", "").replace("127.0.0.1:8053", "127.0.0.1:0")
    )
    text = JOIN.sub(f"127.0.0.1:{free_ports(1)[0]}", text)
    folder.mkdir()
    if identity:
        shutil.copytree(root.folder / identity, folder / "identity")
    (folder / "dnsd.yaml").write_text(text.replace("127.0.0.1:9153", "127.0.0.1:0"))
    if accounts:
        shutil.copytree(accounts, folder / "accounts")
    return folder


def test_the_commands_of_the_page_work(tmp_path: Path) -> None:
    init, start, send, export, push, settings, code, join, serve, accept, edge, leave, renew, revoke = BLOCKS
    for server in free_servers(3):
        init = init.replace(f"=192.0.2.{int(server.name[1:]) + 1}", f"={server.host}:{server.port}")
    made = shell(init, tmp_path)
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout.splitlines() == [
        *(f"server\tn{number}\tfleet/servers/n{number}" for number in (1, 2, 3)),
        "control\tcontrol\tfleet/controls/control",
    ]
    again = shell(init, tmp_path)
    assert (again.returncode, again.stdout) == (1, "")
    assert "exists, and nothing in it was changed: choose a new name" in again.stderr
    root = load_root(tmp_path / "fleet")
    assert start == "cd fleet/servers/n1\nnats-server -c nats.conf\n"
    with running(root) as servers:
        source = folder_of_node(tmp_path / "source", root, "controls/control", ROOT / "config" / "accounts")
        sent = shell(send, source)
        assert (sent.returncode, sent.stdout) == (0, "17 new, 0 changed, 0 removed\n"), sent.stderr
        assert shell(export, source).stdout == "17 files\n"
        control, pop = folder_of_node(tmp_path / "node", root, "controls/control"), tmp_path / "pop"
        with Dnsd(control / "dnsd.yaml") as running_control:
            assert " api\n" in running_control.stdout.text()
            made = shell(code, control)
            assert made.returncode == 0, made.stderr
            folder_of_node(pop, root, "")
            assert "CODE" in join
            joined = shell(join.replace("CODE", made.stdout.strip()), pop)
            assert (joined.returncode, joined.stderr) == (0, "")
            assert joined.stdout.endswith("Next:\n  dnsd serve -c dnsd.yaml\n")
            assert serve == "dnsd serve -c dnsd.yaml\n"
            with Dnsd(pop / "dnsd.yaml") as server:
                query = dns.message.make_query("www.example.com", "A")
                for one in (server, running_control):
                    assert "203.0.113.10" in str(dns.message.from_wire(one.udp(query.to_wire())))
            left = shell(leave, control)
            assert (left.returncode, "dnsd fleet revoke FOLDER --edge U" in left.stdout) == (0, True), left.stderr
        assert shell(push, source).stdout == "0 new, 0 changed, 0 removed\n"
        assert shell(settings, source).stdout == "0 settings changed\n"
        assert "default_addresses" in (source / "settings.yaml").read_text()
        assert shell("dnsd fleet level -c dnsd.yaml", source).stdout == "level 2\n"
        assert shell(edge, tmp_path).stdout == "fleet/edges/pop-1\n"
        assert_renews(edge, tmp_path / "fleet" / "edges" / "pop-1", "fleet/edges/pop-1\n")
        checked = shell("dnsd check -c dnsd.yaml", control)
        assert (checked.returncode, "the accounts are those of the fleet" in checked.stdout) == (0, True), (
            checked.stderr
        )
        explained = shell("dnsd explain www.example.com -c dnsd.yaml", control)
        assert (explained.returncode, "DNSD_DATA=FOLDER" in explained.stderr) == (1, True)
        explained = shell(f"DNSD_DATA={source / 'copy'} dnsd explain www.example.com -c dnsd.yaml", control)
        assert "203.0.113.10" in explained.stdout, explained.stderr
        assert shell(accept, source).stdout == "accepted: edges serve it within a minute\n"
        before = (servers[0].folder / "cert.pem").read_bytes()
        assert shell(renew, tmp_path).stdout == "renewed fleet/servers/n1\n"
        assert (servers[0].folder / "cert.pem").read_bytes() != before
        servers[0].reload()
        control = tmp_path / "fleet" / "controls" / "control"
        assert "`dnsd fleet renew fleet control`" in PAGE
        assert_renews("dnsd fleet renew fleet control", control, "renewed fleet/controls/control\n", ["issuer.pem"])
        for name in ("cert.pem", "issuer.pem", "user.jwt"):
            shutil.copy(control / name, source / "identity" / name)
        assert shell(send, source).stdout == "0 new, 0 changed, 0 removed\n"
        nobody = shell("dnsd fleet renew fleet nobody", tmp_path)
        assert (nobody.returncode, nobody.stdout) == (1, "")
        words = "there is no server or control 'nobody'; there are the servers n1, n2, n3, and the controls control"
        assert words in nobody.stderr
        revoked = shell(revoke, tmp_path)
        assert (revoked.returncode, revoked.stdout) == (0, "n1: done\nn2: done\nn3: done\n"), revoked.stderr
    with NatsServer(root, root.servers[0]):
        again = shell("dnsd fleet revoke fleet", tmp_path)
        assert (again.returncode, again.stdout) == (1, "n1: done\nn2: no answer\nn3: no answer\n"), again.stderr


def assert_renews(command: str, folder: Path, said: str, others: Collection[str] = ()) -> None:
    """A command in a root folder's parent replaces a node's certificate and JWT, and other files, but keeps its key."""
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    time.sleep(1)  # a JWT has its time in seconds
    assert shell(command, folder.parents[2]).stdout == said
    after = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert {name for name, octets in after.items() if octets != before[name]} == {"cert.pem", "user.jwt", *others}


def test_a_terminal_shows_what_to_do_next(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "dnsd", "fleet", "init", "fleet", "--server", "n1=192.0.2.1", "--control", "c1"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=theirs) as process:
        os.close(theirs)
        with open(ours, "rb", buffering=0) as terminal:
            shown = b""
            with suppress(OSError):  # EIO: the command has ended
                while octets := terminal.read(4096):
                    shown += octets
    assert process.returncode == 0
    assert shown.decode().replace("\r\n", "\n") == STEPS


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ("init fleet", 2, "Missing option '--server'"),
        ("init fleet --server n1", 2, "--server: 'n1' is not NAME=ADDRESS, such as n1=192.0.2.1"),
        ("init fleet --server n1=192.0.2.1 --server n2=192.0.2.2", 1, "a fleet has 1, 3 or 5 servers, not 2"),
        ("init fleet --server n1=192.0.2.1 --control A", 1, "'A' is not the name of a node"),
        ("revoke fleet --edge U --control c", 2, "--edge and --control exclude each other"),
        ("revoke fleet --control c", 1, "fleet/ca.pem cannot be read: No such file"),
        ("renew fleet n1", 1, "fleet/ca.pem cannot be read: No such file"),
        ("edge fleet e1", 1, "fleet/ca.pem cannot be read: No such file"),
        ("export out -c dnsd.yaml", 1, "dnsd.yaml:1:1: cannot be read"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(tmp_path: Path, words: str, status: int, message: str) -> None:
    run = shell(f"dnsd fleet {words}", tmp_path)
    assert (run.returncode, run.stdout) == (status, "")
    assert message in run.stderr
    assert [*tmp_path.iterdir()] == []
