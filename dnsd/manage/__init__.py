"""What changes the data: tokens, drafts, the audit log and history. No HTTP, no asyncio."""
