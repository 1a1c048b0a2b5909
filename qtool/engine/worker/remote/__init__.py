"""The worker as Celery's tools see it: a node that answers requests and tells of what happens (WIRE.md sections 5, 6).

``node`` is the whole, ``panel`` what can be asked for, ``inspecting`` what can be asked, ``dispatcher`` the events,
``reach`` what they have of the worker, ``revoked`` the ids that must not start here. All of it runs in the supervisor's
one thread, and is there only where the broker has a way for it (:mod:`qtool.engine.remote`).
"""
