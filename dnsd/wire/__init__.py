"""L0, bytes: names, messages, record data and TCP frames of the DNS. Knows no model and no sockets."""
