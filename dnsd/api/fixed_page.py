"""Pages that are the same for everybody: made once, then sent as they are, so that strangers cost little."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Callable, Mapping

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response


class FixedPage:
    """A page made at its first request, in a thread, as that takes a while."""

    def __init__(self, make: Callable[[], bytes], media_type: str, headers: Mapping[str, str]) -> None:
        self._make = make
        self._media_type = media_type
        self._headers = dict(headers)
        self._lock = asyncio.Lock()
        self._octets = self._gzipped = b""

    async def answer(self, request: Request) -> Response:
        """The page; compressed if the client accepts that, without content if it has the page (RFC 9110 §13.1.2)."""
        async with self._lock:
            if not self._octets:
                await run_in_threadpool(self._prepare)
        if self._headers["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=self._headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(self._gzipped, 200, {**self._headers, "Content-Encoding": "gzip"}, self._media_type)
        return Response(self._octets, 200, self._headers, self._media_type)

    def _prepare(self) -> None:
        octets = self._make()
        digest = hashlib.blake2b(octets, digest_size=12).hexdigest()
        # A weak tag, as it is the same for both codings (RFC 9110 §8.8.3.3).
        self._headers |= {"ETag": f'W/"{digest}"', "Vary": "Accept-Encoding", "Cache-Control": "no-cache"}
        self._gzipped = gzip.compress(octets, mtime=0)
        self._octets = octets
