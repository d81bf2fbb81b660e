"""L1, meaning: accounts, address maps, zones and records, and every rule about them. No files, no sockets, no clock."""
