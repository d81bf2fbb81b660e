"""The names of what a request's state says of its connection: `web` writes it, routes read it."""

from __future__ import annotations

HOLDERS = "holders"  # a list of the holders of the connection's place
PRESENCE = "presence"  # whether its client is still there
