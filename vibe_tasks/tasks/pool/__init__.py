"""The pool of a worker: its size, its room, its limits. Touches Celery's prefork pool."""
