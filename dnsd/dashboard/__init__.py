"""The dashboard: pages for people, on the same verbs and rules as the API. No rule on maps is written here."""
