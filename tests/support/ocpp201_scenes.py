"""Scenes with a 2.0.1 station in a hall: booted, known, and ready to be limited."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from gateway.domain.events import CapabilitiesRead
from gateway.domain.ids import ConnectorRef, StationId
from gateway.domain.limits import CurrentLimit
from tests.support.ocpp201_station import Station201, station201
from tests.support.ocpp_hall import Hall, in_hall, wait_until

FIRST = ConnectorRef(StationId("CP-01"), 1)
SECOND = ConnectorRef(StationId("CP-01"), 2)
LEASE = timedelta(seconds=60)


def amperes(current_a: float, **extra: Any) -> CurrentLimit:
    return CurrentLimit(limit_ma=int(current_a * 1_000), **extra)


def foreign(number: int, level: int, *, id: int, purpose: str = "TxDefaultProfile") -> Any:  # noqa: A002 - as it is called
    """Return a profile somebody else installed."""
    schedule = {"id": 1, "charging_rate_unit": "A", "charging_schedule_period": [{"limit": 32}]}
    schedule["charging_schedule_period"][0]["start_period"] = 0  # type: ignore[index]
    return {
        "evse_id": number,
        "source": "CSO",
        "id": id,
        "stack_level": level,
        "charging_profile_purpose": purpose,
        "charging_profile_kind": "Relative",
        "charging_schedule": [schedule],
    }


def last(hall: Hall) -> Any:
    return hall.facts_of(CapabilitiesRead)[-1].capabilities


async def learnt(hall: Hall) -> None:
    """Wait until the interview has read, set up and published all it does."""
    await wait_until(lambda: hall.facts_of(CapabilitiesRead) and last(hall).sample_interval_s == 10)


def with_station(
    scene: Callable[[Hall, Station201], Awaitable[None]],
    *,
    vendor: str = "Vendor",
    call_deadline_s: float = 10.0,
    **options: Any,
) -> None:
    """Run a scene with a station that has booted and whose capabilities are known."""

    async def run(hall: Hall) -> None:
        async with station201(hall, **options) as station:
            await station.boot(vendor=vendor)
            await wait_until(lambda: hall.facts_of(CapabilitiesRead))
            await scene(hall, station)

    in_hall(run, call_deadline_s=call_deadline_s)
