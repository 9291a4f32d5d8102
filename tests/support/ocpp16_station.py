"""A 1.6 charging station for tests, built on the `ocpp` library: not our code at the wire."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

import ocpp.exceptions
import ocpp.messages
from ocpp.routing import on
from ocpp.v16 import ChargePoint, call, call_result
from ocpp.v16.enums import Action
from websockets.exceptions import ConnectionClosed

from tests.support.ocpp_hall import Hall

ocpp.messages.ASYNC_VALIDATION = False  # No thread hop a message.

PLAIN_CONFIGURATION = {
    "ChargingScheduleAllowedChargingRateUnit": "Current,Power",
    "ChargeProfileMaxStackLevel": "10",
    "ChargingScheduleMaxPeriods": "24",
    "MaxChargingProfilesInstalled": "20",
    "MeterValueSampleInterval": "60",
    "MeterValuesSampledData": "Energy.Active.Import.Register",
    "ClockAlignedDataInterval": "0",
    "MeterValuesAlignedData": "Energy.Active.Import.Register",
}

Handler = TypeVar("Handler", bound=Callable[..., Any])


def answers(action: Action) -> Callable[[Handler], Handler]:
    """Mark the answer to an action, as the library does, without losing its type."""
    return cast("Callable[[Handler], Handler]", on(action))


class Station16(ChargePoint):  # type: ignore[misc]
    """Keeps what it is told; answers as `configuration` and `statuses` say."""

    def __init__(self, identity: str, connection: Any, **options: Any) -> None:
        super().__init__(identity, connection, response_timeout=10)
        self.configuration: dict[str, str] = dict(PLAIN_CONFIGURATION)
        self.configuration.update(options.pop("configuration", {}))
        self.read_only: set[str] = set(options.pop("read_only", ()))
        # What to answer to an action, or to a SetChargingProfile of a purpose.
        self.statuses: dict[str, str] = dict(options.pop("statuses", {}))
        self.delays_s: dict[str, float] = dict(options.pop("delays_s", {}))
        # Profiles beyond so many are refused, as they are where a flash has no more room.
        self.most_profiles: int | None = options.pop("most_profiles", None)
        self.installed: set[int] = set()
        assert not options
        self.heard: list[tuple[str, dict[str, Any]]] = []

    def profiles(self, purpose: str | None = None) -> list[dict[str, Any]]:
        """Return the charging profiles received, in order, with the connector in each."""
        return [
            {"connector_id": said["connector_id"], **said["cs_charging_profiles"]}
            for action, said in self.heard
            if action == "SetChargingProfile"
            and purpose in (None, said["cs_charging_profiles"]["charging_profile_purpose"])
        ]

    def said(self, action: str) -> list[dict[str, Any]]:
        """Return the payloads received of an action."""
        return [payload for name, payload in self.heard if name == action]

    async def _hear(self, action: str, payload: dict[str, Any], kind: str = "") -> str:
        self.heard.append((action, payload))
        await asyncio.sleep(self.delays_s.get(action, 0.0))
        return self.statuses.get(kind, self.statuses.get(action, "Accepted"))

    @answers(Action.get_configuration)
    async def on_get_configuration(self, key: list[str] | None = None) -> Any:
        status = await self._hear("GetConfiguration", {"key": key})
        if status != "Accepted":
            raise ocpp.exceptions.NotSupportedError
        known = [k for k in (key or self.configuration) if k in self.configuration]
        rows = [
            {"key": k, "value": self.configuration[k], "readonly": k in self.read_only}
            for k in known
        ]
        unknown = [k for k in (key or []) if k not in self.configuration]
        return call_result.GetConfiguration(configuration_key=rows, unknown_key=unknown)

    @answers(Action.change_configuration)
    async def on_change_configuration(self, key: str, value: str) -> Any:
        status = await self._hear("ChangeConfiguration", {"key": key, "value": value}, kind=key)
        if status == "Accepted":
            self.configuration[key] = value
        return call_result.ChangeConfiguration(status=status)

    @answers(Action.set_charging_profile)
    async def on_set_charging_profile(self, **payload: Any) -> Any:
        purpose = payload["cs_charging_profiles"]["charging_profile_purpose"]
        status = await self._hear("SetChargingProfile", payload, kind=purpose)
        installed = self.installed | {payload["cs_charging_profiles"]["charging_profile_id"]}
        if self.most_profiles is not None and len(installed) > self.most_profiles:
            status = "Rejected"
        if status == "Accepted":
            self.installed = installed
        return call_result.SetChargingProfile(status=status)

    @answers(Action.clear_charging_profile)
    async def on_clear_charging_profile(self, **payload: Any) -> Any:
        await self._hear("ClearChargingProfile", payload)
        if payload.get("id") in self.installed:
            self.installed.discard(payload["id"])
            return call_result.ClearChargingProfile(status="Accepted")
        return call_result.ClearChargingProfile(status="Unknown")

    @answers(Action.get_composite_schedule)
    async def on_get_composite_schedule(self, **payload: Any) -> Any:
        await self._hear("GetCompositeSchedule", payload)
        return call_result.GetCompositeSchedule(
            status="Accepted",
            connector_id=payload["connector_id"],
            charging_schedule={
                "chargingRateUnit": "A",
                "chargingSchedulePeriod": [
                    {"startPeriod": 0, "limit": 16.3},
                    {"startPeriod": 60, "limit": 6.0, "numberPhases": 3},
                ],
            },
        )

    @answers(Action.trigger_message)
    async def on_trigger_message(self, **payload: Any) -> Any:
        message = payload["requested_message"]
        status = await self._hear("TriggerMessage", payload, kind=message)
        return call_result.TriggerMessage(status=status)

    @answers(Action.remote_start_transaction)
    async def on_remote_start(self, **payload: Any) -> Any:
        return call_result.RemoteStartTransaction(
            status=await self._hear("RemoteStartTransaction", payload)
        )

    @answers(Action.remote_stop_transaction)
    async def on_remote_stop(self, **payload: Any) -> Any:
        return call_result.RemoteStopTransaction(
            status=await self._hear("RemoteStopTransaction", payload)
        )

    @answers(Action.reset)
    async def on_reset(self, **payload: Any) -> Any:
        return call_result.Reset(status=await self._hear("Reset", payload))

    # What a station says by itself.

    async def boot(self, vendor: str = "Vendor", model: str = "Model") -> Any:
        return await self.call(
            call.BootNotification(
                charge_point_vendor=vendor, charge_point_model=model, firmware_version="1.0"
            ),
            suppress=False,
        )

    async def say_status(self, number: int, status: str, *, timestamp: str | None = None) -> None:
        notice = call.StatusNotification(
            connector_id=number, error_code="NoError", status=status, timestamp=timestamp
        )
        await self.call(notice, suppress=False)

    async def heartbeat(self) -> None:
        await self.call(call.Heartbeat(), suppress=False)

    async def say_meter_values(
        self, number: int, *, transaction: int | None = None, timestamp: str | None = None
    ) -> None:
        """Send a current, and no time of it: the schema wants one, and stations leave it out."""
        at = {} if timestamp is None else {"timestamp": timestamp}
        values = call.MeterValues(
            connector_id=number,
            transaction_id=transaction,
            meter_value=[{**at, "sampledValue": [{"value": "6.0", "measurand": "Current.Import"}]}],
        )
        await self.call(values, suppress=False, skip_schema_validation=True)

    async def start_transaction(
        self, number: int, *, timestamp: str, id_tag: str = "TAG", meter_start: int = 0
    ) -> int:
        answer = await self.call(
            call.StartTransaction(
                connector_id=number, id_tag=id_tag, meter_start=meter_start, timestamp=timestamp
            ),
            suppress=False,
        )
        assert answer.id_tag_info["status"] == "Accepted"
        return int(answer.transaction_id)

    async def stop_transaction(
        self, transaction: int, *, timestamp: str, meter_stop: int = 1_000
    ) -> None:
        await self.call(
            call.StopTransaction(
                transaction_id=transaction, meter_stop=meter_stop, timestamp=timestamp
            ),
            suppress=False,
        )


@asynccontextmanager
async def station16(
    hall: Hall, identity: str = "CP-01", **options: Any
) -> AsyncIterator[Station16]:
    """Connect a station; it hears calls until the block ends."""
    async with hall.connect(identity) as connection:
        station = Station16(identity, connection, **options)

        async def listen() -> None:
            with contextlib.suppress(ConnectionClosed):
                await station.start()

        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(listen())
            yield station
            listening.cancel()
