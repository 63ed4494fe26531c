"""Consumers that are no Celery workers: plain programs. Touches the ledger and threads."""
