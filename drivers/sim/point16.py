"""A simulated station in the words of OCPP 1.6, on the `ocpp` library's ChargePoint."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import ocpp.messages
from ocpp.routing import on
from ocpp.v16 import ChargePoint, call, call_result
from ocpp.v16.enums import Action
from websockets.asyncio.client import ClientConnection

from drivers.sim.profile_words import PURPOSES, composite_periods, read_profile
from drivers.sim.station_link import StationLink, Word, is_cancelled
from gateway.domain.charging import ChargingState, OcppVersion, RateUnit
from gateway.domain.events import (
    ConnectorMetered,
    ConnectorStatusChanged,
    StationBooted,
    TransactionEnded,
    TransactionStarted,
)
from gateway.domain.ids import TransactionId

ocpp.messages.ASYNC_VALIDATION = False  # No thread hop a message.

ANSWER_WITHIN_S = 30.0
ASK_AGAIN_S = 10.0  # A station that is not accepted yet boots again after at most this.
FIRST_HEARTBEAT_S = 60.0
FACTORY_MEASURANDS = "Energy.Active.Import.Register"
MEASURANDS = frozenset({"Current.Import", "Power.Active.Import", "Energy.Active.Import.Register"})
STATUSES: Mapping[ChargingState | None, str] = {
    None: "Preparing",
    ChargingState.EV_CONNECTED: "Preparing",
    ChargingState.CHARGING: "Charging",
    ChargingState.SUSPENDED_EV: "SuspendedEV",
    ChargingState.SUSPENDED_EVSE: "SuspendedEVSE",
    ChargingState.IDLE: "Available",
}

SAMPLE_INTERVAL = "MeterValueSampleInterval"
SAMPLED_DATA = "MeterValuesSampledData"
ALIGNED_INTERVAL = "ClockAlignedDataInterval"
ALIGNED_DATA = "MeterValuesAlignedData"
_CHANGEABLE = frozenset({SAMPLE_INTERVAL, SAMPLED_DATA, ALIGNED_INTERVAL, ALIGNED_DATA})

Handler = TypeVar("Handler", bound=Callable[..., Any])


def answers(action: Action) -> Callable[[Handler], Handler]:
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


class Point16(ChargePoint):  # type: ignore[misc]
    """One connection of a 1.6 station."""

    def __init__(self, link: StationLink, connection: ClientConnection) -> None:
        """Speak for `link`, on a connection that is open."""
        logger = logging.getLogger("ocpp.plant")
        super().__init__(
            link.station.id, connection, response_timeout=ANSWER_WITHIN_S, logger=logger
        )
        self._link = link
        self._station = link.station
        self._heartbeat_s = FIRST_HEARTBEAT_S

    # What it says.

    async def beat(self) -> None:
        """See `Point`."""
        while not is_cancelled():
            await asyncio.sleep(self._heartbeat_s)
            await self.call(call.Heartbeat(), suppress=False)

    async def say(self, word: Word) -> None:
        """See `Point`."""
        if word.payload is not None:
            await self.call(word.payload, suppress=False)
        match word.event:
            case StationBooted():
                await self._boot()
            case ConnectorStatusChanged() as event:
                await self._say_status(event, word)
            case ConnectorMetered() as event:
                await self._say_reading(event, word)
            case TransactionStarted() as event:
                await self._say_start(event)
            case TransactionEnded() as event:
                await self._say_stop(event)
            case _:
                pass

    async def _boot(self) -> None:
        while not is_cancelled():
            answer = await self.call(
                call.BootNotification(
                    charge_point_vendor="Sim", charge_point_model="S1", firmware_version="1.0"
                ),
                suppress=False,
            )
            if answer.status == "Accepted":
                self._heartbeat_s = float(max(1, answer.interval))
                return
            await asyncio.sleep(min(ASK_AGAIN_S, max(1, answer.interval)))

    async def _say_status(self, event: ConnectorStatusChanged, word: Word) -> None:
        status = STATUSES[word.charging_state] if word.is_occupied else "Available"
        await self.call(
            call.StatusNotification(
                connector_id=event.connector.number,
                error_code="NoError",
                status=status,
                timestamp=self._clock_text(event.at_s),
            ),
            suppress=False,
        )

    async def _say_reading(self, event: ConnectorMetered, word: Word) -> None:
        data = ALIGNED_DATA if word.context == "Sample.Clock" else SAMPLED_DATA
        measurands = self._link.settings.get(data, FACTORY_MEASURANDS)
        known = None if word.transaction is None else self._link.told.get(word.transaction)
        samples = samples_of(event, measurands, word.context)
        if samples:
            await self.call(
                call.MeterValues(
                    connector_id=event.connector.number,
                    transaction_id=known,
                    meter_value=[
                        {"timestamp": self._clock_text(event.at_s), "sampledValue": samples}
                    ],
                ),
                suppress=False,
            )

    async def _say_start(self, event: TransactionStarted) -> None:
        if event.transaction in self._link.told:
            return  # It is said again only by stations that forget.
        answer = await self.call(
            call.StartTransaction(
                connector_id=event.connector.number,
                id_tag="DRIVER",
                meter_start=int(self._station.evses[event.connector.number].energy_wh),
                timestamp=self._clock_text(self._station.evses[event.connector.number].started_s),
            ),
            suppress=False,
        )
        self._link.told[event.transaction] = answer.transaction_id

    async def _say_stop(self, event: TransactionEnded) -> None:
        known = self._link.told.get(event.transaction)
        if known is None:
            return
        await self.call(
            call.StopTransaction(
                transaction_id=known,
                meter_stop=int(self._station.evses[event.connector.number].energy_wh),
                timestamp=self._clock_text(event.at_s),
            ),
            suppress=False,
        )

    def _clock_text(self, at_s: float) -> str:
        return self._link.pace.clock_text(self._station, at_s)

    # Its configuration.

    def _configuration(self) -> dict[str, str]:
        store = self._station.store
        names = {RateUnit.AMPERES: "Current", RateUnit.WATTS: "Power"}
        return {
            "ChargingScheduleAllowedChargingRateUnit": ",".join(
                sorted(names[unit] for unit in store.rate_units)
            ),
            "ChargeProfileMaxStackLevel": str(store.highest_stack_level),
            "ChargingScheduleMaxPeriods": str(store.period_count),
            "MaxChargingProfilesInstalled": str(store.profile_count),
            SAMPLE_INTERVAL: str(int(self._station.traits.sample_interval_s)),
            SAMPLED_DATA: FACTORY_MEASURANDS,
            ALIGNED_INTERVAL: "0",
            ALIGNED_DATA: FACTORY_MEASURANDS,
            "NumberOfConnectors": str(len(self._station.evses)),
            **self._link.settings,
        }

    @answers(Action.get_configuration)
    async def on_get_configuration(self, key: list[str] | None = None) -> Any:  # noqa: ANN401 - the library's
        """Answer GetConfiguration."""
        known = self._configuration()
        names = key or list(known)
        rows = [
            {"key": name, "value": known[name], "readonly": name not in _CHANGEABLE}
            for name in names
            if name in known
        ]
        unknown = [name for name in names if name not in known]
        return call_result.GetConfiguration(configuration_key=rows, unknown_key=unknown)

    @answers(Action.change_configuration)
    async def on_change_configuration(self, key: str, value: str) -> Any:  # noqa: ANN401 - the library's
        """Answer ChangeConfiguration."""
        return call_result.ChangeConfiguration(status=self._change(key, value))

    def _change(self, key: str, value: str) -> str:
        if key not in self._configuration():
            return "NotSupported"
        if key in (SAMPLED_DATA, ALIGNED_DATA):
            if not {name.strip() for name in value.split(",")} <= MEASURANDS:
                return "Rejected"
        elif key in (SAMPLE_INTERVAL, ALIGNED_INTERVAL) and value.isdecimal():
            if key == ALIGNED_INTERVAL:
                self._link.set_aligned(int(value))
            elif int(value) > 0:
                self._link.set_interval(int(value))
        else:
            return "Rejected"
        self._link.settings[key] = value
        return "Accepted"

    # Smart charging.

    @answers(Action.set_charging_profile)
    async def on_set_charging_profile(
        self, connector_id: int, cs_charging_profiles: dict[str, Any]
    ) -> Any:  # noqa: ANN401 - the library's
        """Answer SetChargingProfile: stored, not obeyed; the limit follows from what is stored."""
        came_s = self._link.pace.now_s
        at_s = await self._link.act()  # By now the answer that named a transaction has been read.
        number = cs_charging_profiles.get("transaction_id")
        try:
            profile = read_profile(
                cs_charging_profiles,
                version=OcppVersion.V16,
                transaction=None if number is None else self._transaction(number),
                clock_s=self._link.pace.clock_s,
            )
        except (ValueError, KeyError):
            return call_result.SetChargingProfile(status="Rejected")
        reason = self._link.install(connector_id, profile, came_s=came_s, at_s=at_s)
        return call_result.SetChargingProfile(status="Rejected" if reason else "Accepted")

    def _transaction(self, number: int) -> TransactionId:
        names = {told: name for name, told in self._link.told.items()}
        return names.get(number, TransactionId(f"number {number}"))

    @answers(Action.clear_charging_profile)
    async def on_clear_charging_profile(self, **criteria: Any) -> Any:  # noqa: ANN401 - the library's
        """Answer ClearChargingProfile."""
        at_s = await self._link.act()
        word = criteria.get("charging_profile_purpose")
        found = self._station.clear(
            at_s,
            number=criteria.get("id"),
            connector_number=criteria.get("connector_id"),
            purpose=None if word is None else PURPOSES.get(word),
            stack_level=criteria.get("stack_level"),
        )
        return call_result.ClearChargingProfile(status="Accepted" if found else "Unknown")

    @answers(Action.get_composite_schedule)
    async def on_get_composite_schedule(
        self, connector_id: int, duration: int, charging_rate_unit: str | None = None
    ) -> Any:  # noqa: ANN401 - the library's
        """Answer GetCompositeSchedule."""
        evse = self._station.evses.get(connector_id)
        units = self._station.store.rate_units
        unit = RateUnit(charging_rate_unit or min(unit.value for unit in units))
        if evse is None or unit not in units:
            return call_result.GetCompositeSchedule(status="Rejected")
        at_s = self._link.pace.catch_up()
        return call_result.GetCompositeSchedule(
            status="Accepted",
            connector_id=connector_id,
            schedule_start=self._clock_text(at_s),
            charging_schedule={
                "duration": duration,
                "chargingRateUnit": unit.value,
                "chargingSchedulePeriod": composite_periods(
                    self._station, evse, at_s=at_s, duration_s=duration, unit=unit
                ),
            },
        )

    # The rest of what it can be asked.

    @answers(Action.trigger_message)
    async def on_trigger_message(
        self, requested_message: str, connector_id: int | None = None
    ) -> Any:  # noqa: ANN401 - the library's
        """Answer TriggerMessage."""
        link = self._link
        match requested_message:
            case "MeterValues":
                is_able = link.is_asked_for_reading(connector_id)
            case "StatusNotification":
                is_able = link.tell_states(connector_id)
            case "BootNotification":
                is_able = True
                link.put_later(lambda at_s: Word(event=link.booted(at_s)))
            case "Heartbeat":
                is_able = True
                link.put_later(lambda _: Word(payload=call.Heartbeat()))
            case _:
                return call_result.TriggerMessage(status="NotImplemented")
        return call_result.TriggerMessage(status="Accepted" if is_able else "Rejected")

    @answers(Action.remote_start_transaction)
    async def on_remote_start(self, connector_id: int | None = None, **_: Any) -> Any:  # noqa: ANN401 - the library's
        """Answer RemoteStartTransaction."""
        at_s = await self._link.act()
        numbers = [connector_id] if connector_id else list(self._station.evses)
        began = any(self._station.begin_transaction(number, at_s) for number in numbers)
        return call_result.RemoteStartTransaction(status="Accepted" if began else "Rejected")

    @answers(Action.remote_stop_transaction)
    async def on_remote_stop(self, transaction_id: int) -> Any:  # noqa: ANN401 - the library's
        """Answer RemoteStopTransaction."""
        at_s = await self._link.act()
        was_running = self._station.stop_transaction(self._transaction(transaction_id), at_s)
        return call_result.RemoteStopTransaction(status="Accepted" if was_running else "Rejected")

    @answers(Action.reset)
    async def on_reset(self, **_: Any) -> Any:  # noqa: ANN401 - the library's
        """Answer Reset, and reboot a little later."""
        self._link.reset_later()
        return call_result.Reset(status="Accepted")
