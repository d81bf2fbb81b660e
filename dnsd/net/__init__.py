"""L3, sockets: datagrams and streams in and out. Passes bytes to `respond` and back; knows nothing about answers."""
