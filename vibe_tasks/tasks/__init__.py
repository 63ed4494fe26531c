"""The Celery side. Touches celery and kombu."""
