"""What a vehicle may surely draw: no more than its station has accepted, and nothing where that can give none."""

import pytest

from gateway.control.fold import ControlEvent, evolve
from gateway.domain.charging import ConnectorStatus
from gateway.domain.events import (
    ConnectorStatusChanged,
    LimitAcknowledged,
    LimitRejected,
    LimitSent,
    LimitUnanswered,
    StationConnected,
    StationDisconnected,
    StationStatusChanged,
    TransactionStarted,
)
from gateway.domain.ids import ConnectorRef, StationId, TransactionId
from gateway.services.allowed import surely_allowed_ma
from tests.support.small_site import at_start, small_site

STATION = StationId("CP-01")
FIRST = ConnectorRef(STATION, 1)


def sent(limit_a: int, sequence: int, at_s: float = 0.0) -> LimitSent:
    return LimitSent(
        at_s=at_s,
        connector=FIRST,
        limit_ma=limit_a * 1_000,
        phase_count=3,
        lease_until_s=at_s + 75.0,
        sequence=sequence,
    )


def accepted(sequence: int, at_s: float = 0.0) -> LimitAcknowledged:
    return LimitAcknowledged(at_s=at_s, connector=FIRST, sequence=sequence)


def refused(sequence: int) -> LimitRejected:
    return LimitRejected(at_s=0.0, connector=FIRST, sequence=sequence)


def status(now: ConnectorStatus) -> ConnectorStatusChanged:
    return ConnectorStatusChanged(at_s=0.0, connector=FIRST, status=now)


TOLD = (sent(20, 1), accepted(1))
LOST = StationDisconnected(at_s=0.0, station=STATION)


@pytest.mark.parametrize(
    ("facts", "allowed_a"),
    [
        ((), None),
        (TOLD, 20),
        ((sent(20, 1),), None),
        ((sent(20, 1), LimitUnanswered(at_s=0.0, connector=FIRST, sequence=1)), None),
        ((sent(20, 1), refused(1)), None),
        # A raise that is not accepted is none yet, and a cut may be one already.
        ((*TOLD, sent(32, 2)), 20),
        ((*TOLD, sent(32, 2), refused(2)), 20),
        ((*TOLD, sent(32, 2), accepted(2)), 32),
        ((*TOLD, sent(10, 2)), 10),
        # A renewal that is refused leaves the lease before it, while that runs.
        ((*TOLD, sent(20, 2, at_s=30.0), refused(2)), 20),
        # The station can give nothing, or nobody knows.
        ((*TOLD, LOST), None),
        ((*TOLD, LOST, StationConnected(at_s=0.0, station=STATION)), 20),
        ((*TOLD, status(ConnectorStatus.FAULTED)), None),
        ((*TOLD, status(ConnectorStatus.UNAVAILABLE)), None),
        (
            (
                *TOLD,
                StationStatusChanged(at_s=0.0, station=STATION, status=ConnectorStatus.FAULTED),
            ),
            None,
        ),
    ],
)
def test_what_is_allowed_is_what_a_station_that_can_serve_has_accepted(
    facts: tuple[ControlEvent, ...], allowed_a: int | None
) -> None:
    state = at_start(small_site(1))
    for fact in (
        StationConnected(at_s=0.0, station=STATION),
        status(ConnectorStatus.OCCUPIED),
        TransactionStarted(at_s=0.0, connector=FIRST, transaction=TransactionId("t")),
        *facts,
    ):
        state = evolve(state, fact)
    expected_ma = None if allowed_a is None else allowed_a * 1_000

    assert surely_allowed_ma(state, FIRST, now_s=59.0) == expected_ma


def test_what_a_station_accepted_is_allowed_for_as_long_as_its_lease() -> None:
    state = evolve(at_start(small_site(1)), StationConnected(at_s=0.0, station=STATION))
    for fact in (*TOLD, sent(20, 2, at_s=30.0), refused(2)):
        state = evolve(state, fact)
    assert surely_allowed_ma(state, FIRST, now_s=60.0) == 20_000
    assert surely_allowed_ma(state, FIRST, now_s=60.1) is None

    renewed = evolve(evolve(state, sent(20, 3, at_s=50.0)), accepted(3, at_s=51.0))
    assert surely_allowed_ma(renewed, FIRST, now_s=110.0) == 20_000
