"""The current data: the files that it saves before it is served."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from dnsd.app import Loaded, load
from dnsd.control.current import Current
from dnsd.control.publish import Publisher
from dnsd.log import Log
from dnsd.process.shared import Shared
from dnsd.store.first_seen import FILE_NAME


@pytest.mark.parametrize("method", [Current.replace, Current.renew])
def test_lost_times_are_saved_again_with_unchanged_data(
    tmp_path: Path, method: Callable[[Current, Loaded], Awaitable[None]]
) -> None:
    (tmp_path / "accounts" / "acme" / "zones").mkdir(parents=True)
    (tmp_path / "accounts" / "acme" / "zones" / "example.com.yaml").write_text("records: []\n")
    config = tmp_path / "dnsd.yaml"
    config.write_text("default_addresses: [192.0.2.1]\ndata: accounts\nnameservers: [ns1.example.net]\n")
    state, loaded, log = tmp_path / "state", load(config), Log("control", wait_s=0)
    state.mkdir()

    async def reload() -> None:
        current = Current(state, loaded.settings, Publisher(Shared(workers=1, rates=1), state, log), log)
        await current.replace(loaded)
        saved = (state / FILE_NAME).read_bytes()
        (state / FILE_NAME).unlink()
        await method(current, loaded)
        assert saved == (state / FILE_NAME).read_bytes() != b""

    asyncio.run(reload())
