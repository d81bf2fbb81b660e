"""The routes of a fleet's edges, dnsd's own; and waiting until edges serve a change."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, StrictBool

from dnsd.api.bodies import RequestBody
from dnsd.api.envelope import Reply
from dnsd.api.request import Call
from dnsd.api.shapes import JsonObject
from dnsd.manage.fleet_view import EdgeChange, EdgeView
from dnsd.manage.fleet_words import FLEET, WAIT, not_everywhere
from dnsd.manage.refusal import Reason, refused
from dnsd.manage.service import Service

MAX_EDGES = 1000  # on one page


class EdgeEdit(RequestBody):
    """What an operator says of an edge."""

    is_ours: ClassVar[bool] = True
    ring: int | None = Field(default=None, ge=0, le=9, description="ring of rollouts; changes reach ring 0 first")
    label: str | None = Field(default=None, max_length=64, description="place of the edge, in words")
    drained: StrictBool | None = Field(
        default=None, description="whether the edge says on /readyz that it is not ready; it answers on"
    )


async def list_edges(call: Call) -> Reply:
    """List the edges of the fleet: state, ring, lag, and the figures that each tells; none without a fleet"""
    edges, texts = call.service.fleet.edges() if call.service.fleet else [], call.query
    if state := texts.get("state"):
        edges = [one for one in edges if one.state == state]
    if text := texts.get("search", "").lower():
        edges = [one for one in edges if text in one.name or text in one.label.lower()]
    return Reply(call.page(default=100, largest=MAX_EDGES).of_list(edges, edge_shape))


async def edit_edge(call: Call) -> Reply:
    """Set the ring or the label of an edge, or drain it: it then answers on, but is not ready"""
    body, name = call.fields(EdgeEdit), call.path["edge"]
    await call.service.edit_edge(call.actor, name, EdgeChange(body.ring, body.label, body.drained))
    return Reply(edge_shape(find_edge(call.service, name)))


def find_edge(service: Service, name: str) -> EdgeView:
    """An edge by its name. Raises RefusedError."""
    edges = service.fleet.edges() if service.fleet else []
    found = next((one for one in edges if one.name == name), None)
    if found is None:
        raise refused(Reason.NOT_FOUND, f"there is no edge {name}")
    return found


def edge_shape(edge: EdgeView) -> JsonObject:
    """An edge as the API shows it."""
    return {
        "name": edge.name,
        "state": str(edge.state),
        "ring": edge.ring,
        "label": edge.label,
        "drained": edge.is_drained,
        "silence_s": None if edge.silence_s is None else round(edge.silence_s, 1),
        "lag_s": round(edge.lag_s, 1),
        "seq": edge.seq,
        "revision": edge.revision,
        "version": edge.version,
        "zones": edge.zones,
        "answers_per_s": edge.rate,
        "held": list(edge.held),
        "held_total": edge.held_total,
        "problems": list(edge.problems),
    }


def waits_for_edges(asked: str | None) -> bool:
    """Whether a query asks to wait until all edges serve a change. Raises RefusedError."""
    if asked not in (None, FLEET):
        raise refused(Reason.INVALID, f"{asked!r} is unknown: use {FLEET!r}, or leave it out", WAIT)
    return asked == FLEET


async def late_edges(service: Service, *, by_operator: bool) -> list[str]:
    """Wait until every healthy edge serves the last change; a message of those that are late, for operators by name."""
    late = await service.fleet.late() if service.fleet else []
    return [not_everywhere(late, names=by_operator)] if late else []
