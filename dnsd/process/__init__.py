"""L5, shared by all processes of a server: links, shared memory, tasks, signals, privileges, the state folder."""
