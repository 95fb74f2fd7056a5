"""Sends notices: issues, a webhook, e-mail. What they say is made in ``reports/notices.py``."""
