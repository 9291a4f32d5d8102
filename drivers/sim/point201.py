"""A simulated station in the words of OCPP 2.0.1, on the `ocpp` library's ChargePoint."""

from collections.abc import Mapping
from typing import Any

from ocpp.v201 import ChargePoint, call, call_result
from ocpp.v201.enums import Action
from websockets.asyncio.client import ClientConnection

from drivers.sim.device_model import DeviceModel, name_of
from drivers.sim.profile_words import read_profile, write_profile
from drivers.sim.profiles import ChargingProfile
from drivers.sim.spokesman import ANSWER_WITHIN_S, LOGGER, Spokesman, answers, samples_of
from drivers.sim.station_link import StationLink, Word
from gateway.domain.charging import OcppVersion
from gateway.domain.events import (
    ConnectorMetered,
    ConnectorStatusChanged,
    StationBooted,
    TransactionEnded,
    TransactionStarted,
)
from gateway.domain.ids import TransactionId

_TRIGGERS = {
    "Sample.Periodic": "MeterValuePeriodic",
    "Sample.Clock": "MeterValueClock",
    "Trigger": "Trigger",
}


class Point201(Spokesman, ChargePoint):  # type: ignore[misc]
    """One connection of a 2.0.1 station."""

    heartbeat = call.Heartbeat

    def __init__(self, link: StationLink, connection: ClientConnection) -> None:
        """Speak for `link`, on a connection that is open."""
        super().__init__(
            link.station.id, connection, response_timeout=ANSWER_WITHIN_S, logger=LOGGER
        )
        self._link = link
        self._station = link.station
        self._model = DeviceModel(link)
        self._opened_s = link.pace.now_s

    # What it says.

    async def say(self, word: Word) -> None:
        """See `Point`."""
        if word.payload is not None:
            await self.call(word.payload, suppress=False)
        match word.event:
            case StationBooted():
                maker = {"vendorName": "Sim", "model": "S1", "firmwareVersion": "1.0"}
                boot = call.BootNotification(charging_station=maker, reason="PowerUp")
                self._link.is_accepted = await self._boot_until_accepted(boot)
            case ConnectorStatusChanged() as event:
                await self._say_status(event, word)
            case ConnectorMetered() as event:
                await self._say_reading(event, word)
            case TransactionStarted() as event:
                await self._say_start(event, word)
            case TransactionEnded() as event:
                if event.transaction in self._link.sequences:
                    await self._say_event(
                        event, event.transaction, kind="Ended", trigger="EVDeparted"
                    )
            case _:
                pass

    async def _say_status(self, event: ConnectorStatusChanged, word: Word) -> None:
        if event.charging_state is not None and event.status is None:
            if word.transaction in self._link.sequences:
                await self._say_event(
                    event,
                    word.transaction,
                    kind="Updated",
                    trigger="ChargingStateChanged",
                    state=word.charging_state,
                )
            return
        await self.call(
            call.StatusNotification(
                timestamp=self._clock_text(event.at_s),
                connector_status="Occupied" if word.is_occupied else "Available",
                evse_id=event.connector.number,
                connector_id=1,
            ),
            suppress=False,
        )

    async def _say_reading(self, event: ConnectorMetered, word: Word) -> None:
        samples = [
            {
                "value": float(sample["value"]),
                "unitOfMeasure": {"unit": sample["unit"]},
                **{k: v for k, v in sample.items() if k not in ("value", "unit")},
            }
            for sample in samples_of(event, self._model.measurands(word.context), word.context)
        ]
        if samples and word.transaction in self._link.sequences:
            await self._say_event(
                event,
                word.transaction,
                kind="Updated",
                trigger=_TRIGGERS[word.context],
                state=word.charging_state,
                samples=samples,
            )

    async def _say_start(self, event: TransactionStarted, word: Word) -> None:
        if event.transaction in self._link.sequences:  # After a reconnection: it still runs.
            await self._say_event(
                event,
                event.transaction,
                kind="Updated",
                trigger="ChargingStateChanged",
                state=word.charging_state,
            )
            return
        self._link.sequences[event.transaction] = 0
        await self._say_event(
            event, event.transaction, kind="Started", trigger="Authorized", driver="DRIVER"
        )

    async def _say_event(
        self,
        event: ConnectorStatusChanged | ConnectorMetered | TransactionStarted | TransactionEnded,
        transaction: TransactionId | None,
        *,
        kind: str,
        trigger: str,
        state: str | None = None,
        samples: list[dict[str, Any]] | None = None,
        driver: str | None = None,
    ) -> None:
        assert transaction is not None
        sequence = self._link.sequences[transaction]
        self._link.sequences[transaction] = sequence + 1
        at = self._clock_text(event.at_s)
        info: dict[str, str] = {"transactionId": transaction}
        if state is not None:
            info["chargingState"] = str(state)
        await self.call(
            call.TransactionEvent(
                event_type=kind,
                timestamp=at,
                trigger_reason=trigger,
                seq_no=sequence,
                transaction_info=info,
                offline=True if event.at_s < self._opened_s else None,
                evse={"id": event.connector.number, "connectorId": 1},
                id_token=None if driver is None else {"idToken": driver, "type": "Central"},
                meter_value=[{"timestamp": at, "sampledValue": samples}] if samples else None,
            ),
            suppress=False,
        )

    # Its device model.

    @answers(Action.get_variables)
    async def on_get_variables(self, get_variable_data: list[dict[str, Any]]) -> Any:  # noqa: ANN401 - the library's
        """Answer GetVariables."""
        known = self._model.values()
        rows = []
        for row in get_variable_data:
            value = known.get(name_of(row))
            result = {"component": row["component"], "variable": row["variable"]}
            status = "UnknownVariable" if value is None else "Accepted"
            told = {} if value is None else {"attributeValue": value}
            rows.append({**result, "attributeStatus": status, **told})
        return call_result.GetVariables(get_variable_result=rows)

    @answers(Action.set_variables)
    async def on_set_variables(self, set_variable_data: list[dict[str, Any]]) -> Any:  # noqa: ANN401 - the library's
        """Answer SetVariables."""
        return call_result.SetVariables(
            set_variable_result=[
                {
                    "component": row["component"],
                    "variable": row["variable"],
                    "attributeStatus": self._model.change(name_of(row), row["attribute_value"]),
                }
                for row in set_variable_data
            ]
        )

    @answers(Action.get_report)
    async def on_get_report(
        self,
        request_id: int,
        component_variable: list[dict[str, Any]] | None = None,
        **_: Any,  # noqa: ANN401 - the library's
    ) -> Any:  # noqa: ANN401 - the library's
        """Answer GetReport, and report a little later."""
        known = self._model.values()
        names = [name_of(row) for row in component_variable or ()] or list(known)
        return call_result.GetReport(status=self._report(request_id, names))

    @answers(Action.get_base_report)
    async def on_get_base_report(self, request_id: int, **_: Any) -> Any:  # noqa: ANN401 - the library's
        """Answer GetBaseReport, and report a little later."""
        return call_result.GetBaseReport(
            status=self._report(request_id, list(self._model.values()))
        )

    def _report(self, request_id: int, names: list[str]) -> str:
        rows = self._model.rows(names)
        if not rows:
            return "EmptyResultSet"
        parts = [rows[at : at + 4] for at in range(0, len(rows), 4)]
        for number, part in enumerate(parts):
            self._link.put_later(
                lambda at_s, number=number, part=part: Word(  # type: ignore[misc]
                    payload=call.NotifyReport(
                        request_id=request_id,
                        generated_at=self._clock_text(at_s),
                        seq_no=number,
                        tbc=number < len(parts) - 1,
                        report_data=part,
                    )
                ),
                after_s=0.2 + 0.01 * number,
            )
        return "Accepted"

    # Smart charging.

    @answers(Action.set_charging_profile)
    async def on_set_charging_profile(self, evse_id: int, charging_profile: dict[str, Any]) -> Any:  # noqa: ANN401 - the library's
        """Answer SetChargingProfile: stored, not obeyed; the limit follows from what is stored."""
        came_s = self._link.pace.now_s
        at_s = await self._link.act()
        name = charging_profile.get("transaction_id")
        try:
            profile = read_profile(
                charging_profile,
                version=OcppVersion.V201,
                transaction=None if name is None else TransactionId(name),
                clock_s=self._link.pace.clock_s,
            )
        except (ValueError, KeyError):
            reason = "InvalidProfile"
        else:
            reason = self._link.install(evse_id, profile, came_s=came_s, at_s=at_s)
        if not reason:
            return call_result.SetChargingProfile(status="Accepted")
        return call_result.SetChargingProfile(status="Rejected", status_info={"reasonCode": reason})

    @answers(Action.clear_charging_profile)
    async def on_clear_charging_profile(
        self,
        charging_profile_id: int | None = None,
        charging_profile_criteria: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - the library's
        """Answer ClearChargingProfile."""
        criteria = charging_profile_criteria or {}
        status = await self._clear(
            number=charging_profile_id,
            connector_number=criteria.get("evse_id"),
            purpose=criteria.get("charging_profile_purpose"),
            stack_level=criteria.get("stack_level"),
        )
        return call_result.ClearChargingProfile(status=status)

    @answers(Action.get_charging_profiles)
    async def on_get_charging_profiles(
        self, request_id: int, charging_profile: Mapping[str, Any], evse_id: int | None = None
    ) -> Any:  # noqa: ANN401 - the library's
        """Answer GetChargingProfiles, and report a little later."""
        word = charging_profile.get("charging_profile_purpose")
        found = [
            (number, profile)
            for number, profile in self._station.store.installed()
            if evse_id in (None, number)
            and word in (None, profile.purpose.value)
            and charging_profile.get("stack_level") in (None, profile.stack_level)
        ]
        for position, (number, profile) in enumerate(found):
            payload = self._told_profile(
                request_id, number, profile, is_last=position == len(found) - 1
            )
            self._link.put_later(
                lambda _, payload=payload: Word(payload=payload),  # type: ignore[misc]
                after_s=0.2 + 0.01 * position,
            )
        return call_result.GetChargingProfiles(status="Accepted" if found else "NoProfiles")

    def _told_profile(
        self, request_id: int, number: int, profile: ChargingProfile, *, is_last: bool
    ) -> Any:  # noqa: ANN401 - the library's
        return call.ReportChargingProfiles(
            request_id=request_id,
            charging_limit_source="CSO",
            evse_id=number,
            charging_profile=[write_profile(profile, clock_text=self._link.pace.time_text)],
            tbc=not is_last,
        )

    @answers(Action.get_composite_schedule)
    async def on_get_composite_schedule(
        self, evse_id: int, duration: int, charging_rate_unit: str | None = None
    ) -> Any:  # noqa: ANN401 - the library's
        """Answer GetCompositeSchedule."""
        composite = self._composite(evse_id, duration, charging_rate_unit)
        if composite is None:
            return call_result.GetCompositeSchedule(status="Rejected")
        begins, schedule = composite
        return call_result.GetCompositeSchedule(
            status="Accepted",
            schedule={"evseId": evse_id, "scheduleStart": begins, **schedule},
        )

    # The rest of what it can be asked.

    @answers(Action.trigger_message)
    async def on_trigger_message(
        self, requested_message: str, evse: Mapping[str, Any] | None = None
    ) -> Any:  # noqa: ANN401 - the library's
        """Answer TriggerMessage."""
        number = None if evse is None else evse["id"]
        # F06.FR.17: one that is accepted does not boot again for being asked.
        status = self._trigger(requested_message, number, may_boot=not self._link.is_accepted)
        return call_result.TriggerMessage(status=status)

    @answers(Action.get_transaction_status)
    async def on_get_transaction_status(self, transaction_id: str | None = None) -> Any:  # noqa: ANN401 - the library's
        """Answer GetTransactionStatus."""
        running = {evse.transaction for evse in self._station.evses.values()}
        return call_result.GetTransactionStatus(
            messages_in_queue=False,
            ongoing_indicator=None if transaction_id is None else transaction_id in running,
        )

    @answers(Action.request_start_transaction)
    async def on_request_start(self, evse_id: int | None = None, **_: Any) -> Any:  # noqa: ANN401 - the library's
        """Answer RequestStartTransaction."""
        return call_result.RequestStartTransaction(status=await self._begin(evse_id))

    @answers(Action.request_stop_transaction)
    async def on_request_stop(self, transaction_id: str) -> Any:  # noqa: ANN401 - the library's
        """Answer RequestStopTransaction."""
        status = await self._stop(TransactionId(transaction_id))
        return call_result.RequestStopTransaction(status=status)

    @answers(Action.reset)
    async def on_reset(self, **_: Any) -> Any:  # noqa: ANN401 - the library's
        """Answer Reset, and reboot a little later."""
        self._link.is_accepted = False
        self._link.reset_later()
        return call_result.Reset(status="Accepted")
