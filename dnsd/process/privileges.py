"""Switch to another user once the ports are bound."""

from __future__ import annotations

import grp
import os
import pwd
import resource
import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from dnsd.errors import DnsdError


class PrivilegeError(DnsdError):
    """The switch to a user or group failed; the message names it and the reason."""


@dataclass(frozen=True, slots=True)
class ServerUser:
    """The user and group to switch to."""

    name: str
    uid: int
    gid: int

    def assume(self) -> None:
        """Switch to this user for good, with exactly its groups. Raises PrivilegeError."""
        try:
            os.initgroups(self.name, self.gid)
            os.setgid(self.gid)
            os.setuid(self.uid)
        except OSError as error:
            message = f"user: cannot switch to {self.name!r}: {error.strerror}; needs CAP_SETUID and CAP_SETGID"
            raise PrivilegeError(message) from None

    def may_read(self, file: Path) -> bool:
        """Whether the modes of a file and its folders let this user read it; True if the file is missing."""
        groups = os.getgrouplist(self.name, self.gid)
        try:
            path = file.resolve()
            needs = [(path, stat.S_IROTH), *((folder, stat.S_IXOTH) for folder in path.parents)]
            return all(self._may(os.stat(one), need, groups) for one, need in needs)
        except OSError:
            return True

    def _may(self, found: os.stat_result, need: int, groups: Collection[int]) -> bool:
        """Whether a mode grants `need`, given as the bit for others."""
        if found.st_uid == self.uid:
            return bool(found.st_mode & need << 6)
        return bool(found.st_mode & (need << 3 if found.st_gid in groups else need))


def user_to_assume(user: str | None, group: str | None) -> ServerUser | None:
    """The user to switch to according to the settings; None to stay the current one. Raises PrivilegeError."""
    if user is None and group is None:
        return None
    try:
        entry = pwd.getpwnam(user) if user is not None else pwd.getpwuid(os.getuid())
    except KeyError:
        raise PrivilegeError(f"user: no user {user!r} on this machine") from None
    try:
        gid = grp.getgrnam(group).gr_gid if group is not None else entry.pw_gid
    except KeyError:
        raise PrivilegeError(f"group: no group {group!r} on this machine") from None
    if os.getuid() == entry.pw_uid and os.getgid() == gid:
        return None
    if os.getuid() != 0:
        raise PrivilegeError(f"user: only root can switch to {entry.pw_name!r}; start as root, or remove the setting")
    return ServerUser(entry.pw_name, entry.pw_uid, gid)


def raise_descriptor_limit() -> None:
    """Raise the limit on file descriptors to the system's maximum: every TCP client needs one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
