"""The application: its broker and result backend are in the environment."""

import os

from celery import Celery

app = Celery("proj", broker=os.environ["PROJ_BROKER"], backend=os.environ["PROJ_BROKER"], include=["proj.tasks"])
app.conf.update(
    task_default_queue=os.environ.get("PROJ_QUEUE", "celery"),
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
    result_extended=os.environ.get("PROJ_EXTENDED") == "1",
)
