"""The root folder of a fleet: the keys above all others, and what servers and controls get from it.

Who holds it can make and withdraw everything, and no machine needs it to run: it is kept offline. It is made as a whole
or not at all. Account JWTs in it are the truth: each change makes one with a later time of issue, for servers keep the
latest.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dnsd.errors import DnsdError
from dnsd.fleet import access, identity
from dnsd.fleet.certificates import (
    CLIENT,
    SERVER,
    SERVER_LIFE,
    Authority,
    CertificateError,
    name_in,
    parse_chain,
    parse_key,
    pem,
    pem_key,
    request_of,
    root_authority,
)
from dnsd.fleet.identity import Papers, make_identity, renew_identity
from dnsd.fleet.issuer import Issuer, load_issuer
from dnsd.fleet.jwt import JwtError, parse_jwt, signed_jwt
from dnsd.fleet.nkeys import Nkey, NkeyError, NkeyKind, parse_public, parse_seed
from dnsd.fleet.server_file import FILE_NAME, FleetServer, ServerTrust, server_file, with_accounts
from dnsd.whole_file import create_file, make_folder, replacing, sync

ROOT_KEY_FILE, OPERATOR_SEED, OPERATOR_JWT, FLEET_FILE = "ca-key.pem", "operator.nk", "operator.jwt", "fleet.json"
ACCOUNTS, SERVERS, CONTROLS, EDGES = "accounts", "servers", "controls", "edges"
NUMBERS = (1, 3, 5)  # of servers: a majority of them must run, and JetStream keeps at most five copies
OPERATOR = "dnsd"
UPDATER = "root"  # the user that sends account JWTs to servers
UPDATER_LIFE = timedelta(hours=1)


class RootFolderError(DnsdError):
    """A root folder that cannot be made or read, or a change that makes no sense; the message has the reason."""


@dataclass(frozen=True, slots=True)
class RootFolder:
    """The keys of a fleet, its servers, and the signing key of each control by the control's name."""

    folder: Path
    authority: Authority
    operator: Nkey
    accounts: Mapping[str, Nkey]
    servers: tuple[FleetServer, ...]
    controls: Mapping[str, str]

    def account_jwt(self, account: str) -> str:
        """The JWT of an account in force. Raises RootFolderError."""
        return _read(self.folder / ACCOUNTS / f"{account}.jwt").decode("ascii", "replace").strip()

    def revoke_edge(self, user: str, *, now: datetime) -> None:
        """Void the JWTs that a user of EDGES has until now. Raises RootFolderError and OSError."""
        try:
            parse_public(user, NkeyKind.USER)
        except NkeyError as error:
            raise RootFolderError(str(error)) from None
        self._change(now, {user: int(now.timestamp())}, self.controls)

    def revoke_control(self, name: str, *, now: datetime) -> None:
        """Withdraw a control and the edges with papers from it. Raises RootFolderError and OSError."""
        if name not in self.controls:
            raise RootFolderError(f"there is no control {name!r}; there are: {', '.join(self.controls) or 'none'}")
        left = {other: key for other, key in self.controls.items() if other != name}
        self._change(now, {}, left)
        _write_fleet(self.folder, self.servers, left)

    def renew(self, name: str, *, now: datetime) -> list[str]:
        """Give new papers to the server and the control of this name; their folders, relative to the root folder.

        Raises RootFolderError, IdentityError, CertificateError and OSError.
        """
        servers = [server.name for server in self.servers]
        if name not in (*servers, *self.controls):
            there = f"the servers {', '.join(servers)}, and the controls {', '.join(self.controls) or 'none'}"
            raise RootFolderError(f"there is no server or control {name!r}; there are {there}")
        done = []
        if name in self.controls:
            self.renew_control(name, now=now)
            done.append(f"{CONTROLS}/{name}")
        if name in servers:
            self.renew_server(name, now=now)
            done.append(f"{SERVERS}/{name}")
        return done

    def renew_server(self, name: str, *, now: datetime) -> None:
        """Replace the key and the certificate in a server's folder. Raises RootFolderError and OSError."""
        server = next((one for one in self.servers if one.name == name), None)
        if server is None:
            raise RootFolderError(f"there is no server {name!r}; there are: {', '.join(o.name for o in self.servers)}")
        for file, octets in _server_papers(self.authority, server, now).items():
            with replacing(self.folder / SERVERS / name / file) as out:
                out.write(octets)

    def renew_control(self, name: str, *, now: datetime) -> None:
        """Replace the papers in a control's folder; the time of its authority begins anew, with the same key.

        Raises RootFolderError, IdentityError, CertificateError and OSError.
        """
        issuer, place = self._issuer(name), self.folder / CONTROLS / name
        key, old = identity.load_identity(place).key.private, issuer.authority
        issuer = replace(
            issuer, authority=self.authority.issue_authority(name_in(old.certificate), now=now, key=old.key)
        )
        issuer.save(place)
        renew_identity(place, issuer.control_papers(name, key.public_key(), now=now))

    def make_edge(self, name: str, control: str, *, now: datetime) -> Path:
        """Make the folder of an edge, or renew its papers there; a control has let it in.

        Raises RootFolderError, IdentityError, OSError, and ValueError for the name.
        """
        issuer, place = self._issuer(control), self.folder / EDGES / access.check_node_name(name)
        if os.path.lexists(place):
            key = identity.load_identity(place).key.private
            renew_identity(place, issuer.edge_papers(name, request_of(name, key), now=now))
        else:
            key = Ed25519PrivateKey.generate()
            root = pem(self.authority.certificate)
            make_identity(place, key, root, issuer.edge_papers(name, request_of(name, key), now=now))
        return place

    def _issuer(self, control: str) -> Issuer:
        if control not in self.controls:
            raise RootFolderError(f"there is no control {control!r}; there are: {', '.join(self.controls) or 'none'}")
        return load_issuer(self.folder / CONTROLS / control)

    def make_updater(self, folder: Path, *, now: datetime) -> None:
        """Make the identity, valid for an hour, of a user that may send account JWTs to servers. Raises OSError."""
        key = Nkey.generate(NkeyKind.USER)
        chain = self.authority.issue(UPDATER, key.private.public_key(), now=now, life=UPDATER_LIFE)
        claims = access.updating_claims(UPDATER)
        system = self.accounts[access.SYS]
        jwt = signed_jwt(system, key.public, claims, name=UPDATER, issued=now, expires=now + UPDATER_LIFE)
        make_identity(folder, key.private, pem(self.authority.certificate), Papers(chain, jwt))

    def _change(self, now: datetime, revoked: Mapping[str, int], controls: Mapping[str, str]) -> None:
        """Sign and write the JWTs of DNSD and EDGES."""
        try:
            old = {name: parse_jwt(self.account_jwt(name)) for name in (access.DNSD, access.EDGES)}
        except JwtError as error:
            raise RootFolderError(f"{self.folder / ACCOUNTS}: {error}") from None
        latest = max(claims["iat"] for claims in old.values())
        issued = max(now, datetime.fromtimestamp(latest + 1, UTC))
        all_revoked = dict(old[access.EDGES]["nats"].get("revocations", {}))
        for user, until in revoked.items():
            all_revoked[user] = max(until, all_revoked.get(user, 0))
        changed = _account_jwts(self.operator, self.accounts, controls.values(), all_revoked, issued)
        del changed[access.SYS]
        self._change_servers({self.accounts[name].public: jwt for name, jwt in changed.items()})
        for name, jwt in changed.items():
            with replacing(self.folder / ACCOUNTS / f"{name}.jwt") as out:
                out.write(f"{jwt}\n".encode())

    def _change_servers(self, jwts: Mapping[str, str]) -> None:
        """Write JWTs into the servers' files: a server without its data begins with the accounts in its file."""
        for server in self.servers:
            path = self.folder / SERVERS / server.name / FILE_NAME
            text = with_accounts(_read(path).decode("utf-8", "surrogateescape"), jwts)
            with replacing(path) as out:
                out.write(text.encode("utf-8", "surrogateescape"))


