"""Redis, in Celery's own wire format: several hosts, one server."""
