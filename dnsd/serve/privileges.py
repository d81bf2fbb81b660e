"""Becoming another user once the ports are bound."""

from __future__ import annotations

import grp
import importlib
import os
import pwd
import resource
from dataclasses import dataclass

import dns.rdata

from dnsd.errors import DnsdError


class PrivilegeError(DnsdError):
    """A user or group that cannot be become; says which, and why."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom to become."""

    name: str
    uid: int
    gid: int

    def assume(self) -> None:
        """Become this user for good, in all its groups but no others. Raises PrivilegeError."""
        try:
            os.initgroups(self.name, self.gid)
            os.setgid(self.gid)
            os.setuid(self.uid)
        except OSError as error:
            message = f"user: cannot become {self.name!r}: {error.strerror}; CAP_SETUID and CAP_SETGID are needed"
            raise PrivilegeError(message) from None


def identity(user: str | None, group: str | None) -> Identity | None:
    """Whom the settings say to become; None to stay who we are. Raises PrivilegeError."""
    if user is None and group is None:
        return None
    try:
        entry = pwd.getpwnam(user) if user is not None else pwd.getpwuid(os.getuid())
    except KeyError:
        raise PrivilegeError(f"user: there is no user {user!r} on this machine") from None
    try:
        gid = grp.getgrnam(group).gr_gid if group is not None else entry.pw_gid
    except KeyError:
        raise PrivilegeError(f"group: there is no group {group!r} on this machine") from None
    if os.getuid() == entry.pw_uid and os.getgid() == gid:
        return None
    if os.getuid() != 0:
        raise PrivilegeError(f"user: only root can become {entry.pw_name!r}; start as root, or remove the setting")
    return Identity(entry.pw_name, entry.pw_uid, gid)


# Imported once DNS is answered, and where they are wanted.
WEB = "dnsd.serve.web"
API = "dnsd.serve.api_pages"

# What is imported when it is first needed: by then its files may not be readable any more.
LATE_MODULES = (
    WEB,
    API,
    "anyio._backends._asyncio",
    "concurrent.futures.thread",
    "encodings.idna",
    "encodings.punycode",
    "encodings.utf_8_sig",
    "idna.uts46data",
    "uvicorn.lifespan.off",
    "uvicorn.loops.asyncio",
)


def import_late_modules() -> None:
    """Import everything that will be needed, as long as we may."""
    for name in LATE_MODULES:
        importlib.import_module(name)
    dns.rdata.load_all_types()  # type: ignore[no-untyped-call]


def raise_descriptor_limit() -> None:
    """As many file descriptors as the system lets us have: every TCP client needs one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
