"""What an OCPP 2.0.1 station is asked: its device model, its transactions, others' profiles."""

import asyncio
import logging
from dataclasses import replace
from functools import partial
from typing import Final

from drivers.ocpp.adapter import Priority
from drivers.ocpp.interview import write_first_taken
from drivers.ocpp.leases import LEVELS, Role
from drivers.ocpp.quirks import find_quirks
from drivers.ocpp.rpc import CallRefusedError, ConnectionLostError
from drivers.ocpp.v201_limits import V201Words
from drivers.ocpp.v201_reports import Report
from drivers.ocpp.v201_station import V201Station
from drivers.ocpp.v201_variables import (
    AVAILABILITY,
    MODEL,
    PROFILES,
    STATUSES,
    VENDOR,
    WANTED,
    Model,
    Reported,
    VariableName,
    find_changes,
    merge,
    read_capabilities,
    read_reports,
    read_variables,
)
from gateway.domain.charging import EndCause
from gateway.domain.errors import StationUnreachableError

MAX_FOREIGN_LEVEL: Final = 8  # Higher ones exist on paper; each costs a call at adoption.
TRIGGERED_PATIENCE_S: Final = 2.0
INVENTORY_PATIENCE_S: Final = 60.0

_UNKNOWN_CALL: Final = frozenset({"NotSupported", "NotImplemented"})

_log = logging.getLogger(__name__)


