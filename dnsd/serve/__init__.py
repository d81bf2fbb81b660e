"""L11, starting a server: sockets, privileges, and the supervisor, which forks workers and control."""
