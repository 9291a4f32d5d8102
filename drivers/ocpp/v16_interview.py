"""What an OCPP 1.6 station is asked: its configuration, and what we want of it."""

from functools import partial
from typing import Final

from drivers.ocpp.adapter import Priority
from drivers.ocpp.interview import write_first_taken
from drivers.ocpp.leases import LEVELS, Role
from drivers.ocpp.rpc import CallRefusedError, ConnectionLostError
from drivers.ocpp.v16_configuration import (
    KEYS,
    Setting,
    Settings,
    find_changes,
    read_capabilities,
    read_settings,
    shortest_interval_s,
)
from drivers.ocpp.v16_station import V16Station
from gateway.domain.errors import StationUnreachableError

MAX_FOREIGN_LEVEL: Final = 8  # Higher ones exist on paper; each costs a call at adoption.


class V16Questions:
    """Asks a station in the words of 1.6."""

    __slots__ = ("_has_cleared_leases", "_station")

    def __init__(self, station: V16Station) -> None:
        """Ask nothing yet."""
        self._station = station
        # Those of a run that remembers them have the ids of today and are replaced one by one.
        self._has_cleared_leases = station.is_remembered

    async def ask_who_it_is(self) -> None:
        """See `Questions`."""
        boot = () if self._station.has_make else ("BootNotification",)
        for message in (*boot, "StatusNotification"):
            try:
                await self._station.trigger(message, priority=Priority.INTERVIEW)
            except ConnectionLostError:
                raise
            except StationUnreachableError:
                self._station.counters["trigger-unanswered"] += 1

    async def learn(self) -> None:
        """See `Questions`."""
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
            write = partial(self.change_configuration, change.key)
            value = await write_first_taken(change.values, write, self._station.counters)
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
        self._station.publish(
            read_capabilities(
                settings,
                vendor=self._station.vendor,
                model=self._station.model,
                firmware=self._station.firmware,
            )
        )

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

    async def clear_foreign(self, number: int) -> None:
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

    async def look_around(self) -> None:
        """See `Questions`: nothing else is open in 1.6."""
