"""L3, from the data set to the snapshot: the answers of every name, and `explain`. Pure."""
