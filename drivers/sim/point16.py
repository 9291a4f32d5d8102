"""A simulated station in the words of OCPP 1.6, on the `ocpp` library's ChargePoint."""

from collections.abc import Mapping
from typing import Any

from ocpp.v16 import ChargePoint, call, call_result
from ocpp.v16.enums import Action
from websockets.asyncio.client import ClientConnection

from drivers.sim.profile_words import read_profile
from drivers.sim.spokesman import ANSWER_WITHIN_S, LOGGER, Spokesman, answers, samples_of
from drivers.sim.station_link import StationLink, Word
from drivers.sim.station_settings import FACTORY_MEASURANDS, MeteringNames
from gateway.domain.charging import ChargingState, OcppVersion, RateUnit
from gateway.domain.events import (
    ConnectorMetered,
    ConnectorStatusChanged,
    StationBooted,
    TransactionEnded,
    TransactionStarted,
)
from gateway.domain.ids import TransactionId

STATUSES: Mapping[ChargingState | None, str] = {
    None: "Preparing",
    ChargingState.EV_CONNECTED: "Preparing",
    ChargingState.CHARGING: "Charging",
    ChargingState.SUSPENDED_EV: "SuspendedEV",
    ChargingState.SUSPENDED_EVSE: "SuspendedEVSE",
    ChargingState.IDLE: "Available",
}

NAMES = MeteringNames(
    sampled_data="MeterValuesSampledData",
    sampled_interval="MeterValueSampleInterval",
    aligned_data="MeterValuesAlignedData",
    aligned_interval="ClockAlignedDataInterval",
)


class Point16(Spokesman, ChargePoint):  # type: ignore[misc]
    """One connection of a 1.6 station."""

    heartbeat = call.Heartbeat

    def __init__(self, link: StationLink, connection: ClientConnection) -> None:
        """Speak for `link`, on a connection that is open."""
        super().__init__(
            link.station.id, connection, response_timeout=ANSWER_WITHIN_S, logger=LOGGER
        )
        self._link = link
        self._station = link.station

    # What it says.

    async def say(self, word: Word) -> None:
        """See `Point`."""
        if word.payload is not None:
            await self.call(word.payload, suppress=False)
        match word.event:
            case StationBooted():
                boot = call.BootNotification(
                    charge_point_vendor="Sim", charge_point_model="S1", firmware_version="1.0"
                )
                await self._boot_until_accepted(boot)
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
        data = NAMES.data_of(word.context)
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
        evse = self._station.evses[event.connector.number]
        is_running = evse.transaction == event.transaction  # Else it waited to be said.
        answer = await self.call(
            call.StartTransaction(
                connector_id=event.connector.number,
                id_tag="DRIVER",
                meter_start=int(evse.energy_wh),
                timestamp=self._clock_text(evse.started_s if is_running else event.at_s),
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
            **NAMES.defaults(self._station.traits.sample_interval_s),
            "NumberOfConnectors": str(len(self._station.evses)),
            **self._link.settings,
        }

    @answers(Action.get_configuration)
    async def on_get_configuration(self, key: list[str] | None = None) -> Any:  # noqa: ANN401 - the library's
        """Answer GetConfiguration."""
        known = self._configuration()
        names = key or list(known)
        rows = [
            {"key": name, "value": known[name], "readonly": name not in NAMES.all}
            for name in names
            if name in known
        ]
        unknown = [name for name in names if name not in known]
        return call_result.GetConfiguration(configuration_key=rows, unknown_key=unknown)

    @answers(Action.change_configuration)
    async def on_change_configuration(self, key: str, value: str) -> Any:  # noqa: ANN401 - the library's
        """Answer ChangeConfiguration."""
        is_known = key in self._configuration()
        status = NAMES.change(self._link, key, value) if is_known else "NotSupported"
        return call_result.ChangeConfiguration(status=status)

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
        status = await self._clear(
            number=criteria.get("id"),
            connector_number=criteria.get("connector_id"),
            purpose=criteria.get("charging_profile_purpose"),
            stack_level=criteria.get("stack_level"),
        )
        return call_result.ClearChargingProfile(status=status)

    @answers(Action.get_composite_schedule)
    async def on_get_composite_schedule(
        self, connector_id: int, duration: int, charging_rate_unit: str | None = None
    ) -> Any:  # noqa: ANN401 - the library's
        """Answer GetCompositeSchedule."""
        composite = self._composite(connector_id, duration, charging_rate_unit)
        if composite is None:
            return call_result.GetCompositeSchedule(status="Rejected")
        begins, schedule = composite
        return call_result.GetCompositeSchedule(
            status="Accepted",
            connector_id=connector_id,
            schedule_start=begins,
            charging_schedule=schedule,
        )

    # The rest of what it can be asked.

    @answers(Action.trigger_message)
    async def on_trigger_message(
        self, requested_message: str, connector_id: int | None = None
    ) -> Any:  # noqa: ANN401 - the library's
        """Answer TriggerMessage."""
        status = self._trigger(requested_message, connector_id, may_boot=True)
        return call_result.TriggerMessage(status=status)

    @answers(Action.remote_start_transaction)
    async def on_remote_start(self, connector_id: int | None = None, **_: Any) -> Any:  # noqa: ANN401 - the library's
        """Answer RemoteStartTransaction."""
        return call_result.RemoteStartTransaction(status=await self._begin(connector_id))

    @answers(Action.remote_stop_transaction)
    async def on_remote_stop(self, transaction_id: int) -> Any:  # noqa: ANN401 - the library's
        """Answer RemoteStopTransaction."""
        status = await self._stop(self._transaction(transaction_id))
        return call_result.RemoteStopTransaction(status=status)

    @answers(Action.reset)
    async def on_reset(self, **_: Any) -> Any:  # noqa: ANN401 - the library's
        """Answer Reset, and reboot a little later."""
        self._link.reset_later()
        return call_result.Reset(status="Accepted")
