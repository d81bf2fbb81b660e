"""The root folder: made as a whole or not at all, for its owner alone, and changed by later JWTs."""

from __future__ import annotations

import os
import ssl
import stat
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dnsd.fleet import root as module
from dnsd.fleet.certificates import (
    AUTHORITY_LIFE,
    CLIENT,
    NODE_LIFE,
    SERVER,
    Authority,
    check_node,
    parse_chain,
    pem_key,
    request_of,
)
from dnsd.fleet.identity import IdentityError, NodeIdentity, load_identity, make_identity, renew_identity
from dnsd.fleet.issuer import load_issuer
from dnsd.fleet.jwt import parse_jwt
from dnsd.fleet.nkeys import Nkey, NkeyKind
from dnsd.fleet.root import RootFolder, RootFolderError, load_root, make_root
from dnsd.fleet.server_file import FleetServer

NOW = datetime.now(UTC).replace(microsecond=0)
SERVERS = [FleetServer(f"n{number}", f"192.0.2.{number}") for number in (1, 2, 3)]
MANY = [FleetServer(f"n{number}", f"192.0.2.{number}") for number in range(1, 8)]


@pytest.fixture
def root(tmp_path: Path) -> RootFolder:
    return make_root(tmp_path / "fleet", SERVERS, ["c1", "c2"], now=NOW)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_root_folder_is_for_its_owner_alone(root: RootFolder) -> None:
    for path in (root.folder, *root.folder.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_each_folder_has_what_its_holder_needs_and_no_more(root: RootFolder) -> None:
    found = files(root.folder)
    places = ("ca-key.pem", "operator.nk", *(f"accounts/{name}.nk" for name in root.accounts))
    secrets = {found[place] for place in places}
    assert len(secrets) == 5  # root, operator, three accounts
    for name in ("n1", "n2", "n3"):
        own = files(root.folder / "servers" / name)
        assert set(own) == {"ca.pem", "cert.pem", "key.pem", "nats.conf"}
        assert not secrets.intersection(own.values())
    for name in ("c1", "c2"):
        own = files(root.folder / "controls" / name)
        assert set(own) == {
            *("ca.pem", "cert.pem", "key.pem", "user.jwt"),
            *("issuer.pem", "issuer-key.pem", "signing.nk", "accounts.json"),
        }
        assert not secrets.intersection(own.values())


def test_a_root_folder_is_read_as_it_was_made(root: RootFolder) -> None:
    found = load_root(root.folder)
    assert (found.servers, found.controls) == (root.servers, root.controls)
    assert [key.seed() for key in found.accounts.values()] == [key.seed() for key in root.accounts.values()]


def test_a_root_folder_is_never_overwritten(root: RootFolder) -> None:
    before = files(root.folder)
    with pytest.raises(RootFolderError, match="exists, and nothing in it was changed"):
        make_root(root.folder, SERVERS, ["c1"], now=NOW)
    assert files(root.folder) == before


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_write_fleet", fails)
    with pytest.raises(OSError, match="No space left"):
        make_root(tmp_path / "fleet", SERVERS, ["c1"], now=NOW)
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("servers", "controls", "reason"),
    [
        ([], ["c1"], "a fleet has 1, 3 or 5 servers, not 0"),
        (
            SERVERS[:2],
            ["c1"],
            "a fleet has 1, 3 or 5 servers, not 2: an even number stops after as few faults as one less",
        ),
        (MANY[:4], ["c1"], "a fleet has 1, 3 or 5 servers, not 4: an even"),
        (MANY[:6], ["c1"], "a fleet has 1, 3 or 5 servers, not 6: an even"),
        (MANY, ["c1"], "a fleet has 1, 3 or 5 servers, not 7"),
        ([SERVERS[0], *SERVERS[:2]], ["c1"], "the server n1 is given twice"),
        ([*SERVERS[:2], FleetServer("n3", "192.0.2.1")], ["c1"], "the address 192.0.2.1:4222 is given twice"),
        (SERVERS, ["c1", "c1"], "the control c1 is given twice"),
        (SERVERS, ["C1"], "is not the name of a node"),
    ],
)
def test_what_makes_no_fleet_is_refused(
    tmp_path: Path, servers: list[FleetServer], controls: list[str], reason: str
) -> None:
    with pytest.raises(RootFolderError, match=reason):
        make_root(tmp_path / "fleet", servers, controls, now=NOW)
    assert [*tmp_path.iterdir()] == []


def test_another_folder_is_no_root_folder(tmp_path: Path, root: RootFolder) -> None:
    with pytest.raises(RootFolderError, match="cannot be read: No such file"):
        load_root(tmp_path)
    (root.folder / "operator.nk").write_text("x")
    with pytest.raises(RootFolderError, match="is not a fleet's root folder, or it is damaged"):
        load_root(root.folder)


