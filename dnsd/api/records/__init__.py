"""DNS records in the API: their data, reading, JSON, filters and routes."""
