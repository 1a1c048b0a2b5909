"""The task that every Celery tutorial starts with; only the import is qtool's.

In one terminal, from the checkout::

    qtool worker -A examples.email_tasks

and in another::

    python -m examples.email_tasks
"""

from __future__ import annotations

import time

from qtool import shared_task


@shared_task
def process_email(email: dict[str, str]) -> dict[str, str]:
    """Do what takes long about an e-mail, away from the request that it came with."""
    time.sleep(0.1)
    return {"status": "sent", "to": email["to"], "subject": email["subject"].strip().capitalize()}


def main() -> None:
    """Send one, and wait for what became of it."""
    result = process_email.delay({"to": "ann@example.com", "subject": "  welcome aboard", "body": "Hello!"})
    print("job", result.id)
    print(result.get(timeout=30))


if __name__ == "__main__":
    main()
