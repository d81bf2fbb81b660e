"""L3, from the dataset to the snapshot: the answers of all names, and `explain`. Pure."""
