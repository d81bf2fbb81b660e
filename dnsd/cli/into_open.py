"""Changes that make origins public: on a terminal, the addresses are shown first."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

import click

from dnsd.api.codes import CODES
from dnsd.cli.client import ApiRefusedError, FailedError
from dnsd.cli.show import say
from dnsd.errors import printable
from dnsd.manage.refusal import Reason

T = TypeVar("T")
REFUSE = {"into_open": "refuse"}
INTO_OPEN = CODES[Reason.INTO_OPEN].number

yes_option = click.option("--yes", is_flag=True, help="Do not ask, even if addresses of origins become public.")


def confirmed(send: Callable[..., T], *, yes: bool) -> T:
    """The result of a change; on a terminal, ask first if it makes addresses public.

    `send` sends the change, with parameters for its query. Without a terminal, it is sent at once.
    """
    if yes or not sys.stdin.isatty():
        return send()
    try:
        return send(**REFUSE)
    except ApiRefusedError as error:
        if error.code != INTO_OPEN:
            raise
        for line in error.messages:
            say(printable(line))
    if not click.confirm("Make these addresses public?", err=True):
        raise FailedError("nothing was changed")
    return send()
