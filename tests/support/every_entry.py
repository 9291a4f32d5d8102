"""An entry of every kind that a ledger takes, with each of its parts told."""

from datetime import UTC, datetime

from gateway.domain.calendar_events import CalendarEvent
from gateway.domain.charging import OcppVersion, RateUnit, StationCapabilities
from gateway.domain.ids import CircuitId, ConnectorRef, StationId, TransactionId
from gateway.domain.limits import Authority, Constraint
from gateway.domain.memory import (
    Act,
    CallMemory,
    CircuitMemory,
    ConnectorMemory,
    Entry,
    FlashMemory,
    ForecastMemory,
    LearntMemory,
    PromiseKey,
    PromiseMemory,
    RememberedLimit,
    RisesMemory,
    SessionMemory,
    SiteMemory,
    StatementMemory,
    StationMemory,
    TransactionMemory,
    TripMemory,
)
from gateway.domain.moments import Moment
from gateway.domain.needs import Criticality
from gateway.domain.promises import PromiseState, Reservation, Stretch
from gateway.domain.sessions import Statement
from gateway.domain.stops import StopCause

AT = datetime(2026, 1, 5, 8, tzinfo=UTC)
AT_S = AT.timestamp()
STATION = StationId("CP-01")
PLUG = ConnectorRef(STATION, 1)
SUPPLY = CircuitId("supply")
SEVENTH = TransactionId("7")
SAID = Statement(departs_at_s=AT_S + 3_600, energy_wh=9_000.0, full_wh=20_000.0)
RISES = RisesMemory(known_for_s=900.0, day_for_s=60.0, days=((1, 2), (0, 3)), quantile_ma=4_000)
PROMISE = PromiseMemory(
    promise=Reservation(
        id="r1",
        place="CP-01/1",
        rows=(0, 1, 2),
        envelope=(Stretch(from_at_s=AT_S, until_at_s=AT_S + 3_600.5, current_ma=16_000),),
        energy_wh=11_000,
        guaranteed_wh=11_000,
        confidence_ratio=0.95,
        criticality=Criticality.CRITICAL,
        state=PromiseState.CONFIRMED,
        hold_until_at_s=AT_S + 120,
        holder="drones",
        id_token="04A1",
        taper=((9_000.0, 6_000),),
    ),
    keys=(PromiseKey(holder="drones", key="k", digest="d", state=PromiseState.HELD),),
    register_wh=17.5,
    counted_at_s=AT_S + 7.25,
    drawn_in=(PLUG, SEVENTH),
    is_warned=True,
)
CALL = CallMemory(
    id="c1",
    hook="desk",
    kind="reservation",
    subject="r1",
    body='{"data":{}}',
    told_at=AT,
    sequence=3,
)
TRANSACTION = TransactionMemory(
    station=STATION,
    transaction=SEVENTH,
    connector_number=1,
    given_number=7,
    id_token="04A1",
    told="7 on 1",
    began_at=AT,
    meter_start_wh=100.0,
)
OVER = TransactionMemory(
    station=STATION,
    transaction=TransactionId("6"),
    connector_number=1,
    given_number=6,
    is_over=True,
    ended_at=AT,
    meter_stop_wh=900.0,
    reason="Local",
    session=SessionMemory(began_at_s=AT_S - 60, left_at_s=AT_S, delivered_wh=5.0, said=SAID),
)
ONE_OF_EACH: tuple[Entry, ...] = (
    ConnectorMemory(
        connector=PLUG,
        limits=(RememberedLimit(limit_ma=16_000, phase_count=3), RememberedLimit(limit_ma=6_000)),
        max_ma=32_000,
        fallback_ma=6_000,
        is_plugged=True,
        excess_ma=700,
    ),
    StationMemory(
        station=STATION,
        is_proven=True,
        is_dead_man_proven=True,
        firmware="1.0",
        vendor="Vendor",
        model="Model",
        capabilities=StationCapabilities(
            ocpp_version=OcppVersion.V16, rate_units=frozenset({RateUnit.WATTS})
        ),
    ),
    FlashMemory(station=STATION, written_at=(AT,)),
    CircuitMemory(
        circuit=SUPPLY,
        noted=Moment(wall_at=AT, boot_id="b", boot_s=5.0, is_synchronised=True),
        excursions_ago_s=(60.0,),
        is_in_excursion=True,
        lockout_left_s=30.0,
    ),
    LearntMemory(
        circuit=SUPPLY,
        rating_ma=(100_000, 100_000, 90_000),
        rises=(RISES, None, None),
        lease_rises=(None, RISES, None),
        base_seen_ma=(80_000, 0, 0),
    ),
    ForecastMemory(circuit=SUPPLY, offsets_ratio=(0.5, 0.0, -0.25)),
    SiteMemory(
        is_stopped=True,
        stop_cause=StopCause.UNRELEASED,
        constraints=(
            Constraint(
                subject=SUPPLY,
                limit_ma=(40_000, 40_000, 30_000),
                authority=Authority.VETO,
                source="veto by J. Smith",
            ),
        ),
    ),
    TripMemory(circuit=SUPPLY, is_tripped=True),
    TRANSACTION,
    PROMISE,
    StatementMemory(connector=PLUG, transaction=SEVENTH, statement=SAID),
    CalendarEvent(
        id="fair",
        circuit=SUPPLY,
        from_at_s=AT_S,
        until_at_s=AT_S + 60.0,
        extra_ma=(9_000, 0, 0),
        note="fair",
        by="J. Smith",
    ),
    CALL,
    Act(kind="stopped", subject="site", detail={"because": "fire"}, by="J. Smith"),
)
