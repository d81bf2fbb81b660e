"""The routes of the brake, dnsd's own: its state, and its release."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from dnsd.api.bodies import RequestBody
from dnsd.api.envelope import Reply
from dnsd.api.request import Call
from dnsd.manage.brake_state import MAX_RELEASE_S


class ReleaseBody(RequestBody):
    """A release of the brake."""

    is_ours: ClassVar[bool] = True
    author: str = Field(default="", max_length=200, description="`files`, or a token by id or name; default: all")
    seconds: int = Field(default=3600, ge=1, le=MAX_RELEASE_S, description="time of the release")


async def get_brake(call: Call) -> Reply:
    """Show each author's accounts within the brake's window, and the files that the guard refused"""
    return Reply(call.service.brake().data())


async def release_brake(call: Call) -> Reply:
    """Lift the brake for one author, or all, for a time"""
    body = call.fields(ReleaseBody)
    state = await call.service.release(call.actor, body.author, body.seconds)
    return Reply(state.data())
