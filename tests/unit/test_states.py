"""The table of states: closed, complete, and every state reachable."""

from __future__ import annotations

import pytest

from qtool.engine.states import FINAL, PENDING, TABLE, UNFINISHED, Event, State, allowed, reachable

DESIGN = """
waiting     dependencies met    scheduled ready
waiting     dependency failed   cancelled
scheduled   due                 ready
retry       due                 ready
ready       claim               running
running     success             succeeded
running     error               retry dead
running     snooze              scheduled ready
running     lease lost          retry dead
running     cancel              cancelled
waiting     cancel              cancelled
scheduled   cancel              cancelled
ready       cancel              cancelled
retry       cancel              cancelled
waiting     deadline            expired
scheduled   deadline            expired
ready       deadline            expired
retry       deadline            expired
succeeded   operator's retry    ready
dead        operator's retry    ready
cancelled   operator's retry    ready
expired     operator's retry    ready
"""


def test_the_table_is_the_designs() -> None:
    written = {}
    for line in DESIGN.strip().splitlines():
        state, event, ends = line[:12].strip(), line[12:32].strip(), line[32:].split()
        written[State(state), Event(event)] = frozenset(map(State, ends))
    assert written == TABLE


def test_every_state_is_final_or_not() -> None:
    assert set(State) == FINAL | UNFINISHED
    assert not FINAL & UNFINISHED
    assert {State.RUNNING} == UNFINISHED - PENDING


@pytest.mark.parametrize("state", sorted(FINAL))
def test_only_an_operator_brings_a_finished_job_back(state: State) -> None:
    assert {event for event in Event if allowed(state, event)} == {Event.OPERATOR_RETRY}


def test_only_a_claim_starts_a_job() -> None:
    starts = [(state, event) for (state, event), ends in TABLE.items() if State.RUNNING in ends]
    assert starts == [(State.READY, Event.CLAIM)]


@pytest.mark.parametrize("start", [State.WAITING, State.READY])
def test_every_other_state_can_be_reached(start: State) -> None:
    seen, front = {start}, [start]
    while front:
        state = front.pop()
        for after in State:
            if reachable(state, after) and after not in seen:
                seen.add(after)
                front.append(after)
    assert seen | {State.WAITING} == set(State)


def test_an_event_that_means_nothing_leads_nowhere() -> None:
    assert allowed(State.READY, Event.SUCCESS) == frozenset()
    assert not reachable(State.READY, State.SUCCEEDED)
    assert reachable(State.READY, State.RUNNING)


def test_states_and_events_are_their_words() -> None:
    assert str(State.READY) == f"{State.READY}" == "ready"
    assert str(Event.LEASE_LOST) == "lease lost"
