"""Who runs the jobs: the Celery app, the life cycle of processes, and the loops beside them."""
