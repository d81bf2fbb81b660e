"""The names, in the state folder, of what modules keep there that a start imports only once DNS is answered."""

from __future__ import annotations

ACTS = "acts"  # a folder, as HISTORY, LOA and PENDING
FLEET_OP = "fleet_op"  # of a control: the change under way
HISTORY = "history"
LOA = "loa"  # has a folder for each account, by id
PENDING = "pending"
REPLICA = "replica.db"  # of an edge: its copy of the fleet's state
SESSIONS = "sessions.json"
TOKENS = "tokens.json"
TOKENS_LOCK = "tokens.lock"
TRAFFIC = "traffic_"  # names of several files begin like this
VALIDATIONS = "validations"
