"""The running server: a supervisor that holds the sockets, workers that answer, and control, which publishes."""
