"""Reports of the service's state to systemd: sd_notify(3), datagrams to the socket in NOTIFY_SOCKET."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress


class Notifier:
    """Sends states such as `READY=1`; does nothing unless a service manager asked for them."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        is_for_us = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        watchdog_us = environment.get("WATCHDOG_USEC", "") if is_for_us else ""
        # Half of the manager's timeout, as sd_watchdog_enabled(3) recommends.
        self.watchdog_s = int(watchdog_us) / 2e6 if watchdog_us.isdecimal() else None

    def tell(self, *states: str) -> None:
        """Send one datagram; errors are ignored."""
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.setblocking(False)
            sock.sendto("\n".join(states).encode(), self._address)
