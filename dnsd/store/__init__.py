"""L4, storage: read a folder of files to a dataset, watch it, and write it."""
