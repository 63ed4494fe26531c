"""How work moves: decisions joined to the store. No Celery, no sockets."""
