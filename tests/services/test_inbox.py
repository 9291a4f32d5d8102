"""Facts wait in order; readings give way to newer ones of their source, nothing else does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.events import (
    ConnectorMetered,
    StationConnected,
    StationDisconnected,
    TransactionStarted,
)
from gateway.domain.ids import ConnectorRef, StationId, TransactionId
from gateway.services.inbox import WAITING_A_SOURCE, Fact, Inbox, InboxOverflowError
from tests.support.small_site import main_read

CP_01 = StationId("CP-01")


def metered(at_s: float, number: int = 1) -> ConnectorMetered:
    return ConnectorMetered(at_s=at_s, connector=ConnectorRef(CP_01, number))


def started(at_s: float) -> TransactionStarted:
    return TransactionStarted(
        at_s=at_s, connector=ConnectorRef(CP_01, 1), transaction=TransactionId(str(at_s))
    )


def test_facts_come_out_in_the_order_they_came_in() -> None:
    inbox = Inbox()
    facts: list[Fact] = [
        StationConnected(at_s=1, station=CP_01),
        main_read(2, 10),
        metered(3),
        StationDisconnected(at_s=4, station=CP_01),
    ]
    for fact in facts:
        inbox.post(fact)

    assert inbox.take(limit=3) == facts[:3]
    assert inbox.take(limit=3) == facts[3:]
    assert inbox.take(limit=3) == []


def test_of_a_source_that_floods_the_newest_readings_are_kept() -> None:
    inbox = Inbox()
    inbox.post(main_read(0, 10))
    for at_s in range(1_000):
        inbox.post(metered(at_s))

    taken = inbox.take(limit=1_000)

    assert taken[0] == main_read(0, 10)  # Another's flood pushes out no meter.
    assert taken[1:] == [metered(at_s) for at_s in range(1_000 - WAITING_A_SOURCE, 1_000)]
    assert inbox.dropped_count == 1_000 - WAITING_A_SOURCE


def test_a_fact_that_must_not_be_lost_ends_the_run_when_it_would_be() -> None:
    inbox = Inbox(max_waiting=10)
    for at_s in range(10):
        inbox.post(started(at_s))
    inbox.post(metered(10))

    assert inbox.dropped_count == 1
    assert inbox.take(limit=1) == [started(0)]

    inbox.post(started(11))
    inbox.post(started(12))

    with pytest.raises(InboxOverflowError, match="fallen behind"):
        inbox.take(limit=1)


@given(
    steps=st.lists(
        st.one_of(
            st.integers(1, 4),  # So many are taken.
            st.tuples(st.sampled_from(["reading", "fact"]), st.integers(1, 3)),
        ),
        max_size=200,
    )
)
def test_nothing_but_a_reading_is_ever_missing_and_nothing_overtakes(
    steps: list[int | tuple[str, int]],
) -> None:
    inbox = Inbox()
    posted: list[Fact] = []
    taken: list[Fact] = []
    for at_s, step in enumerate(steps):
        if isinstance(step, int):
            taken += inbox.take(limit=step)
            continue
        what, number = step
        posted.append(metered(at_s, number) if what == "reading" else started(at_s))
        inbox.post(posted[-1])
    taken += inbox.take(limit=len(posted) + 1)

    assert [fact for fact in posted if fact in taken] == taken
    lost = [fact for fact in posted if fact not in taken]
    assert all(isinstance(fact, ConnectorMetered) for fact in lost)
    assert len(lost) == inbox.dropped_count
    assert len(inbox) == 0
