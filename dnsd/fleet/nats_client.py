"""The client of nats-py, which waits for no leave of a silent server."""

from __future__ import annotations

from nats.aio.client import Client


class PromptClient(Client):
    """A client whose transport is aborted at its end: one that is closed waits for 30 s."""

    async def _process_connect_init(self) -> None:
        try:
            await super()._process_connect_init()
        except BaseException:
            abort(self)  # nats-py leaves it open: a silent server would cost a socket for each attempt
            raise
        writer = getattr(self._transport, "_io_writer", None)
        if writer and writer.transport.get_extra_info("sslcontext"):
            writer.transport.get_protocol()._over_ssl = True  # else asyncio logs a warning at the connection's end

    async def _process_op_err(self, e: Exception) -> None:
        if self.is_connected:
            abort(self)
        await super()._process_op_err(e)


def abort(client: Client) -> None:
    """End the transport of a client at once, with all that it has not sent."""
    writer = getattr(client._transport, "_io_writer", None)
    if writer:
        writer.transport.abort()
