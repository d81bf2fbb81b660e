"""L5, what every process of a server has: links, shared memory, tasks, signals, privileges, the state folder."""
