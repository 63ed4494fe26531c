"""One module for each role that is deployed: `celery -A workers.code worker`."""
