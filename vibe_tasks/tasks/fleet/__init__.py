"""The fleet: a Celery task looks at each lane's workers, provisioners start and end them."""
