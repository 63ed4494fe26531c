"""The main process of a worker. Touches Celery's boot steps, its messages, and threads.

The dispatcher shares what takes messages out of workers' own queues, and what waits for labels.
"""