def make_root(folder: Path, servers: Sequence[FleetServer], controls: Sequence[str], *, now: datetime) -> RootFolder:
    """Make a root folder, with a folder for each server and control. Raises RootFolderError and OSError."""
    _check(servers, controls)
    if os.path.lexists(folder):
        raise RootFolderError(f"{folder} exists, and nothing in it was changed: choose a new name")
    make_folder(folder.parent)
    new = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))  # for its owner alone
    try:
        root = _new_root(new, servers, controls, now)
        os.rename(new, folder)  # fails where a folder with content has come meanwhile
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    sync(folder.parent)
    return replace(root, folder=folder)


def load_root(folder: Path) -> RootFolder:
    """Read a root folder. Raises RootFolderError."""
    try:
        certificate = parse_chain(_read(folder / identity.ROOT_FILE))[0]
        authority = Authority(certificate, parse_key(_read(folder / ROOT_KEY_FILE)))
        operator = _seed(folder / OPERATOR_SEED, NkeyKind.OPERATOR)
        names = (access.DNSD, access.EDGES, access.SYS)
        accounts = {name: _seed(folder / ACCOUNTS / f"{name}.nk", NkeyKind.ACCOUNT) for name in names}
        fleet = json.loads(_read(folder / FLEET_FILE))
        servers = tuple(FleetServer(one["name"], one["host"], one["port"]) for one in fleet["servers"])
        controls = dict(fleet["controls"])
    except (CertificateError, NkeyError, ValueError, TypeError, LookupError) as error:
        raise RootFolderError(f"{folder} is not a fleet's root folder, or it is damaged: {error}") from None
    return RootFolder(folder, authority, operator, accounts, servers, controls)


