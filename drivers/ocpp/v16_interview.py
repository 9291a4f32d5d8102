"""The interview of an OCPP 1.6 station: what it can do, and what we set up before limits."""

import asyncio
import contextlib
import logging
from typing import Final

from drivers.ocpp.adapter import Priority
from drivers.ocpp.rpc import CallRefusedError, ConnectionLostError
from drivers.ocpp.v16_configuration import (
    KEYS,
    Change,
    Setting,
    Settings,
    find_changes,
    read_capabilities,
    read_settings,
    shortest_interval_s,
)
from drivers.ocpp.v16_profiles import LEVELS, Role
from drivers.ocpp.v16_station import V16Station
from gateway.domain.errors import StationUnreachableError
from gateway.domain.events import CapabilitiesRead

RETRY_AFTER_S: Final = 60.0
MAX_FOREIGN_LEVEL: Final = 8  # Higher ones exist on paper; each costs a call at adoption.

_log = logging.getLogger(__name__)


class V16Interview:
    """Learns a station at its first connection and after every boot."""

    __slots__ = ("_has_cleared_leases", "_station", "is_greeted")

    def __init__(self, station: V16Station) -> None:
        """Ask nothing before `interview`."""
        self._station = station
        self._has_cleared_leases = False
        self.is_greeted = False  # On this connection.

    async def run(self) -> None:
        """Do as `Conversation.interview`."""
        if not self.is_greeted:
            await self._greet()
            self.is_greeted = True
        while True:
            try:
                async with self._station.context.interview_slots:
                    await self._do_due_work()
            except ConnectionLostError:
                raise
            except StationUnreachableError as error:
                _log.info("asked again in a while: %s", error)
            else:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY_AFTER_S):
                    await self._station.booted.wait_given()

    async def _greet(self) -> None:
        """Wait a little for a boot; a station that only reconnected is asked who and how it is.

        It may not know how to say (then we know it from before, or never), or not even answer.
        """
        try:
            async with asyncio.timeout(self._station.context.boot_patience_s):
                await self._station.booted.wait_given()
        except TimeoutError:
            self._station.counters["boot-asked-for"] += 1
            for message in ("BootNotification", "StatusNotification"):
                try:
                    await self._station.trigger(message, priority=Priority.INTERVIEW)
                except ConnectionLostError:
                    raise
                except StationUnreachableError:
                    self._station.counters["trigger-unanswered"] += 1

    async def _do_due_work(self) -> None:
        if not self._station.is_learnt:
            self._station.booted.take_back()
            self._station.is_learnt = True  # A boot meanwhile makes it untrue again.
            try:
                await self._learn()
            except StationUnreachableError:
                self._station.is_learnt = False
                raise
        for number, connector in tuple(self._station.connectors.items()):
            if connector.fallback_ma is not None and not connector.is_alone:
                await self._clear_foreign(number)
                connector.is_alone = True

    async def _learn(self) -> None:
        settings = await self._read_settings()
        if not self._has_cleared_leases:
            await self._clear_leases()
            self._has_cleared_leases = True
        self._publish(settings)
        changed = dict(settings)
        for change in find_changes(
            settings,
            quirks=self._station.quirks,
            interval_s=self._station.context.sample_interval_s,
        ):
            value = await self._change(change)
            if value is not None:
                changed[change.key] = Setting(value=value, is_fixed=False)
        if shortest_interval_s(changed) != shortest_interval_s(settings):
            self._publish(changed)

    async def _read_settings(self) -> Settings:
        try:
            return await self.read_configuration(KEYS)
        except CallRefusedError:
            pass  # Some know no list, or not so long a one: all of them then.
        try:
            return await self.read_configuration(())
        except CallRefusedError:
            self._station.counters["no-configuration"] += 1
            return {}

    def _publish(self, settings: Settings) -> None:
        self._station.capabilities = read_capabilities(
            settings,
            vendor=self._station.vendor,
            model=self._station.model,
            firmware=self._station.firmware,
        )
        self._station.known.give()
        self._station.context.post(
            CapabilitiesRead(
                at_s=self._station.clock.monotonic_s(),
                station=self._station.id,
                capabilities=self._station.capabilities,
            )
        )

    async def _change(self, change: Change) -> str | None:
        """Return the value the station took, None if it took none for now."""
        for value in change.values:
            status = await self.change_configuration(change.key, value)
            if status != "Rejected":
                return value if status == "Accepted" else None
        self._station.counters["configuration-refused"] += 1
        return None

    async def _clear_leases(self) -> None:
        """Clear the leases of an earlier run, whatever their ids.

        What then holds is the fallback, which is proven to fit.
        """
        for criteria in (
            {"chargingProfilePurpose": "TxProfile"},
            {
                "chargingProfilePurpose": "TxDefaultProfile",
                "stackLevel": LEVELS[Role.DEFAULT_LEASE],
            },
        ):
            await self._station.ask("ClearChargingProfile", criteria, priority=Priority.INTERVIEW)

    async def _clear_foreign(self, number: int) -> None:
        """Clear what others left above our fallback: it would overrule it (1.6 §3.13.2)."""
        top = min(self._station.form.stack_level, MAX_FOREIGN_LEVEL)
        for level in range(LEVELS[Role.DEFAULT_LEASE] + 1, top + 1):
            criteria = {
                "connectorId": number,
                "chargingProfilePurpose": "TxDefaultProfile",
                "stackLevel": level,
            }
            await self._station.ask("ClearChargingProfile", criteria, priority=Priority.DIAGNOSTICS)

    async def read_configuration(self, keys: tuple[str, ...]) -> Settings:
        """Return the configuration keys named, all of them if none is.

        Raises:
            CallRefusedError: the station answered with an error.
            StationUnreachableError: no answer in time.
        """
        payload = {"key": list(keys)} if keys else {}
        answer = await self._station.call("GetConfiguration", payload, priority=Priority.INTERVIEW)
        return read_settings(answer)

    async def change_configuration(self, key: str, value: str) -> str:
        """Change a key; return Accepted, RebootRequired, NotSupported, Rejected or an error code.

        Raises:
            StationUnreachableError: no answer in time.
        """
        payload = {"key": key, "value": value}
        return await self._station.ask("ChangeConfiguration", payload, priority=Priority.INTERVIEW)
