"""The routes of letters of agency (LOA): upload, list, download, delete."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar
from urllib.parse import quote

from dnsd.api.bodies import RequestBody
from dnsd.api.envelope import Raw, Reply, listed
from dnsd.api.multipart import FormPart, MultipartError, read_parts
from dnsd.api.request import Call
from dnsd.api.shapes import JsonObject
from dnsd.manage.find import find_account
from dnsd.manage.loa import MAX_SIZE, LoaDocument, file_of, new_id
from dnsd.manage.refusal import Reason, refused
from dnsd.manage.state_names import LOA
from dnsd.model.accounts import Account
from dnsd.model.times import time_text

T = TypeVar("T")
MAX_UPLOAD = MAX_SIZE + 64 * 1024  # octets of a body: the document and the form around it
PART = "loa_document"


class LoaBody(RequestBody):
    """A letter of agency."""

    loa_document: str


async def list_documents(call: Call) -> Reply:
    """List the LOA documents of an account"""
    account = _account(call)
    found = await call.aside(partial(call.service.loa.of_account, account.id))
    return Reply(listed([_shape(account, one) for one in found]))


async def upload_document(call: Call) -> Reply:
    """Upload an LOA document: a PDF of up to 1 MiB, up to 10 of an account"""
    account, part = _account(call), await _document(call)
    document_id, name, now = new_id(), part.filename or "loa.pdf", datetime.now(UTC)
    add = partial(call.service.loa.add, account.id, name, part.octets, now, document_id)
    made = await _act(call, "loa.upload", account, document_id, add)
    return Reply(_shape(account, made))


async def download_document(call: Call) -> Raw:
    """Download an LOA document"""
    document_id = call.path["loa_document_id"]
    found, octets = await call.aside(partial(call.service.loa.content, _account(call).id, document_id))
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(found.filename)}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Cache-Control": "no-store",
    }
    return Raw(octets, "application/pdf", headers)


async def delete_document(call: Call) -> Reply:
    """Delete an LOA document that no prefix names"""
    account, document_id = _account(call), call.path["loa_document_id"]
    users = [str(prefix.cidr) for prefix in account.prefixes if prefix.loa_document_id == document_id]
    if users:
        raise refused(Reason.FORBIDDEN, f"the document belongs to {', '.join(users)}")
    await call.aside(partial(call.service.loa.find, account.id, document_id))
    remove = partial(call.service.loa.remove, account.id, document_id)
    await _act(call, "loa.delete", account, document_id, remove)
    return Reply({"id": document_id})


async def _act(call: Call, action: str, account: Account, document_id: str, verb: Callable[[], T]) -> T:
    key, file = f"{account.key}/{LOA}/{document_id}", file_of(account.id, document_id)
    return await call.service.act(call.actor, action, key, account.id, file, verb)


def _account(call: Call) -> Account:
    return find_account(call.dataset, call.path["account_id"])


async def _document(call: Call) -> FormPart:
    """The document in a form. Raises RefusedError."""
    try:
        parts = await read_parts(call.headers.get("content-type", ""), call.body, most=MAX_UPLOAD)
    except MultipartError as error:
        raise refused(Reason.INVALID, f"{error} with the part {PART}") from None
    found = next((part for part in parts if part.name == PART), None)
    if found is None:
        raise refused(Reason.INVALID, "is missing", PART)
    return found


def _shape(account: Account, document: LoaDocument) -> JsonObject:
    return {
        "id": document.id,
        "account_id": account.id,
        "auto_generated": False,
        "created": time_text(document.created),
        "filename": document.filename,
        "size_bytes": document.size_bytes,
        "verified": False,
        "verified_at": None,
    }
