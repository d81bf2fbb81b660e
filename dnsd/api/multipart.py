"""Multipart form data (RFC 7578) as octets: files need not be UTF-8."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.formparsers import MultiPartException, MultiPartParser

from dnsd.api.request import MAX_BODY

MAX_PARTS = 100  # fields, and files
CHARSET = re.compile(r";\s*charset=[^;]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FormPart:
    """One part of a body."""

    name: str
    octets: bytes
    is_file: bool  # whether it was sent with a file's name
    filename: str = ""


class MultipartError(ValueError):
    """A body that is not multipart form data."""


async def read_parts(content_type: str, body: bytes, *, most: int = MAX_BODY) -> list[FormPart]:
    """The parts of a body, in their order, each of at most `most` octets. Raises MultipartError."""

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    # Latin-1 maps every octet to one character, so the parser alters nothing.
    headers = Headers({"content-type": f"{CHARSET.sub('', content_type)}; charset=latin-1"})
    try:
        form = await MultiPartParser(
            headers, stream(), max_part_size=most, max_files=MAX_PARTS, max_fields=MAX_PARTS
        ).parse()
        return [
            FormPart(_text(name), value.encode("latin-1"), is_file=False)
            if isinstance(value, str)
            else FormPart(_text(name), await value.read(), is_file=True, filename=_text(value.filename or ""))
            for name, value in form.multi_items()
        ]
    except (MultiPartException, KeyError, ValueError):
        raise MultipartError("the body is not multipart form data") from None


def _text(name: str) -> str:
    return name.encode("latin-1").decode(errors="replace")
