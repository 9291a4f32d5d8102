"""What a simulated station says and does alike in both OCPP versions, on the `ocpp` library."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

import ocpp.messages
from ocpp.routing import on

from drivers.sim.profile_words import PURPOSES, composite_periods
from drivers.sim.station import Station
from drivers.sim.station_link import StationLink, Word, is_cancelled
from gateway.domain.charging import RateUnit
from gateway.domain.events import ConnectorMetered
from gateway.domain.ids import TransactionId

ocpp.messages.ASYNC_VALIDATION = False  # No thread hop a message.

ANSWER_WITHIN_S = 30.0
ASK_AGAIN_S = 10.0  # A station that is not accepted yet boots again after at most this.
FIRST_HEARTBEAT_S = 60.0

LOGGER = logging.getLogger("ocpp.plant")

Handler = TypeVar("Handler", bound=Callable[..., Any])


def answers(action: str) -> Callable[[Handler], Handler]:
    """Mark the answer to an action, as the library does, without losing its type."""
    return cast("Callable[[Handler], Handler]", on(action))


def samples_of(metered: ConnectorMetered, measurands: str, context: str) -> list[dict[str, Any]]:
    """Return what was metered as sampled values of either version, 2.0.1's still as text."""
    wanted = {name.strip() for name in measurands.split(",")}
    rows: list[tuple[str, str | None, str, float]] = []
    for phase, amps in zip(("L1", "L2", "L3"), metered.current_a, strict=True):
        if amps is not None:
            rows.append(("Current.Import", phase, "A", amps))
    if metered.power_w is not None:
        rows.append(("Power.Active.Import", None, "W", metered.power_w))
    if metered.energy_wh is not None:
        rows.append(("Energy.Active.Import.Register", None, "Wh", metered.energy_wh))
    return [
        {
            "value": f"{value:.2f}",
            "measurand": measurand,
            "unit": unit,
            "context": context,
            **({} if phase is None else {"phase": phase}),
        }
        for measurand, phase, unit, value in rows
        if measurand in wanted
    ]


class Spokesman:
    """Speaks for a station; to be mixed with the ChargePoint of a version.

    `call` is the ChargePoint's; `heartbeat` makes the version's message.
    """

    call: Callable[..., Awaitable[Any]]
    heartbeat: Callable[[], Any]

    _link: StationLink
    _station: Station
    _heartbeat_s: float = FIRST_HEARTBEAT_S

    async def beat(self) -> None:
        """See `Point`."""
        while not is_cancelled():
            await asyncio.sleep(self._heartbeat_s)
            await self.call(self.heartbeat(), suppress=False)

    async def _boot_until_accepted(self, boot: object) -> bool:
        """Return whether it was accepted; it gives up only when it is cancelled."""
        while not is_cancelled():
            answer = await self.call(boot, suppress=False)
            if answer.status == "Accepted":
                self._heartbeat_s = float(max(1, answer.interval))
                return True
            await asyncio.sleep(min(ASK_AGAIN_S, max(1, answer.interval)))
        return False

    def _clock_text(self, at_s: float) -> str:
        return self._link.pace.clock_text(self._station, at_s)

    # What it is asked. Each returns the status of the answer.

    async def _clear(
        self,
        *,
        number: int | None,
        connector_number: int | None,
        purpose: str | None,
        stack_level: int | None,
    ) -> str:
        at_s = await self._link.act()
        found = self._station.clear(
            at_s,
            number=number,
            connector_number=connector_number,
            purpose=None if purpose is None else PURPOSES.get(purpose),
            stack_level=stack_level,
        )
        return "Accepted" if found else "Unknown"

    def _composite(
        self, number: int, duration: int, rate_unit: str | None
    ) -> tuple[str, dict[str, Any]] | None:
        """Return when a composite schedule begins, and it; None where there can be none."""
        evse = self._station.evses.get(number)
        units = self._station.store.rate_units
        unit = RateUnit(rate_unit or min(unit.value for unit in units))
        if evse is None or unit not in units:
            return None
        at_s = self._link.pace.catch_up()
        schedule = {
            "duration": duration,
            "chargingRateUnit": unit.value,
            "chargingSchedulePeriod": composite_periods(
                self._station, evse, at_s=at_s, duration_s=duration, unit=unit
            ),
        }
        return self._clock_text(at_s), schedule

    def _trigger(self, message: str, number: int | None, *, may_boot: bool) -> str:
        link = self._link
        match message:
            case "MeterValues" | "TransactionEvent":
                is_able = link.is_asked_for_reading(number)
            case "StatusNotification":
                is_able = link.tell_states(number)
            case "BootNotification":
                is_able = may_boot
                if is_able:
                    link.put_later(lambda at_s: Word(event=link.booted(at_s)))
            case "Heartbeat":
                is_able = True
                link.put_later(lambda _: Word(payload=self.heartbeat()))
            case _:
                return "NotImplemented"
        return "Accepted" if is_able else "Rejected"

    async def _begin(self, number: int | None) -> str:
        at_s = await self._link.act()
        numbers = [number] if number else list(self._station.evses)
        began = any(self._station.begin_transaction(number, at_s) for number in numbers)
        return "Accepted" if began else "Rejected"

    async def _stop(self, transaction: TransactionId) -> str:
        at_s = await self._link.act()
        was_running = self._station.stop_transaction(transaction, at_s)
        return "Accepted" if was_running else "Rejected"
