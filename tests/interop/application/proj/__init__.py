"""A Celery project as they stand everywhere, which knows nothing of qtool: the worker's side of the tests."""
