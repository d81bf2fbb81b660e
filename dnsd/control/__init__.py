"""L9, control: loads the source, publishes snapshots to workers, and carries out changes."""
