"""Modules imported after the start: HTTP once DNS is answered, others at their first use; and those of a fleet."""

from __future__ import annotations

import importlib

import dns.rdata

from dnsd.settings.role import Role

WEB = "dnsd.web.listener"
STORES = {Role.EDGE: "dnsd.fleet.store", Role.CONTROL: "dnsd.fleet.control_store"}
LATE_MODULES = (
    WEB,
    "dnsd.control.commands",
    "dnsd.control.going_on",
    "dnsd.formats.item_patterns",
    "dnsd.web.api_pages",
    "anyio._backends._asyncio",
    "concurrent.futures.thread",
    "cryptography.x509",
    "encodings.idna",
    "encodings.punycode",
    "encodings.unicode_escape",
    "encodings.utf_8_sig",
    "idna.uts46data",
    "jinja2.debug",
    "uvicorn.lifespan.off",
    "uvicorn.loops.asyncio",
)


def import_late_modules() -> None:
    """Import all of them now, as the user to whom the server switches may not be able to read their files."""
    for name in LATE_MODULES:
        importlib.import_module(name)
    dns.rdata.load_all_types()  # type: ignore[no-untyped-call]
    from dnsd.model.public_suffixes import public_suffixes

    public_suffixes()
