"""L2, answers: the snapshot that is served, how it is built from the model, and `respond`. Pure."""
