"""A code for an edge, made with a control's identity."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path

from dnsd.fleet.certificates import root_digest
from dnsd.fleet.edge_list import EdgeList, EdgeOffer
from dnsd.fleet.identity import root_of
from dnsd.fleet.join_code import SECRET_SIZE, JoinCode, JoinCodeError, check_urls
from dnsd.fleet.node import FleetNode


async def new_code(node: FleetNode, identity: Path, name: str, *, ring: int, label: str, urls: Sequence[str]) -> str:
    """The text of a new code for the edge of a name, at the URLs of controls that let edges join.

    Raises JoinCodeError, IdentityError, and as `EdgeList.offer`.
    """
    if not urls:
        raise JoinCodeError("no control is known that lets edges join: set `fleet.join.urls`, or give --url")
    code = JoinCode(name, root_digest(root_of(identity)), secrets.token_bytes(SECRET_SIZE), check_urls(urls))
    await EdgeList(node.line, node.name).offer(code.secret, EdgeOffer(name, ring, label))
    return code.text()
