"""The OpenAPI 3.1 document of the API, built from the table of routes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic.json_schema import models_json_schema

from dnsd import __version__
from dnsd.api.access import IDS
from dnsd.api.routes import BASE, Route

SUMMARY = "The part of Cloudflare's API v4 for address maps, zones and records."
REFERENCE = "#/components/schemas/{model}"
PATH_PARAMETER = re.compile(r"{(\w+)}")
ENVELOPE = {
    "type": "object",
    "required": ["success", "errors", "messages", "result"],
    "properties": {
        "success": {"type": "boolean"},
        "errors": {"type": "array", "items": {"$ref": REFERENCE.format(model="Message")}},
        "messages": {"type": "array", "items": {"$ref": REFERENCE.format(model="Message")}},
        "result": {},
        "result_info": {
            "type": "object",
            "properties": {
                name: {"type": "integer"} for name in ("page", "per_page", "count", "total_count", "total_pages")
            },
        },
    },
}
MESSAGE = {
    "type": "object",
    "required": ["code", "message"],
    "properties": {
        "code": {"type": "integer"},
        "message": {"type": "string"},
        "type": {"type": "null", "description": "of messages"},
        "source": {"type": "object", "properties": {"pointer": {"type": "string", "description": "RFC 6901"}}},
    },
}


def openapi_document(routes: Sequence[Route]) -> dict[str, Any]:
    """The document of these routes."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(BASE + route.path, {})[route.method.lower()] = _operation(route)
    info = {"title": "dnsd", "summary": SUMMARY, "version": __version__}
    return {"openapi": "3.1.0", "info": info, "paths": paths, "components": components(routes)}


def tag(route: Route) -> str:
    """The topic of a route: the name of its module or package below dnsd.api."""
    return route.answer.__module__.split(".")[2]


def operation_id(route: Route) -> str:
    """A unique name for a route: `get_zones_zone_id`."""
    return "_".join([route.method.lower(), *re.findall(r"\w+", route.path)])


def _operation(route: Route) -> dict[str, Any]:
    described: dict[str, Any] = {
        "tags": [tag(route)],
        "summary": (route.answer.__doc__ or "").strip(),
        "operationId": operation_id(route),
        "parameters": [*map(_path_parameter, PATH_PARAMETER.findall(route.path)), *map(_parameter, route.query)],
        "security": [{"token": []}, {"email": [], "key": []}],
        "x-permission": str(route.permission),
        "responses": {str(route.status): _response("the result"), "default": _response("the errors")},
    }
    if route.body:
        schema = {"$ref": REFERENCE.format(model=route.body.__name__)}
        described["requestBody"] = {"required": True, "content": {route.body_type: {"schema": schema}}}
    return described


def components(routes: Iterable[Route]) -> dict[str, Any]:
    """The components of operations: schemas of bodies and of the envelope, and the ways to send a token."""
    bodies = {route.body: None for route in routes if route.body}
    _, schemas = models_json_schema([(body, "validation") for body in bodies], ref_template=REFERENCE)
    return {
        "schemas": {**schemas["$defs"], "Envelope": ENVELOPE, "Message": MESSAGE},
        "securitySchemes": {
            "token": {"type": "http", "scheme": "bearer"},
            "email": {"type": "apiKey", "in": "header", "name": "X-Auth-Email"},
            "key": {"type": "apiKey", "in": "header", "name": "X-Auth-Key"},
        },
    }


def _path_parameter(name: str) -> dict[str, Any]:
    schema = {"type": "string", **({"pattern": "^[0-9a-fA-F]{32}$"} if name in IDS else {})}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": {"type": "integer" if "page" in name else "string"}}


def _response(description: str) -> dict[str, Any]:
    schema = {"$ref": REFERENCE.format(model="Envelope")}
    return {"description": description, "content": {"application/json": {"schema": schema}}}
