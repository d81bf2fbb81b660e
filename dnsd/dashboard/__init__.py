"""The dashboard: pages for people, with the same verbs and rules as the API. It contains no rules about maps."""
