"""The settings of the server: values, sections, the whole, and the file that they are read from."""
