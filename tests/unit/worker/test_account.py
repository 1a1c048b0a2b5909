"""What a worker says of its work in the end."""

from __future__ import annotations

import pytest

from qtool.engine.worker.options import Summary
from qtool.views.worker import account


@pytest.mark.parametrize(
    ("summary", "said"),
    [
        (Summary(seconds=0.095), "0 jobs; 95ms"),
        (Summary(succeeded=1, seconds=1.5), "1 job: 1 succeeded; 1.5s (0.67 jobs/s)"),
        (
            Summary(succeeded=1, dead=2, retried=1, seconds=3.3),
            "3 jobs: 1 succeeded, 2 dead; 1 retry; 3.3s (0.91 jobs/s)",
        ),
        (Summary(succeeded=3, seconds=3.1), "3 jobs: 3 succeeded; 3.1s (1 job/s)"),
        (Summary(succeeded=200_000, seconds=4.0), "200,000 jobs: 200,000 succeeded; 4.0s (50,000 jobs/s)"),
        (Summary(retried=2, killed=1, seconds=2), "0 jobs; 2 retries; 1 killed and given back; 2.0s"),
        (Summary(cancelled=1, late=1, seconds=1), "1 job: 1 cancelled; 1 lease lost; 1.0s (1 job/s)"),
        (Summary(abandoned=2, late=2, seconds=1), "0 jobs; 2 leases lost; 2 outcomes not stored; 1.0s"),
        (Summary(seconds=0.0), "0 jobs; 0s"),
    ],
)
def test_one_line_tells_what_ended_and_how(summary: Summary, said: str) -> None:
    assert account(summary) == said
