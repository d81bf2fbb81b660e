"""`dnsd serve`."""

from __future__ import annotations

import sys
from pathlib import Path

from dnsd.cli.commands import main
from dnsd.cli.options import config_option
from dnsd.cli.show import fail, say
from dnsd.errors import InvalidDataError
from dnsd.net.listen import ListenError
from dnsd.net.udp import NoBatchError
from dnsd.process.privileges import PrivilegeError
from dnsd.process.state_folder import UnsafeFolderError
from dnsd.serve.start import serve
from dnsd.serve.supervisor import EX_SOFTWARE


@main.command("serve")
@config_option
def serve_command(config: Path) -> None:
    """Run the server. SIGHUP reloads its files, SIGTERM stops it.

    Prints one line for each listening address, then `ready` once every worker answers; all other output goes to
    standard error. One process holds the sockets, one reads and watches the files, and `workers` processes answer.
    SIGHUP and SIGUSR1 reload all files, as an edit of a file does. SIGTERM, SIGINT and SIGQUIT stop the server after it
    has answered the queries already received. All other signals are ignored where the system allows it.

    Started as root, the server switches to `user` after binding its ports. It accepts sockets from systemd and notifies
    systemd when it is ready. If the account files are invalid, it serves its last good data, reports the errors, and
    loads the files once they are fixed. The limit on dropped zones and records applies to reloads; at start, exceeding
    it is only a warning. If other users may write to the state folder, the server does not start; the exit status is
    70.
    """
    try:
        sys.exit(serve(config))
    except InvalidDataError as error:
        fail(error)
    except (ListenError, NoBatchError, PrivilegeError) as error:
        say(str(error))
        sys.exit(1)
    except UnsafeFolderError as error:
        say(str(error))
        sys.exit(EX_SOFTWARE)
