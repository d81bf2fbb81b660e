"""The subjects over which a node asks for its consumer: JetStream's own for a control, imported ones for an edge."""

from __future__ import annotations

from typing import NamedTuple

from dnsd.fleet.stream import STREAM
from dnsd.fleet.subjects import ALL_STATE


class Doors(NamedTuple):
    """The subjects over which a node may ask for its consumer and for one object."""

    create: str
    delete: str
    next: str
    get: str


def control_doors(consumer: str) -> Doors:
    """The doors of a control: JetStream's own subjects."""
    api = "$JS.API"
    return Doors(
        f"{api}.CONSUMER.CREATE.{STREAM}.{consumer}.{ALL_STATE}",
        f"{api}.CONSUMER.DELETE.{STREAM}.{consumer}",
        f"{api}.CONSUMER.MSG.NEXT.{STREAM}.{consumer}",
        f"{api}.DIRECT.GET.{STREAM}.",
    )


def edge_doors(consumer: str) -> Doors:
    """The doors of an edge: what its account imports."""
    return Doors(f"hub.create.{consumer}.{ALL_STATE}", f"hub.delete.{consumer}", f"hub.next.{consumer}", "hub.get.")
