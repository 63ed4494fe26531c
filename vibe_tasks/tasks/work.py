"""Dev, fix, qa and deploy as Celery tasks."""
