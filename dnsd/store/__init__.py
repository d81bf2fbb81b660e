"""L4, where the data is kept: a folder of files, read to a data set, watched, and written."""
