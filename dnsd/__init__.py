"""dnsd: an authoritative DNS server that answers proxied names from address maps."""

__version__ = "0.1.0"
