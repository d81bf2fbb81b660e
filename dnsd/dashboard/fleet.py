"""The fleet's edges: a list and a picture, updated while they are shown; and an edge's ring, label and drain."""

from __future__ import annotations

from dnsd.api.edges import EdgeEdit, find_edge
from dnsd.dashboard.fleet_picture import WORDS, fleet_pictures, in_words
from dnsd.dashboard.forms import FormErrors
from dnsd.dashboard.listing import listing
from dnsd.dashboard.page import HtmlPage, Redirect
from dnsd.dashboard.visit import Visit
from dnsd.manage.fleet_view import EdgeChange, EdgeState, EdgeView, FleetEdges
from dnsd.manage.refusal import Reason, RefusedError, refused

PATH = "/fleet"
FIELDS = ("ring", "label")
RINGS = tuple(map(str, range(10)))
PILLS = {EdgeState.OK: "good", EdgeState.PROBLEMS: "warn", EdgeState.LAGGING: "bad", EdgeState.SILENT: "bad"}
WORST_FIRST = {state: place for place, state in enumerate(EdgeState)}


async def show_fleet(visit: Visit) -> HtmlPage:
    """All edges, by name, or as a search finds them."""
    edges = _fleet(visit).edges()
    found = listing(
        visit,
        PATH,
        edges,
        texts=lambda one: (one.name, one.label, one.state, one.version),
        orders={
            "name": lambda one: one.name,
            "state": lambda one: (WORST_FIRST[one.state], one.name),
            "ring": lambda one: (one.ring, one.name),
            "lag": lambda one: (one.lag_s, one.name),
            "rate": lambda one: (one.rate, one.name),
        },
        order="name",
    )
    data = {"listing": found, "pictures": fleet_pictures(edges), "summary": in_words(edges), "pills": PILLS}
    return HtmlPage("fleet.html", {**data, "words": WORDS})


async def show_edge(visit: Visit) -> HtmlPage:
    """One edge, with the form for its ring and label."""
    return _edge_page(visit, FormErrors())


async def save_edge(visit: Visit) -> HtmlPage | Redirect:
    """Set the ring and the label of an edge."""
    try:
        ring, label = visit.form.text("ring"), visit.form.text("label")
        body = visit.body(EdgeEdit, {"label": label, "ring": int(ring) if ring in RINGS else ring})
        await _change(visit, EdgeChange(ring=body.ring, label=body.label))
    except RefusedError as error:
        return _edge_page(visit, FormErrors(error, FIELDS))
    return Redirect(_path(visit), "The ring and the label are saved.")


async def drain_edge(visit: Visit) -> HtmlPage | Redirect:
    """Drain an edge."""
    return await _drained(visit, "The edge is drained: it answers on, but is not ready.", is_drained=True)


async def undrain_edge(visit: Visit) -> HtmlPage | Redirect:
    """End the drain of an edge."""
    return await _drained(visit, "The drain has ended.", is_drained=False)


async def _drained(visit: Visit, done: str, *, is_drained: bool) -> HtmlPage | Redirect:
    try:
        await _change(visit, EdgeChange(is_drained=is_drained))
    except RefusedError as error:
        return _edge_page(visit, FormErrors(error))
    return Redirect(_path(visit), done)


async def _change(visit: Visit, change: EdgeChange) -> None:
    await visit.service.edit_edge(visit.actor, _edge(visit).name, change)


def _edge_page(visit: Visit, errors: FormErrors) -> HtmlPage:
    edge, form = _edge(visit), visit.form
    is_sent = "label" in form
    data = {
        "edge": edge,
        "rings": RINGS,
        "ring": form.text("ring") if is_sent else str(edge.ring),
        "label": form.text("label") if is_sent else edge.label,
        "pill": PILLS.get(edge.state, ""),
        "word": WORDS[edge.state],
        "path": _path(visit),
        "errors": errors,
    }
    return HtmlPage("fleet_edge.html", data, errors.status)


def _path(visit: Visit) -> str:
    return f"{PATH}/{_edge(visit).name}"


def _edge(visit: Visit) -> EdgeView:
    """The edge in the path. Raises RefusedError."""
    return find_edge(visit.service, visit.path["edge"])


def _fleet(visit: Visit) -> FleetEdges:
    """The fleet. Raises RefusedError on a server that is not a control of one."""
    if visit.fleet is None:
        raise refused(Reason.NOT_FOUND, "this server is not a control of a fleet")
    return visit.fleet
