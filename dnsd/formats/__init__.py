"""L3, YAML and master-file text: read into plain data and records, edited, written. No disk, no clock."""
