"""L6, a worker: answers DNS on its sockets from a snapshot. It knows no model, no store, no settings file."""
