"""L2, answers: the snapshot that is served, and `respond`. Pure; knows the model's types alone."""