def _check(servers: Sequence[FleetServer], controls: Sequence[str]) -> None:
    """Raises RootFolderError for names or addresses that make no fleet."""
    given = {
        "server": [server.name for server in servers],
        "address": [server.at(server.port) for server in servers],
        "control": controls,
    }
    for what, names in given.items():
        for name in names:
            if names.count(name) > 1:
                raise RootFolderError(f"the {what} {name} is given twice")
    try:
        for name in controls:
            access.check_node_name(name)
    except ValueError as error:
        raise RootFolderError(str(error)) from None
    if len(servers) not in NUMBERS:
        reason = "" if len(servers) % 2 or not servers else ": an even number stops after as few faults as one less"
        raise RootFolderError(f"a fleet has 1, 3 or 5 servers, not {len(servers)}{reason}")


def _new_root(folder: Path, servers: Sequence[FleetServer], controls: Sequence[str], now: datetime) -> RootFolder:
    """Make everything in a new folder."""
    authority, operator = root_authority(now), Nkey.generate(NkeyKind.OPERATOR)
    names = (access.DNSD, access.EDGES, access.SYS)
    accounts = {name: Nkey.generate(NkeyKind.ACCOUNT) for name in names}
    issuers = {name: _new_issuer(authority, accounts, name, now) for name in controls}
    signing = {name: issuer.signing.public for name, issuer in issuers.items()}
    jwts = _account_jwts(operator, accounts, signing.values(), {}, now)
    system = accounts[access.SYS].public
    operator_jwt = signed_jwt(operator, operator.public, access.operator_claims(system), name=OPERATOR, issued=now)
    root = pem(authority.certificate)
    files = {
        identity.ROOT_FILE: root,
        ROOT_KEY_FILE: pem_key(authority.key),
        OPERATOR_SEED: _line(operator.seed()),
        OPERATOR_JWT: _line(operator_jwt),
    }
    for name, key in accounts.items():
        files |= {f"{ACCOUNTS}/{name}.nk": _line(key.seed()), f"{ACCOUNTS}/{name}.jwt": _line(jwts[name])}
    trust = ServerTrust(
        operator_jwt, system, {accounts[name].public: jwt for name, jwt in jwts.items()}, secrets.token_hex(32)
    )
    for server in servers:
        papers = {**_server_papers(authority, server, now), identity.ROOT_FILE: root}
        papers[FILE_NAME] = server_file(server, servers, trust).encode()
        files |= {f"{SERVERS}/{server.name}/{name}": octets for name, octets in papers.items()}
    for path, octets in files.items():
        _write(folder / path, octets)
    for name, issuer in issuers.items():
        own, place = Ed25519PrivateKey.generate(), folder / CONTROLS / name
        make_identity(place, own, root, issuer.control_papers(name, own.public_key(), now=now))
        issuer.save(place)
    _write_fleet(folder, servers, signing)
    return RootFolder(folder, authority, operator, accounts, tuple(servers), signing)


def _new_issuer(authority: Authority, accounts: Mapping[str, Nkey], name: str, now: datetime) -> Issuer:
    below = authority.issue_authority(f"dnsd fleet control {name}", now=now)
    publics = {account: accounts[account].public for account in (access.DNSD, access.EDGES)}
    return Issuer(below, Nkey.generate(NkeyKind.ACCOUNT), publics)


def _account_jwts(
    operator: Nkey, accounts: Mapping[str, Nkey], signing: Any, revoked: Mapping[str, int], issued: datetime
) -> dict[str, str]:
    """The JWTs of all accounts, by name; `signing` are the public signing keys of controls."""
    publics, signing = {name: key.public for name, key in accounts.items()}, tuple(signing)
    claims = {
        access.DNSD: access.dnsd_claims(publics[access.EDGES], signing),
        access.EDGES: access.edges_claims(publics[access.DNSD], signing, revoked),
        access.SYS: access.system_claims(),
    }
    return {name: signed_jwt(operator, publics[name], nats, name=name, issued=issued) for name, nats in claims.items()}


def _server_papers(authority: Authority, server: FleetServer, now: datetime) -> dict[str, bytes]:
    """A new key and certificate of a server, which is a client of the other servers."""
    key = Ed25519PrivateKey.generate()
    uses = (SERVER, CLIENT)
    chain = authority.issue(server.name, key.public_key(), now=now, life=SERVER_LIFE, uses=uses, hosts=(server.host,))
    return {identity.KEY_FILE: pem_key(key), identity.CERTIFICATE_FILE: chain}


def _write_fleet(folder: Path, servers: Sequence[FleetServer], controls: Mapping[str, str]) -> None:
    shown = [{"name": one.name, "host": one.host, "port": one.port} for one in servers]
    with replacing(folder / FLEET_FILE) as out:
        out.write(_line(json.dumps({"servers": shown, "controls": dict(controls)}, indent=2)))


def _line(text: str) -> bytes:
    return f"{text}\n".encode()


def _write(path: Path, octets: bytes) -> None:
    """Write a new file for its owner alone, and bring it to disk."""
    make_folder(path.parent)
    with create_file(path, mode=0o600) as out:
        out.write(octets)
        out.flush()
        os.fsync(out.fileno())


def _seed(path: Path, kind: NkeyKind) -> Nkey:
    return parse_seed(_read(path).decode("ascii", "replace").strip(), kind)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RootFolderError(f"{path} cannot be read: {error.strerror}") from None
