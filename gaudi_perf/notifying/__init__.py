"""The ways on which notices reach people: issues, a webhook, e-mail."""
