"""The Celery side. Touches celery and kombu; posts to webhooks."""
