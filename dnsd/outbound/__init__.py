"""The process for questions that the server asks of others: without listening sockets, and free to end at any time."""