def test_each_change_of_accounts_is_later_than_the_one_before(root: RootFolder) -> None:
    user, other = (Nkey.generate(NkeyKind.USER).public for _ in range(2))
    root.revoke_edge(user, now=NOW)
    first = parse_jwt(root.account_jwt("EDGES"))
    root.revoke_edge(other, now=NOW - timedelta(days=1))  # also if the clock was set back
    second = parse_jwt(root.account_jwt("EDGES"))
    assert second["iat"] > first["iat"] > int(NOW.timestamp())
    assert second["nats"]["revocations"].keys() == {user, other}


@pytest.mark.parametrize("hours", [[0, -72], [-72, 0], [0, 0]])
def test_an_edge_revoked_twice_stays_revoked_until_the_later_time(root: RootFolder, hours: list[int]) -> None:
    user = Nkey.generate(NkeyKind.USER).public
    for number in hours:
        root.revoke_edge(user, now=NOW + timedelta(hours=number))  # the clock may have been set back
    assert parse_jwt(root.account_jwt("EDGES"))["nats"]["revocations"] == {user: int(NOW.timestamp())}


def test_a_revoked_control_loses_its_signing_key(root: RootFolder) -> None:
    root.revoke_control("c1", now=NOW)
    for account in ("DNSD", "EDGES"):
        assert parse_jwt(root.account_jwt(account))["nats"]["signing_keys"] == [root.controls["c2"]]
    left = load_root(root.folder)
    assert left.controls == {"c2": root.controls["c2"]}
    with pytest.raises(RootFolderError, match="there is no control 'c1'; there are: c2"):
        left.revoke_control("c1", now=NOW)


def test_a_change_of_accounts_reaches_the_files_of_servers_and_leaves_the_rest_of_them(root: RootFolder) -> None:
    paths = [root.folder / "servers" / name / "nats.conf" for name in ("n1", "n2", "n3")]
    paths[0].write_text(paths[0].read_text() + "# by hand: é\nmax_connections: 100\n")
    before = [path.read_text() for path in paths]
    old = {name: root.account_jwt(name) for name in ("DNSD", "EDGES")}
    root.revoke_control("c1", now=NOW)
    for path, text in zip(paths, before, strict=True):
        for name, jwt in old.items():
            assert text.count(jwt) == 1
            text = text.replace(jwt, root.account_jwt(name))
        assert path.read_text() == text
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_edge_is_revoked_by_its_public_key_alone(root: RootFolder) -> None:
    with pytest.raises(RootFolderError, match="not an nkey"):
        root.revoke_edge("e1", now=NOW)


def test_a_renewed_server_has_another_key_and_the_same_names(root: RootFolder) -> None:
    folder = root.folder / "servers" / "n1"
    before = files(folder)
    root.renew_server("n1", now=NOW)
    after = files(folder)
    assert {name for name in before if before[name] != after[name]} == {"cert.pem", "key.pem"}
    shown = [parse_chain(one["cert.pem"])[0] for one in (before, after)]
    names = [one.extensions.get_extension_for_class(x509.SubjectAlternativeName) for one in shown]
    assert names[0] == names[1]
    with pytest.raises(RootFolderError, match="there is no server 'n9'; there are: n1, n2, n3"):
        root.renew_server("n9", now=NOW)


# Identities


def new_edge(root: RootFolder, folder: Path) -> NodeIdentity:
    key = Ed25519PrivateKey.generate()
    papers = load_issuer(root.folder / "controls" / "c1").edge_papers("e1", request_of("e1", key), now=NOW)
    make_identity(folder, key, (root.folder / "ca.pem").read_bytes(), papers)
    return load_identity(folder)


def test_a_renewed_control_has_its_key_and_an_authority_whose_time_begins_anew(root: RootFolder) -> None:
    place, later = root.folder / "controls" / "c1", NOW + timedelta(days=1000)
    before, own, old = load_issuer(place), load_identity(place), files(place)
    root.renew_control("c1", now=later)
    after = load_issuer(place)
    assert after.authority.certificate.not_valid_after_utc == later + AUTHORITY_LIFE
    assert after.authority.key.public_key() == before.authority.key.public_key()
    assert load_identity(place).key.public == own.key.public
    assert {name for name, octets in files(place).items() if octets != old[name]} == {
        "issuer.pem",
        "cert.pem",
        "user.jwt",
    }
    for issuer in (before, after):  # what either has signed leads to the root
        chain = parse_chain(issuer.edge_papers("e1", request_of("e1", own.key.private), now=later).chain)
        check_node(chain, root.authority.certificate, use=CLIENT, now=later)


