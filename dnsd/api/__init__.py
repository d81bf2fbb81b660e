"""L4, the HTTP API: routes, shapes, access; no rule lives here."""
