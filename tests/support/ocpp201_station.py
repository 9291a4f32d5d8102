"""A 2.0.1 charging station for tests, built on the `ocpp` library: not our code at the wire."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast

import ocpp.exceptions
import ocpp.messages
from ocpp.routing import after, on
from ocpp.v201 import ChargePoint, call, call_result
from ocpp.v201.enums import Action
from websockets.exceptions import ConnectionClosed

from gateway.domain.charging import OcppVersion
from tests.support.ocpp_hall import Hall

ocpp.messages.ASYNC_VALIDATION = False  # No thread hop a message.

PLAIN_VARIABLES = {
    "SmartChargingCtrlr.Available": "true",
    "SmartChargingCtrlr.Enabled": "true",
    "SmartChargingCtrlr.RateUnit": "A,W",
    "SmartChargingCtrlr.ProfileStackLevel": "10",
    "SmartChargingCtrlr.PeriodsPerSchedule": "24",
    "SmartChargingCtrlr.Entries.ChargingProfiles": "0",
    "SampledDataCtrlr.TxStartedMeasurands": "SoC",
    "SampledDataCtrlr.TxUpdatedInterval": "60",
    "SampledDataCtrlr.TxUpdatedMeasurands": "Energy.Active.Import.Register",
    "AlignedDataCtrlr.Interval": "900",
    "AlignedDataCtrlr.Measurands": "Energy.Active.Import.Register",
    "AlignedDataCtrlr.SendDuringIdle": "true",
    "ChargingStation.VendorName": "Vendor",
    "ChargingStation.Model": "Model",
}
MAX_LIMITS = {"SmartChargingCtrlr.Entries.ChargingProfiles": 20.0}

Handler = TypeVar("Handler", bound=Callable[..., Any])


def answers(action: Action) -> Callable[[Handler], Handler]:
    """Mark the answer to an action, as the library does, without losing its type."""
    return cast("Callable[[Handler], Handler]", on(action))


def follows(action: Action) -> Callable[[Handler], Handler]:
    """Mark what is done after the answer to an action."""
    return cast("Callable[[Handler], Handler]", after(action))


def now(*, ahead_s: float = 0) -> str:
    at = datetime.now(UTC) + timedelta(seconds=ahead_s)  # noqa: TID251 - a station's own clock
    return at.isoformat()


def name_of(row: Mapping[str, Any]) -> str:
    parts = (row["component"]["name"], row["variable"]["name"], row["variable"].get("instance"))
    return ".".join(part for part in parts if part)


class Station201(ChargePoint):  # type: ignore[misc]
    """Stores what it is told by the rules of block K, and answers as its options say.

    `variables` is its device model, `max_limits` their limits; `statuses` overrides what is
    answered to an action (or a purpose, a triggered message, a variable set); one in `refused`
    gets that CALLERROR. `ahead_s` is how far its clock is off.
    """

    def __init__(self, identity: str, connection: Any, **options: Any) -> None:
        super().__init__(identity, connection, response_timeout=10)
        self.variables: dict[str, str] = {**PLAIN_VARIABLES, **options.pop("variables", {})}
        for name in options.pop("without", ()):
            del self.variables[name]
        self.max_limits: dict[str, float] = dict(options.pop("max_limits", MAX_LIMITS))
        self.read_only: set[str] = set(options.pop("read_only", ()))
        self.statuses: dict[str, str] = dict(options.pop("statuses", {}))
        self.refused: dict[str, type[Exception]] = dict(options.pop("refused", {}))
        self.delays_s: dict[str, float] = dict(options.pop("delays_s", {}))
        self.most_per_message = options.pop("most_per_message", 100)
        self.gives_reasons = options.pop("gives_reasons", True)
        self.is_silent_on_reports = options.pop("is_silent_on_reports", False)
        self.has_queue = options.pop("has_queue", False)
        self.tells_time = options.pop("tells_time", True)
        self.ahead_s: float = options.pop("ahead_s", 0.0)
        # The installed profiles by id, each with its evse_id and source.
        self.profiles: dict[int, dict[str, Any]] = dict(options.pop("profiles", {}))
        # The transactions that run, by EVSE.
        self.running: dict[int, str] = dict(options.pop("running", {}))
        assert not options
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.sequences: dict[str, int] = {}

    def said(self, action: str) -> list[dict[str, Any]]:
        """Return the payloads received of an action."""
        return [payload for name, payload in self.heard if name == action]

    def profiles_sent(self, purpose: str | None = None) -> list[dict[str, Any]]:
        """Return the charging profiles received, in order, with the EVSE in each."""
        return [
            {"evse_id": said["evse_id"], **said["charging_profile"]}
            for said in self.said("SetChargingProfile")
            if purpose in (None, said["charging_profile"]["charging_profile_purpose"])
        ]

    def limit_at(self, number: int, *, in_s: float = 0.0) -> float | None:
        """Return the limit an EVSE keeps to, by its stored profiles and its own clock (K08)."""
        at = datetime.fromisoformat(now(ahead_s=self.ahead_s)) + timedelta(seconds=in_s)
        for purpose in ("TxProfile", "TxDefaultProfile"):  # The first overrules (K02.FR.04).
            stack = [
                profile
                for profile in self.profiles.values()
                if profile["evse_id"] in (number, 0)
                and profile["charging_profile_purpose"] == purpose
            ]
            for profile in sorted(stack, key=lambda p: -p["stack_level"]):
                limit = _limit_of(profile, at)
                if limit is not None:
                    return limit
        return None

    async def _hear(self, action: str, payload: dict[str, Any], kind: str = "") -> str | None:
        self.heard.append((action, payload))
        await asyncio.sleep(self.delays_s.get(action, 0.0))
        refusal = self.refused.get(kind, self.refused.get(action))
        if refusal is not None:
            raise refusal
        return self.statuses.get(kind, self.statuses.get(action))

    # The device model.

    @answers(Action.get_variables)
    async def on_get_variables(self, get_variable_data: list[dict[str, Any]]) -> Any:
        await self._hear("GetVariables", {"names": [name_of(row) for row in get_variable_data]})
        if len(get_variable_data) > self.most_per_message:
            raise ocpp.exceptions.OccurrenceConstraintViolationError
        rows: list[dict[str, Any]] = []
        for row in get_variable_data:
            value = self.variables.get(name_of(row))
            result = {"component": row["component"], "variable": row["variable"]}
            if value is None:
                rows.append({**result, "attributeStatus": "UnknownVariable"})
            else:
                rows.append({**result, "attributeStatus": "Accepted", "attributeValue": value})
        return call_result.GetVariables(get_variable_result=rows)

    @answers(Action.set_variables)
    async def on_set_variables(self, set_variable_data: list[dict[str, Any]]) -> Any:
        rows: list[dict[str, Any]] = []
        for row in set_variable_data:
            name, value = name_of(row), row["attribute_value"]
            status = await self._hear("SetVariables", {"name": name, "value": value}, kind=name)
            if status is None:
                status = "Rejected" if name in self.read_only else "Accepted"
            if status == "Accepted":
                self.variables[name] = value
            rows.append(
                {
                    "component": row["component"],
                    "variable": row["variable"],
                    "attributeStatus": status,
                }
            )
        return call_result.SetVariables(set_variable_result=rows)

    @answers(Action.get_report)
    async def on_get_report(self, **payload: Any) -> Any:
        return call_result.GetReport(status=await self._hear("GetReport", payload) or "Accepted")

    @follows(Action.get_report)
    async def after_get_report(
        self, request_id: int, component_variable: list[dict[str, Any]], **_: Any
    ) -> None:
        if self.statuses.get("GetReport", "Accepted") == "Accepted":
            await self._report(request_id, [name_of(row) for row in component_variable])

    @answers(Action.get_base_report)
    async def on_get_base_report(self, **payload: Any) -> Any:
        status = await self._hear("GetBaseReport", payload) or "Accepted"
        return call_result.GetBaseReport(status=status)

    @follows(Action.get_base_report)
    async def after_get_base_report(self, request_id: int, **_: Any) -> None:
        if self.statuses.get("GetBaseReport", "Accepted") == "Accepted":
            await self._report(request_id, list(self.variables))

    async def _report(self, request_id: int, names: list[str]) -> None:
        """Report variables, two to a message."""
        if self.is_silent_on_reports:
            return
        known = [name for name in names if name in self.variables]
        parts = [known[at : at + 2] for at in range(0, len(known), 2)] or [[]]
        for number, part in enumerate(parts):
            await self.call(
                call.NotifyReport(
                    request_id=request_id,
                    generated_at=self._report_time(),
                    seq_no=number,
                    tbc=number < len(parts) - 1,
                    report_data=[self._row(name) for name in part] or None,
                ),
                suppress=False,
            )

    def _report_time(self) -> str:
        return now(ahead_s=self.ahead_s) if self.tells_time else ""

    def _row(self, name: str) -> dict[str, Any]:
        component, variable, *instance = name.split(".")
        row: dict[str, Any] = {
            "component": {"name": component},
            "variable": {"name": variable, **({"instance": instance[0]} if instance else {})},
            "variableAttribute": [
                {
                    "value": self.variables[name],
                    "mutability": "ReadOnly" if name in self.read_only else "ReadWrite",
                }
            ],
        }
        if name in self.max_limits:
            row["variableCharacteristics"] = {
                "dataType": "integer",
                "supportsMonitoring": False,
                "maxLimit": self.max_limits[name],
            }
        return row

    # Smart charging.

    @answers(Action.set_charging_profile)
    async def on_set_charging_profile(self, evse_id: int, charging_profile: dict[str, Any]) -> Any:
        payload = {"evse_id": evse_id, "charging_profile": charging_profile}
        purpose = charging_profile["charging_profile_purpose"]
        status = await self._hear("SetChargingProfile", payload, kind=purpose)
        reason = status or self._fault_of(evse_id, charging_profile)
        if reason is None:
            stored = {"evse_id": evse_id, "source": "CSO", **charging_profile}
            self.profiles[charging_profile["id"]] = stored
            return call_result.SetChargingProfile(status="Accepted")
        if reason == "Rejected" or not self.gives_reasons:
            return call_result.SetChargingProfile(status="Rejected")
        info = {"reasonCode": reason}
        return call_result.SetChargingProfile(status="Rejected", status_info=info)

    def _fault_of(self, number: int, profile: dict[str, Any]) -> str | None:
        """Return why a profile is refused, in the words of the appendix's reason codes."""
        variables, purpose = self.variables, profile["charging_profile_purpose"]
        level = profile["stack_level"]
        if level > int(variables["SmartChargingCtrlr.ProfileStackLevel"]):
            return "InvalidStackLevel"
        (schedule,) = profile["charging_schedule"]
        if schedule["charging_rate_unit"] not in variables["SmartChargingCtrlr.RateUnit"]:
            return "UnsupportedRateUnit"
        is_timed = "start_schedule" in schedule
        if is_timed is not (profile["charging_profile_kind"] == "Absolute"):
            return "InvalidSchedule"  # K01.FR.40, FR.41
        transaction = profile.get("transaction_id")
        if purpose == "TxProfile" and self.running.get(number) != transaction:
            return "TxNotFound"  # K01.FR.33
        for other in self.profiles.values():
            is_here = other["evse_id"] in (number, 0) or number == 0
            place = (other["charging_profile_purpose"], other["stack_level"])
            if is_here and place == (purpose, level) and other["id"] != profile["id"]:
                return "DuplicateProfile"  # K01.FR.06, FR.39, FR.52, FR.53
        most = self.max_limits.get("SmartChargingCtrlr.Entries.ChargingProfiles", 20)
        is_full = len({*self.profiles, profile["id"]}) > most
        return "OutOfStorage" if is_full else None

    @answers(Action.clear_charging_profile)
    async def on_clear_charging_profile(self, **payload: Any) -> Any:
        await self._hear("ClearChargingProfile", payload)
        wanted = payload.get("charging_profile_criteria", {})
        if "charging_profile_id" in payload:
            gone = [i for i in self.profiles if i == payload["charging_profile_id"]]
        else:
            gone = [
                i
                for i, profile in self.profiles.items()
                if all(profile[field] == value for field, value in wanted.items())
            ]
        for i in gone:
            del self.profiles[i]
        return call_result.ClearChargingProfile(status="Accepted" if gone else "Unknown")

    @answers(Action.get_charging_profiles)
    async def on_get_charging_profiles(self, **payload: Any) -> Any:
        await self._hear("GetChargingProfiles", payload)
        found = self._find_profiles(payload)
        return call_result.GetChargingProfiles(status="Accepted" if found else "NoProfiles")

    @follows(Action.get_charging_profiles)
    async def after_get_charging_profiles(self, **payload: Any) -> None:
        found = self._find_profiles(payload)
        for at, profile in enumerate(found):
            await self.call(
                call.ReportChargingProfiles(
                    request_id=payload["request_id"],
                    charging_limit_source=profile["source"],
                    evse_id=profile["evse_id"],
                    charging_profile=[
                        {k: v for k, v in profile.items() if k not in ("evse_id", "source")}
                    ],
                    tbc=at < len(found) - 1,
                ),
                suppress=False,
            )

    def _find_profiles(self, payload: dict[str, Any]) -> list[dict[str, Any]]:
        purpose = payload["charging_profile"].get("charging_profile_purpose")
        return [
            profile
            for profile in self.profiles.values()
            if purpose in (None, profile["charging_profile_purpose"])
            and payload.get("evse_id") in (None, profile["evse_id"])
        ]

    @answers(Action.get_composite_schedule)
    async def on_get_composite_schedule(self, **payload: Any) -> Any:
        status = await self._hear("GetCompositeSchedule", payload)
        if status is not None:
            return call_result.GetCompositeSchedule(status=status)
        return call_result.GetCompositeSchedule(
            status="Accepted",
            schedule={
                "evseId": payload["evse_id"],
                "duration": payload["duration"],
                "scheduleStart": now(),
                "chargingRateUnit": payload["charging_rate_unit"],
                "chargingSchedulePeriod": [
                    {"startPeriod": 0, "limit": 16.3},
                    {"startPeriod": 60, "limit": 6.0, "numberPhases": 3},
                ],
            },
        )

    # Remote control.

    @answers(Action.trigger_message)
    async def on_trigger_message(self, **payload: Any) -> Any:
        message = payload["requested_message"]
        status = await self._hear("TriggerMessage", payload, kind=message)
        number = payload.get("evse", {}).get("id")
        if status is None:
            is_idle = message == "TransactionEvent" and number not in self.running
            status = "Rejected" if is_idle or message == "BootNotification" else "Accepted"
        return call_result.TriggerMessage(status=status)

    @follows(Action.trigger_message)
    async def after_trigger_message(self, **payload: Any) -> None:
        number = payload.get("evse", {}).get("id")
        if payload["requested_message"] == "TransactionEvent" and number in self.running:
            await self.say_event("Updated", self.running[number], trigger="Trigger")

    @answers(Action.get_transaction_status)
    async def on_get_transaction_status(self, **payload: Any) -> Any:
        await self._hear("GetTransactionStatus", payload)
        return call_result.GetTransactionStatus(
            messages_in_queue=self.has_queue,
            ongoing_indicator=payload["transaction_id"] in self.running.values(),
        )

    @answers(Action.request_start_transaction)
    async def on_request_start(self, **payload: Any) -> Any:
        status = await self._hear("RequestStartTransaction", payload)
        return call_result.RequestStartTransaction(status=status or "Accepted")

    @answers(Action.request_stop_transaction)
    async def on_request_stop(self, **payload: Any) -> Any:
        status = await self._hear("RequestStopTransaction", payload)
        return call_result.RequestStopTransaction(status=status or "Accepted")

    @answers(Action.reset)
    async def on_reset(self, **payload: Any) -> Any:
        return call_result.Reset(status=await self._hear("Reset", payload) or "Accepted")

    # What a station says by itself.

    async def boot(self, vendor: str = "Vendor", model: str = "Model") -> Any:
        return await self.call(
            call.BootNotification(
                charging_station={
                    "vendorName": vendor,
                    "model": model,
                    "firmwareVersion": "1.0",
                },
                reason="PowerUp",
            ),
            suppress=False,
        )

    async def say_status(
        self, number: int, status: str, *, connector: int = 1, timestamp: str | None = None
    ) -> None:
        notice = call.StatusNotification(
            timestamp=timestamp or now(ahead_s=self.ahead_s),
            connector_status=status,
            evse_id=number,
            connector_id=connector,
        )
        await self.call(notice, suppress=False)

    async def say_event(
        self,
        kind: str,
        transaction: str,
        *,
        number: int | None = None,
        state: str | None = None,
        token: str | None = None,
        samples: list[dict[str, Any]] | None = None,
        sequence: int | None = None,
        timestamp: str | None = None,
        offline: bool | None = None,
        trigger: str = "ChargingStateChanged",
    ) -> Any:
        """Send a TransactionEvent, numbered on from the last if `sequence` is not given."""
        if sequence is None:
            sequence = self.sequences.get(transaction, -1) + 1
        self.sequences[transaction] = sequence
        at = timestamp or now(ahead_s=self.ahead_s)
        if kind == "Ended":
            self.running = {n: t for n, t in self.running.items() if t != transaction}
        elif number is not None:
            self.running[number] = transaction
        info = {"transactionId": transaction}
        if state is not None:
            info["chargingState"] = state
        return await self.call(
            call.TransactionEvent(
                event_type=kind,
                timestamp=at,
                trigger_reason=trigger,
                seq_no=sequence,
                transaction_info=info,
                offline=offline,
                evse=None if number is None else {"id": number, "connectorId": 1},
                id_token=None if token is None else {"idToken": token, "type": "ISO14443"},
                meter_value=[{"timestamp": at, "sampledValue": samples}] if samples else None,
            ),
            suppress=False,
        )


def _limit_of(profile: dict[str, Any], at: datetime) -> float | None:
    """Return the limit of a profile with one absolute or endless schedule at a time."""
    (schedule,) = profile["charging_schedule"]
    if "valid_to" in profile and at >= datetime.fromisoformat(profile["valid_to"]):
        return None
    if "duration" in schedule and "start_schedule" in schedule:
        start = datetime.fromisoformat(schedule["start_schedule"])
        if not start <= at < start + timedelta(seconds=schedule["duration"]):
            return None
    (period,) = schedule["charging_schedule_period"]
    return float(period["limit"])


@asynccontextmanager
async def station201(
    hall: Hall, identity: str = "CP-01", **options: Any
) -> AsyncIterator[Station201]:
    """Connect a station; it hears calls until the block ends."""
    async with hall.connect(identity, version=OcppVersion.V201) as connection:
        station = Station201(identity, connection, **options)

        async def listen() -> None:
            with contextlib.suppress(ConnectionClosed):
                await station.start()

        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(listen())
            yield station
            listening.cancel()