class V201Questions:
    """Asks a station in the words of 2.0.1."""

    __slots__ = ("_has_cleared_leases", "_inventory", "_station", "_words")

    def __init__(self, station: V201Station, words: V201Words) -> None:
        """Ask nothing yet."""
        self._station = station
        self._words = words
        # Those of a run that remembers them have the ids of today and are replaced one by one.
        self._has_cleared_leases = station.is_remembered
        self._inventory: tuple[str, Model] | None = None

    async def ask_who_it_is(self) -> None:
        """See `Questions`. One that somebody else has accepted says no (F06.FR.17)."""
        if not self._station.has_make:
            await self._invite("BootNotification")

    async def _invite(
        self, message: str, *, number: int | None = None, connector: int | None = None
    ) -> bool:
        """Return whether the station will send a message."""
        try:
            status = await self._station.trigger(
                message, number=number, connector=connector, priority=Priority.INTERVIEW
            )
        except ConnectionLostError:
            raise
        except StationUnreachableError:
            self._station.counters["trigger-unanswered"] += 1
            return False
        return status == "Accepted"

    # What it can do.

    async def learn(self) -> None:
        """See `Questions`."""
        model = await self.get_variables(WANTED)
        self._note_make(model)
        status = STATUSES.get(model.get(AVAILABILITY, Reported()).value or "")
        if status is not None:  # No StatusNotification of the whole can be asked for (F06).
            self._station.post_status(status)
        if not self._has_cleared_leases:
            await self._clear_leases()
            self._has_cleared_leases = True
        self._publish(model, is_first=True)
        model = merge(model, await self._read_report())
        self._publish(model)
        changes = find_changes(
            model,
            quirks=self._station.quirks,
            interval_s=self._station.context.sample_interval_s,
        )
        changed = dict(model)
        for change in changes:
            write = partial(self.set_variable, change.name)
            value = await write_first_taken(change.values, write, self._station.counters)
            if value is not None:
                changed[change.name] = Reported(value=value, most=model[change.name].most)
        self._publish(changed)

    def _note_make(self, model: Model) -> None:
        """Take vendor and model from the device model where no boot told them."""
        if self._station.has_make:
            return
        vendor, make = (model.get(name, Reported()).value or "" for name in (VENDOR, MODEL))
        self._station.quirks = find_quirks(vendor, make)
        self._station.lacks_tx_profile |= not self._station.quirks.has_tx_profile

    def _publish(self, model: Model, *, is_first: bool = False) -> None:
        """Publish what is known, once after each boot and then only what is new."""
        station = self._station
        capabilities = read_capabilities(
            model, vendor=station.vendor, model_name=station.model, firmware=station.firmware
        )
        if is_first or capabilities != station.capabilities:
            station.publish(capabilities)

    async def get_variables(self, names: tuple[VariableName, ...]) -> Model:
        """Return what the station says of variables; those it does not know are left out.

        Raises:
            StationUnreachableError: no answer in time.
        """
        payload = {"getVariableData": [name.encode() for name in names]}
        try:
            answer = await self._station.call("GetVariables", payload, priority=Priority.INTERVIEW)
        except CallRefusedError as error:
            if len(names) == 1 or error.code in _UNKNOWN_CALL:
                self._station.counters["no-variables"] += 1
                return {}
        else:
            return read_variables(answer)
        # Too many for one message (B06.FR.16): half of them, and the other half.
        half = len(names) // 2
        return merge(await self.get_variables(names[:half]), await self.get_variables(names[half:]))

    async def _read_report(self) -> Model:
        """Return what only a report tells: limits of variables, and which are fixed."""
        try:
            reports = await self.get_report((*WANTED, PROFILES))
            model = read_reports(reports or ())
            if PROFILES not in model:
                model = merge(await self._read_inventory(), model)
        except ConnectionLostError:
            raise
        except StationUnreachableError as error:
            _log.info("goes on without a report: %s", error)
            self._station.counters["report-missing"] += 1
            return {}
        return {name: model[name] for name in (*WANTED, PROFILES) if name in model}

    async def _read_inventory(self) -> Model:
        """Return the whole device model; it is long, so it is read once for each firmware."""
        if self._inventory is None or self._inventory[0] != self._station.firmware:
            reports = await self.get_base_report()
            whole = read_reports(reports or ())
            kept = {name: whole[name] for name in (*WANTED, PROFILES) if name in whole}
            self._inventory = self._station.firmware, kept
        # Values may have changed since; what they may be has not.
        return {name: replace(row, value=None) for name, row in self._inventory[1].items()}

    async def get_report(self, names: tuple[VariableName, ...]) -> list[Report] | None:
        """Return what the station reports of variables, None if it knows no such report.

        Raises:
            StationUnreachableError: no answer in time, or the report did not come whole.
        """
        return await self._station.reports.collect(
            "GetReport",
            {"componentVariable": [name.encode() for name in names]},
            priority=Priority.INTERVIEW,
        )

    async def get_base_report(self, kind: str = "FullInventory") -> list[Report] | None:
        """Return the whole device model, None if the station does not give it.

        Raises:
            StationUnreachableError: no answer in time, or the report did not come whole.
        """
        return await self._station.reports.collect(
            "GetBaseReport",
            {"reportBase": kind},
            priority=Priority.INTERVIEW,
            patience_s=INVENTORY_PATIENCE_S,
        )

    async def set_variable(self, name: VariableName, value: str) -> str:
        """Set a variable; return its SetVariableStatus, or the code of the CALLERROR.

        Raises:
            StationUnreachableError: no answer in time.
        """
        payload = {"setVariableData": [{**name.encode(), "attributeValue": value}]}
        try:
            answer = await self._station.call("SetVariables", payload, priority=Priority.INTERVIEW)
        except CallRefusedError as error:
            return error.code
        rows = answer.get("setVariableResult")
        return str(rows[0]["attributeStatus"]) if isinstance(rows, list) else ""

    # What others left, or we in an earlier run.

    async def _clear_leases(self) -> None:
        """Clear the leases of an earlier run, whatever their ids.

        What then holds is the fallback, which is proven to fit.
        """
        await self._clear({"chargingProfilePurpose": "TxProfile"})
        await self._clear(
            {
                "chargingProfilePurpose": "TxDefaultProfile",
                "stackLevel": LEVELS[Role.DEFAULT_LEASE],
            }
        )

    async def clear_foreign(self, number: int) -> None:
        """See `Questions`: what lies above our fallback overrules it (K01.FR.17).

        One on EVSE 0 holds for every EVSE (K01.FR.14).
        """
        installed = await self._words.read_profiles("TxDefaultProfile")
        if installed is not None:
            foreign = [p for p in installed if p.number in (number, 0) and not p.is_ours]
            await self._words.clear(foreign, priority=Priority.DIAGNOSTICS)
            return
        await self._clear({"evseId": 0, "chargingProfilePurpose": "TxDefaultProfile"})
        top = min(self._station.form.stack_level, MAX_FOREIGN_LEVEL)
        for level in range(LEVELS[Role.DEFAULT_LEASE] + 1, top + 1):
            await self._clear(
                {
                    "evseId": number,
                    "chargingProfilePurpose": "TxDefaultProfile",
                    "stackLevel": level,
                }
            )

    async def _clear(self, criteria: dict[str, object]) -> None:
        await self._station.ask(
            "ClearChargingProfile",
            {"chargingProfileCriteria": criteria},
            priority=Priority.INTERVIEW,
        )

    # What goes on there.

    async def look_around(self) -> None:
        """See `Questions`: meet the EVSEs, find the transactions that run or no longer do."""
        station = self._station
        for transaction in tuple(station.doubtful):
            await self._settle_doubt(transaction)
        for number in station.numbers():
            is_met = number in station.met
            station.met.add(number)
            if not is_met and not station.has_booted:  # After a boot it tells by itself.
                for connector in station.connectors_of(number):
                    await self._invite("StatusNotification", number=number, connector=connector)
            if station.book.running_on(number) is None and (not is_met or station.sought):
                await self._find_transaction(number)

    async def _settle_doubt(self, transaction: str) -> None:
        """Ask whether a transaction still runs, and if not, enter its end (E14)."""
        station = self._station
        try:
            answer = await station.call(
                "GetTransactionStatus",
                {"transactionId": transaction},
                priority=Priority.INTERVIEW,
            )
        except CallRefusedError:
            answer = {}
        if transaction not in station.doubtful:  # It was heard of meanwhile.
            return
        station.doubtful.discard(transaction)
        is_ongoing = answer.get("ongoingIndicator")
        if is_ongoing is False and not answer.get("messagesInQueue"):
            station.end_unheard(transaction, cause=EndCause.DENIED)
        elif is_ongoing is None and station.has_booted and not answer.get("messagesInQueue"):
            station.unsettled.add(transaction)
            await self._settle_by_evse(transaction)

    async def _settle_by_evse(self, transaction: str) -> None:
        """End a transaction of before a boot whose EVSE is free, or has none to tell of.

        Where the EVSE is told to be free only later, it is ended then. One that goes on after all
        tells so, and begins anew.
        """
        station = self._station
        number = dict(station.book.running()).get(transaction)
        if number is None:
            return
        station.end_lost(number)
        if transaction not in station.unsettled:
            return
        status = await station.trigger(
            "TransactionEvent", number=number, priority=Priority.INTERVIEW
        )
        if status.startswith("Rejected") and transaction in station.unsettled:
            station.end_unheard(transaction, cause=EndCause.LOST_IN_REBOOT)

    async def _find_transaction(self, number: int) -> None:
        """Have an EVSE tell of its transaction, if it has one.

        The event names the transaction and need not name the EVSE (E01): it is the one asked.
        """
        station = self._station
        station.answered.take_back()
        station.asked = number
        try:
            if await self._invite("TransactionEvent", number=number):
                async with asyncio.timeout(TRIGGERED_PATIENCE_S):
                    await station.answered.wait_given()
        except TimeoutError:
            station.counters["trigger-unanswered"] += 1
        finally:
            station.asked = None
