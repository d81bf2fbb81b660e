"""The API's documentation for people: one page of HTML without scripts, built from the table of routes."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from itertools import groupby
from typing import Any

from dnsd.api.codes import CODES
from dnsd.api.fixed_page import FixedPage
from dnsd.api.openapi import components, operation_id, tag
from dnsd.api.routes import BASE, ROUTES, Route
from dnsd.model.fields import Fields

Schema = Mapping[str, Any]

TITLES = {
    "accounts": "Accounts, prefixes and static IPs",
    "memberships": "Memberships",
    "maps": "Address maps",
    "pending": "Pending changes",
    "drains": "Drains",
    "history": "Earlier versions",
    "addressing": "BGP prefixes and bindings",
    "loa": "Letters of agency",
    "zones": "Zones",
    "zone_settings": "Settings of zones",
    "records": "Records",
    "analytics": "Analytics",
    "tokens": "API tokens",
    "quotas": "Quotas",
    "audit_logs": "Audit logs",
    "brake": "Brake",
    "edges": "Edges of a fleet",
}
KINDS: Mapping[str, str] = {"string": "text", "boolean": "true or false", "integer": "number"}
STYLE = """
:root { color-scheme: light dark; --text: #1c2024; --dim: #5b6470; --page: #fff; --part: #f5f6f8; --line: #dfe3e8;
  --get: #0b6bcb; --post: #1a7f37; --change: #8a5a00; --delete: #c0262d; }
@media (prefers-color-scheme: dark) { :root { --text: #e4e7eb; --dim: #9aa4b0; --page: #14171a; --part: #1d2126;
  --line: #323942; --get: #6cb2f7; --post: #5fcf7f; --change: #e5b454; --delete: #ff8a8a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 62rem; background: var(--page); color: var(--text);
  font: 1rem/1.55 system-ui, sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .5rem; } h2 { font-size: 1.25rem; margin: 2.5rem 0 .75rem; }
a { color: var(--get); } nav a { margin-right: 1rem; white-space: nowrap; }
code, pre { font-family: ui-monospace, monospace; font-size: .875em; }
code { overflow-wrap: anywhere; }
pre { background: var(--part); border: 1px solid var(--line); border-radius: .4rem; padding: .75rem; overflow-x: auto; }
article { border: 1px solid var(--line); border-radius: .4rem; padding: .6rem .8rem; margin: .5rem 0;
  background: var(--part); }
article > p { margin: .2rem 0 0; } article:target, tr:target { outline: 2px solid var(--get); }
.method { display: inline-block; min-width: 4.75rem; font-weight: 700; }
.GET { color: var(--get); } .POST { color: var(--post); } .PUT, .PATCH { color: var(--change); }
.DELETE { color: var(--delete); }
.needs { float: right; color: var(--dim); font-size: .875rem; margin-left: 1rem; }
details { margin-top: .4rem; } summary { cursor: pointer; color: var(--dim); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: .4rem 0; background: var(--page); font-size: .9375rem; }
th, td { border: 1px solid var(--line); padding: .3rem .55rem; text-align: left; vertical-align: top; }
th { color: var(--dim); font-weight: 600; }
"""
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
INTRODUCTION = f"""
<p>The part of Cloudflare's API v4 for accounts, address maps, prefixes, zones and records. All paths are relative to
<code>{BASE}</code>. For programs: <a href="/openapi.json">/openapi.json</a> (OpenAPI).</p>
<pre tabindex="0">curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8053{BASE}/zones</pre>
<p>Create a token with <code>dnsd token create</code>. It covers everything, some accounts, or some zones, and has
permissions such as <code>dns:edit</code>, which includes <code>dns:read</code>. Objects outside its scope are reported
as not found. Instead of the <code>Authorization</code> header, clients may send <code>X-Auth-Email</code> and
<code>X-Auth-Key</code>; the key is the token.</p>
<p>Every response is an object with <code>success</code>, <code>errors</code>, <code>messages</code> and
<code>result</code>; lists also have <code>result_info</code>. An error has a <code>code</code>, a
<code>message</code> and, if a single value is wrong, its place in the body: <code>source.pointer</code>.</p>
"""


def fixed_docs() -> FixedPage:
    """The page, with headers that allow nothing but its own style sheet."""
    return FixedPage(lambda: docs_page(ROUTES).encode(), "text/html", HEADERS)


def docs_page(routes: tuple[Route, ...]) -> str:
    """The page as HTML."""
    schemas = components(routes)["schemas"]
    by_tag = {name: list(group) for name, group in groupby(sorted(routes, key=_rank), key=tag)}
    links = "\n".join(f'<a href="#{name}">{escape(TITLES[name])}</a>' for name in by_tag)
    sections = "\n".join(_section(name, group, schemas) for name, group in by_tag.items())
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>dnsd: the HTTP API</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>The HTTP API of dnsd</h1>
{INTRODUCTION}
<nav aria-label="Contents">{links}
<a href="#objects">Objects in bodies</a>
<a href="#errors">Errors</a></nav>
{sections}
<h2 id="objects">Objects in bodies</h2>
{_objects(routes, schemas)}
<h2 id="errors">Errors</h2>
{_errors()}
</main>
</body>
</html>
"""


def _rank(route: Route) -> int:
    return list(TITLES).index(tag(route))


def _section(name: str, routes: Iterable[Route], schemas: Mapping[str, Schema]) -> str:
    articles = "\n".join(_article(route, schemas) for route in routes)
    return f'<section>\n<h2 id="{name}">{escape(TITLES[name])}</h2>\n{articles}\n</section>'


def _article(route: Route, schemas: Mapping[str, Schema]) -> str:
    summary = escape((route.answer.__doc__ or "").strip())
    parts = [
        f'<article id="{operation_id(route)}">',
        f'<span class="needs">{escape(str(route.permission))}</span>',
        f'<span class="method {route.method}">{route.method}</span> <code>{escape(route.path)}</code>',
        f"<p>{_with_code(summary)}</p>",
    ]
    if route.query:
        names = ", ".join(f"<code>{escape(name)}</code>" for name in route.query)
        parts.append(f"<details><summary>Query</summary><p>{names}</p></details>")
    if route.body:
        kind = "" if route.body_type == "application/json" else f", <code>{escape(route.body_type)}</code>"
        table = _fields_table(schemas[route.body.__name__], schemas)
        parts.append(f"<details><summary>Body{kind}</summary>{table}</details>")
    return "\n".join([*parts, "</article>"])


def _objects(routes: Iterable[Route], schemas: Mapping[str, Schema]) -> str:
    """The objects nested in request bodies, as HTML."""
    bodies: dict[type[Fields] | None, None] = dict.fromkeys(route.body for route in routes)
    inner = dict.fromkeys(name for body in bodies if body for name in _references(schemas[body.__name__], schemas))
    return "\n".join(
        f'<article id="{name}"><code>{name}</code>: {escape(schemas[name].get("description", ""))}\n'
        f"{_fields_table(schemas[name], schemas)}</article>"
        for name in inner
        if "properties" in schemas[name]
    )


def _references(schema: Any, schemas: Mapping[str, Schema]) -> Iterator[str]:
    """The names of the schemas that a schema refers to, directly or through others."""
    if isinstance(schema, list):
        for one in schema:
            yield from _references(one, schemas)
    elif isinstance(schema, Mapping):
        if isinstance(reference := schema.get("$ref"), str):
            name = reference.rpartition("/")[2]
            yield name
            yield from _references(schemas[name], schemas)
        for one in schema.values():
            yield from _references(one, schemas)


def _fields_table(schema: Schema, schemas: Mapping[str, Schema]) -> str:
    rows = "\n".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{_type(field, schemas)}</td>"
        f"<td>{_meaning(field, is_required=name in schema.get('required', ()))}</td></tr>"
        for name, field in schema["properties"].items()
    )
    return (
        '<div class="scroll" tabindex="0"><table><thead><tr><th>field</th><th>type</th><th>meaning</th></tr></thead>'
        f"<tbody>\n{rows}\n</tbody></table></div>"
    )


def _type(schema: Schema, schemas: Mapping[str, Schema]) -> str:
    """A type in words."""
    if choices := schema.get("anyOf"):
        named = [_type(one, schemas) for one in choices if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(named))
    if values := schema.get("enum"):
        return " or ".join(f"<code>{escape(value)}</code>" for value in values)
    if reference := schema.get("$ref"):
        name = reference.rpartition("/")[2]
        if "properties" not in schemas[name]:
            return _type(schemas[name], schemas)
        return f'<a href="#{name}">{escape(name)}</a>'
    kind = schema.get("type", schema.get("format", "anything"))
    if kind == "array":
        return f"list of {_type(schema.get('items', {}), schemas)}"
    bounds = [f"{schema[key]:,}" for key in ("minimum", "maximum") if key in schema]
    text = KINDS.get(kind, kind)
    return escape(f"{text}, {' to '.join(bounds)}" if bounds else text)


def _meaning(schema: Schema, *, is_required: bool) -> str:
    notes: list[str] = [schema.get("description", "")]
    if is_required:
        notes.append("required")
    elif schema.get("default") not in (None, [], {}) and not isinstance(schema["default"], dict):
        notes.append(f"{str(schema['default']).lower()} by default")
    longest = [one["maxLength"] for one in (schema, *schema.get("anyOf", ())) if "maxLength" in one]
    notes += [f"at most {number:,} characters" for number in longest]
    return escape("; ".join(text for text in notes if text))


def _with_code(text: str) -> str:
    """A text as HTML, with its parts in backticks as code."""
    return "".join(f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(text.split("`")))


def _errors() -> str:
    rows = "\n".join(
        f"<tr><td>{code.number}</td><td>{code.status}</td><td>{_with_code(escape(code.meaning))}</td></tr>"
        for code in sorted(CODES.values())
    )
    return (
        '<div class="scroll" tabindex="0"><table><thead><tr><th>code</th><th>status</th><th>meaning</th></tr></thead>'
        f"<tbody>\n{rows}\n</tbody></table></div>"
    )
