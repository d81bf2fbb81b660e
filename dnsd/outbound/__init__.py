"""The process that asks other servers: it has no listening sockets, and may end at any time."""
