"""The names, in the state folder, of what modules keep there that a start imports only once DNS is answered."""

from __future__ import annotations

ACTS = "acts"  # a folder, as HISTORY, LOA and PENDING
FLEET_OP = "fleet_op"  # of a control: the change under way
FLEET_SETTINGS = "fleet_settings.yaml"  # of a node of a fleet: the settings that all nodes share, as used last
FLEET_COPIED = "fleet_copied.json"  # of a control: which tokens and pending changes came from the fleet
HISTORY = "history"
LOA = "loa"  # has a folder for each account, by id
PENDING = "pending"
REPLICA = "replica.db"  # of an edge: its copy of the fleet's state
SESSIONS = "sessions.json"
TOKENS = "tokens.json"
TOKENS_LOCK = "tokens.lock"
TRAFFIC = "traffic_"  # names of several files begin like this
VALIDATIONS = "validations"
