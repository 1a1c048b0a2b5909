"""Running the tasks of a Celery application: the only part of qtool that imports Celery, in the pool alone."""
