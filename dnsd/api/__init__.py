"""The HTTP API: routes, JSON shapes, access. It contains no rules about data."""
