"""The API's descriptions contain every route, and requests generated from them break nothing."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import jsonschema_rs
import pytest

from dnsd.api.codes import CODES
from dnsd.api.docs_page import docs_page
from dnsd.api.routes import BASE, ROUTES
from tests.api.server import Api
from tests.api.test_access import FILES
from tests.limits import examples
from tests.live.server import PROJECT

EXAMPLES = examples(1, 12)  # random requests per operation, in addition to about 40 systematic ones
FUZZING_S = 600  # generous: only to end a hanging test
VOID = {"meta", "link", "br", "hr", "img", "input"}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with Api(tmp_path_factory.mktemp("openapi"), FILES).running() as api:
        yield api


@pytest.fixture(scope="module")
def document(api: Api) -> dict[str, Any]:
    response = api.client.get(f"{api.origin}/openapi.json")
    assert response.status_code == 200
    return response.json()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


def references(data: Any) -> Iterator[str]:
    if isinstance(data, list):
        for one in data:
            yield from references(one)
    elif isinstance(data, dict):
        if isinstance(data.get("$ref"), str):
            yield data["$ref"]
        for one in data.values():
            yield from references(one)


def test_document_is_openapi_3_1(document: dict[str, Any]) -> None:
    from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR  # slow

    assert document["openapi"].startswith("3.1.")
    assert [str(error) for error in OPENAPI_31_VALIDATOR.iter_errors(document)] == []
    for name, schema in document["components"]["schemas"].items():
        assert jsonschema_rs.meta.is_valid(schema), name


def test_every_reference_has_a_target(document: dict[str, Any]) -> None:
    for reference in references(document):
        found: Any = document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]


def test_every_route_is_described_once(document: dict[str, Any]) -> None:
    described = dict(operations(document))
    assert described.keys() == {f"{route.method} {BASE}{route.path}" for route in ROUTES}
    assert len({operation["operationId"] for operation in described.values()}) == len(ROUTES)
    for route in ROUTES:
        operation = described[f"{route.method} {BASE}{route.path}"]
        assert operation["summary"]
        assert operation["x-permission"] == str(route.permission)
        parameters = {(one["in"], one["name"]) for one in operation["parameters"]}
        assert {name for place, name in parameters if place == "path"} == set(re.findall(r"{(\w+)}", route.path))
        assert ("requestBody" in operation) == (route.body is not None)
        assert operation["security"]
        assert operation["responses"].keys() == {str(route.status), "default"}


def test_routes_with_a_body_describe_it() -> None:
    for route in ROUTES:
        has_none = route.path.endswith(("/restore", "/run", "/validate", "/scan", "/scan/trigger"))
        assert (route.body is not None) == (route.method in ("POST", "PATCH") and not has_none) or (
            route.method == "PUT"
        ), route


def test_requests_made_from_the_document_break_nothing(api: Api) -> None:
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{api.origin}/openapi.json"]
    options = {
        "--checks": "not_a_server_error",
        "--phases": "coverage,fuzzing",
        "--max-examples": str(EXAMPLES),
        "--header": f"Authorization: Bearer {api.operator}",
        "--generation-database": "none",
        "--warnings": "off",
    }
    flags = [*(word for option in options.items() for word in option), "--continue-on-failure", "--no-color"]
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "tests.api.fuzz_hooks", "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        [*command, *flags],
        cwd=api.folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=FUZZING_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    tried = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert tried, done.stdout
    assert tried[1] == tried[2]
    assert int(tried[1]) > 10 * len(ROUTES)
    assert "Traceback" not in api.dns.stderr.text()
    assert api.ask("www.example.com") != []


# The page for people


class Page(HTMLParser):
    """The contents of a page; fails if elements are not nested properly."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.tags: set[str] = set()
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        self.tags.add(tag)
        assert not any(name.startswith("on") or name == "style" for name in said), said
        self.ids += [said["id"]] if said.get("id") else []
        self.links += [said["href"]] if said.get("href") else []
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_page_shows_every_route_body_and_error(api: Api) -> None:
    response = api.client.get(f"{api.origin}/docs")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    page = Page(response.text)
    words = set(page.words)
    for route in ROUTES:
        assert {route.method, route.path, str(route.permission)} <= words
        if route.body:
            assert route.body.model_fields.keys() <= words
    assert {str(code.number) for code in CODES.values()} <= words
    assert len(set(page.ids)) == len(page.ids)
    assert {link.removeprefix("#") for link in page.links if link.startswith("#")} <= {*page.ids}


def test_page_needs_no_script_and_no_other_host(api: Api) -> None:
    response = api.client.get(f"{api.origin}/docs/")
    assert not Page(response.text).tags & {"script", "img", "link", "iframe", "object", "form"}
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//|url\(|@import", response.text)
    (style,) = re.findall(r"<style>(.*?)</style>", response.text, re.S)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = dict(part.strip().split(" ", 1) for part in response.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["style-src"] == f"'sha256-{digest}'"
    assert "script-src" not in policy
    assert {policy[name] for name in ("base-uri", "form-action", "frame-ancestors")} == {"'none'"}
    assert response.headers["x-content-type-options"] == "nosniff"


def test_page_escapes_its_texts() -> None:
    page = docs_page(tuple(ROUTES))
    assert "operator&#x27;s" in page
    assert "prefers-color-scheme: dark" in page
