"""L10, HTTP of a running server: API and dashboard, metrics, health."""
