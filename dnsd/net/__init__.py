"""L3, sockets: datagrams and streams in and out. Bytes to `respond` and back; knows nothing of what is answered."""