def test_an_edge_has_one_key_and_renews_its_papers(root: RootFolder, tmp_path: Path) -> None:
    edge = new_edge(root, tmp_path / "identity")
    assert edge.account == root.accounts["EDGES"].public
    assert (edge.name, edge.expires, edge.renew_at()) == ("e1", NOW + timedelta(days=90), NOW + timedelta(days=60))
    issuer, later = load_issuer(root.folder / "controls" / "c2"), NOW + timedelta(days=60)
    renew_identity(edge.folder, issuer.edge_papers("e1", request_of("e1", edge.key.private), now=later))
    renewed = load_identity(edge.folder)
    assert (renewed.key.public, renewed.expires) == (edge.key.public, later + timedelta(days=90))


def test_an_identity_is_never_written_over_another(root: RootFolder, tmp_path: Path) -> None:
    (tmp_path / "identity").mkdir()  # an empty folder may be there
    before = files(new_edge(root, tmp_path / "identity").folder)
    with pytest.raises(IdentityError, match="identity has files already: choose a new or an empty folder"):
        new_edge(root, tmp_path / "identity")
    assert files(tmp_path / "identity") == before


@pytest.mark.parametrize(
    ("file", "octets", "reason"),
    [
        ("key.pem", b"x", "key.pem: this is not a private key in PEM"),
        ("cert.pem", b"x", "cert.pem: this is not a certificate in PEM"),
        ("ca.pem", b"x", "ca.pem: this is not a certificate in PEM"),
        ("user.jwt", b"x", "user.jwt: this is not a JWT of NATS"),
        ("key.pem", None, "key.pem cannot be read: No such file"),
        ("user.jwt", None, "user.jwt cannot be read: No such file"),
    ],
)
def test_a_damaged_identity_is_refused_in_words(
    root: RootFolder, tmp_path: Path, file: str, octets: bytes | None, reason: str
) -> None:
    path = new_edge(root, tmp_path / "identity").folder / file
    if octets is None:
        path.unlink()
    else:
        path.write_bytes(octets)
    with pytest.raises(IdentityError, match=reason):
        load_identity(path.parent)


@pytest.mark.parametrize(("file", "reason"), [("user.jwt", "is not of the key"), ("cert.pem", "is not of the key")])
def test_parts_of_different_identities_are_refused(root: RootFolder, tmp_path: Path, file: str, reason: str) -> None:
    own, other = (new_edge(root, tmp_path / name).folder for name in ("own", "other"))
    (own / file).write_bytes((other / file).read_bytes())
    with pytest.raises(IdentityError, match=reason):
        load_identity(own)


def test_a_key_that_others_may_read_is_refused(root: RootFolder, tmp_path: Path) -> None:
    folder = new_edge(root, tmp_path / "identity").folder
    os.chmod(folder / "key.pem", 0o640)
    with pytest.raises(IdentityError, match="may be read by others than its owner: use chmod 600"):
        load_identity(folder)


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, host: str) -> None:
    """A handshake in memory. Raises ssl.SSLError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(4):
        for end in ends:
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()


def test_an_authority_of_a_control_vouches_for_clients_and_never_for_a_server(root: RootFolder, tmp_path: Path) -> None:
    edge = new_edge(root, tmp_path / "identity")

    def server_of(authority: Authority) -> ssl.SSLContext:
        key, hosts = Ed25519PrivateKey.generate(), ("192.0.2.1",)
        chain = authority.issue("n1", key.public_key(), now=NOW, life=NODE_LIFE, uses=(SERVER, CLIENT), hosts=hosts)
        for name, octets in (("key", pem_key(key)), ("chain", chain)):
            (tmp_path / name).write_bytes(octets)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "chain", tmp_path / "key")
        context.load_verify_locations(root.folder / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    shake_hands(server_of(root.authority), edge.context(), "192.0.2.1")
    stolen = load_issuer(root.folder / "controls" / "c2").authority
    with pytest.raises(ssl.SSLCertVerificationError, match="unsuitable certificate purpose"):
        shake_hands(server_of(stolen), edge.context(), "192.0.2.1")


@pytest.mark.parametrize("name", ["", "E1", "a.b", "*", ">", "-a", "a-", "a" * 33, "e 1"])
def test_an_edge_needs_a_name_without_a_meaning_in_subjects(root: RootFolder, name: str) -> None:
    issuer = load_issuer(root.folder / "controls" / "c1")
    with pytest.raises(ValueError, match="is not the name of a node"):
        issuer.edge_papers(name, request_of("e1", Ed25519PrivateKey.generate()), now=NOW)


def test_a_damaged_issuer_is_refused_in_words(root: RootFolder) -> None:
    folder = root.folder / "controls" / "c1"
    (folder / "signing.nk").write_text("x")
    with pytest.raises(IdentityError, match="the control's issuer is damaged"):
        load_issuer(folder)
