"""A call to a service that often fails, retried with growing waits, and how a task says what kind of failure it was.

In one terminal, from the checkout::

    qtool worker -A examples.flaky_api

and in another::

    python -m examples.flaky_api
"""

from __future__ import annotations

from qtool import Discard, JobFailed, Retry, current_job, task


class ServiceDown(Exception):
    """No answer."""


class TooManyRequests(Exception):
    """Come back later."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"come back in {seconds} s")
        self.seconds = seconds


def call_service(city: str, attempt: int) -> float:
    """Stands for somebody's API: down at first, then busy, and it does not know every city."""
    if city == "Atlantis":
        raise KeyError(city)
    if attempt == 1:
        raise ServiceDown("connection reset")
    if attempt == 2:
        raise TooManyRequests(0.2)
    return round(len(city) * 2.5, 1)


# Waits of up to 0.1, 0.2, 0.4 … seconds between attempts, each drawn at random so that callers do not come in step.
@task(retries=5, backoff=0.1, timeout=10)
def temperature(city: str) -> float:
    """Degrees in a city."""
    job = current_job()
    job.log.info("attempt %d for %s", job.attempt, city)
    try:
        return call_service(city, job.attempt)
    except TooManyRequests as error:
        # The service knows better than any backoff when to come back.
        raise Retry(in_=error.seconds) from error
    except KeyError:
        # Trying again would not help.
        raise Discard(f"there is no {city}") from None
    # Any other error is retried by itself.


def main() -> None:
    """Ask for two cities, of which one is only in books."""
    lisbon, atlantis = temperature.map(["Lisbon", "Atlantis"])
    print(f"Lisbon: {lisbon.result(timeout=30)} degrees, in attempt {lisbon.info().attempt}")
    try:
        atlantis.result(timeout=30)
    except JobFailed as error:
        print(error)


if __name__ == "__main__":
    main()
