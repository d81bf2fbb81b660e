"""The data path of a fleet over NATS JetStream; a standalone server imports none of it."""
