"""Where a job's message goes. Touches Celery's routes and workers' own queues in the broker."""
