"""A user of the dashboard without a browser: it can send anything."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import httpx

from tests.api.server import Api
from tests.limits import HANG_S

SECRET = re.compile(r'name="form_secret" value="([0-9a-f]*)"')


class Person:
    """A session of a token; `secret` is the secret in its forms."""

    def __init__(self, api: Api, token: str | None) -> None:
        self.client = httpx.Client(base_url=api.origin, timeout=HANG_S, verify=api.trust or False)
        self.token = token
        self.secret = ""

    def __enter__(self) -> Person:
        if self.token is not None:
            response = self.sign_in(self.token)
            assert response.status_code == 303, response.text
            self.secret = secret_of(self.get("/"))
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.client.get(path, **options)

    def sign_in(self, token: str, then: str = "/", **more: str) -> httpx.Response:
        page = self.client.get("/sign-in")
        form = {"token": token, "next": then, "form_secret": secret_of(page), **more}
        return self.client.post("/sign-in", data=form)

    def post(self, path: str, form: Mapping[str, Any], *, secret: str | None = None, **options: Any) -> httpx.Response:
        said = {**form, "form_secret": self.secret if secret is None else secret}
        return self.client.post(path, data=said, **options)


def secret_of(response: httpx.Response) -> str:
    found = SECRET.search(response.text)
    assert found, response.text
    return found[1]
