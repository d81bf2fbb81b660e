"""L3, where the data lives: files to a dataset. The only part that knows YAML and master files."""
