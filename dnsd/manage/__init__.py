"""Changes of the data: verbs, drafts, tokens, the audit log and the history. No HTTP, no asyncio."""
