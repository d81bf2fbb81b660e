"""L2, answers: the served snapshot, and `respond`. Pure; of the model it knows only the types."""
