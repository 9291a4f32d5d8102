"""Limits and fallbacks of a station of either version, in whatever form it can keep."""

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, Protocol

from drivers.ocpp.adapter import Priority
from drivers.ocpp.leases import (
    Kind,
    Profile,
    Role,
    make_fallback,
    make_lease,
    profile_id,
    quantise_ma,
)
from drivers.ocpp.places import Place, Places
from drivers.ocpp.rpc import ConnectionLostError
from drivers.ocpp.station import StationRecord, ToldConnector
from gateway.domain.charging import CompositePeriod, RateUnit
from gateway.domain.errors import LimitRejectedError, NoPlaceError, StationUnreachableError
from gateway.domain.events import FallbackInstalled
from gateway.domain.ids import ConnectorRef
from gateway.domain.limits import CurrentLimit

ANSWERED_WITHIN_S: Final = 1.0
FLASH_SPENT: Final = "the day's writes to flash are spent"
_NOT_SUPPORTED: Final = frozenset({"NotSupported", "NotImplemented"})


class Words(Protocol):
    """How a version says what limits need said.

    `largest_skew_s`: with a clock further from ours than this, a lease is relative if it can be.
    """

    @property
    def largest_skew_s(self) -> float:
        """Return how far off a clock may be for a lease to be told by it."""

    def transaction_on(self, number: int) -> str | int | None:
        """Return the transaction that runs on a connector."""

    def encode_profile(self, profile: Profile) -> Mapping[str, object]:
        """Return the SetChargingProfile of a profile."""

    def encode_clear(self, profile: int) -> Mapping[str, object]:
        """Return the ClearChargingProfile of the profile of this id."""

    async def clear_whole(self) -> None:
        """Clear what others left for the whole station, where a fallback does not overrule it.

        Raises:
            StationUnreachableError: no answer in time.
        """

    async def make_room(self, profile: Profile, refusal: str) -> bool:
        """Clear what others left in the place of a refused profile; return whether to try again.

        Raises:
            StationUnreachableError: no answer in time.
        """

    async def composite_schedule(
        self, number: int, *, duration_s: int
    ) -> tuple[CompositePeriod, ...]:
        """Return what a connector says its limits add up to. Evidence, not truth.

        Raises:
            LimitRejectedError: the station answered and refused.
            StationUnreachableError: no answer in time.
        """


class Limits:
    """Puts limits into a station as leases over a fallback."""

    __slots__ = ("_places", "_station", "_swept", "_words")

    def __init__(self, station: StationRecord, words: Words) -> None:
        """Tell the station nothing yet."""
        self._station = station
        self._words = words
        self._places = Places()
        self._swept: set[int] = set()
        """The connectors of which nothing is left by an earlier run that a refusal may be due to."""

    async def set_limit(self, number: int, limit: CurrentLimit, *, valid_for: timedelta) -> None:
        """See `StationAdapter`."""
        await self._await_known()
        if not self._is_cut(number, limit):
            await self._await_answered()
        transaction = self._words.transaction_on(number)
        self._forget_lease_of_another(number, transaction)
        if transaction is not None and not self._station.lacks_tx_profile:
            self._check_transaction_lease(number, limit)
            try:
                status = await self._lease(
                    number, limit, valid_for=valid_for, transaction=transaction
                )
            except NoPlaceError:
                if self._is_fallback_enough(number, limit):
                    return
                raise
            if status == "Accepted":
                return
            if status not in _NOT_SUPPORTED:
                raise LimitRejectedError(self._station.id, f"TxProfile: {status}")
            self._station.lacks_tx_profile = True
        if self._is_fallback_enough(number, limit):
            return
        self._check_default_lease(number, limit)
        status = await self._lease(number, limit, valid_for=valid_for, transaction=None)
        if status != "Accepted":
            raise LimitRejectedError(self._station.id, f"TxDefaultProfile: {status}")

    async def _await_known(self) -> None:
        """Wait for the interview: no limit is sent in a form the station may not know."""
        if self._station.link is None:
            raise ConnectionLostError(self._station.id, "not connected")
        if self._station.known.is_given:  # As it is for good after the first interview.
            return
        try:
            async with asyncio.timeout(self._station.context.call_deadline_s):
                await self._station.known.wait_given()
        except TimeoutError as error:
            raise StationUnreachableError(self._station.id, "not interviewed yet") from error

    async def _await_answered(self) -> None:
        """Let an answer to the station that waits for the ledger go first, if it goes soon.

        Until its start is answered a 1.6 station does not know the number a limit names.
        """
        answer = self._station.answering
        if answer is not None and not answer.done():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ANSWERED_WITHIN_S):
                    await asyncio.shield(answer)

    def _forget_lease_of_another(self, number: int, transaction: str | int | None) -> None:
        """Forget a lease that ended with its transaction."""
        connector = self._station.connectors.get(number)
        if connector is not None and connector.leased_to not in (None, transaction):
            connector.lease_ma, connector.lease_until_s = None, 0.0
            connector.leased_to = None

    def _is_fallback_enough(self, number: int, limit: CurrentLimit) -> bool:
        """Return whether the fallback alone says what the limit says: then nothing wears."""
        connector = self._station.connectors.get(number)
        now_s = self._station.clock.monotonic_s()
        return (
            connector is not None
            and self._is_fallback(connector, limit)
            and max(connector.lease_until_s, connector.default_until_s) <= now_s
        )

    def _is_fallback(self, connector: ToldConnector, limit: CurrentLimit) -> bool:
        """Return whether a limit is what the connector has as its fallback, in any unit."""
        is_same = connector.fallback_ma == self._quantise(limit)
        if self._station.form.unit is RateUnit.AMPERES:
            return is_same
        return is_same and connector.fallback_phase_count == limit.phase_count

    def _check_transaction_lease(self, number: int, limit: CurrentLimit) -> None:
        """Refuse a lease told by a clock that is not known, for it might not lapse.

        A cut may be: nothing is drawn the more for its lasting longer.
        """
        is_told_by_clock = self._kind_of_lease() is Kind.ABSOLUTE
        if is_told_by_clock and self._shows_at() is None and not self._is_cut(number, limit):
            detail = "its clock is not known, so a lease might not lapse"
            raise LimitRejectedError(self._station.id, detail)

    def _check_default_lease(self, number: int, limit: CurrentLimit) -> None:
        """Refuse a `TxDefaultProfile` lease where it would not lapse, or would wear too much.

        A station with one level would put it in the fallback's place, and one that does not say
        how many profiles it keeps might.
        """
        known = self._station.capabilities
        detail = ""
        if known is None or (known.stack_level or 0) < 1 or known.profile_count is None:
            detail = "cannot keep a lease above its fallback"
        elif self._station.form.stack_level < 1:
            detail = "takes profiles on level 0 only"
        elif self._shows_at() is None:
            detail = "its clock is not known, so a lease might not lapse"
        elif self._is_flash_spent and not self._is_new_cut(number, limit):
            detail = FLASH_SPENT
        if detail:
            raise LimitRejectedError(self._station.id, f"no transaction to limit, and {detail}")

    async def _lease(
        self,
        number: int,
        limit: CurrentLimit,
        *,
        valid_for: timedelta,
        transaction: str | int | None,
    ) -> str:
        connector = self._station.told(number)
        place = number, Role.DEFAULT_LEASE if transaction is None else Role.TRANSACTION_LEASE
        had_place = await self._take_place(place, transaction)
        now_s = self._station.clock.monotonic_s()
        until_s = now_s + valid_for.total_seconds()
        if transaction is None:
            self._station.flash.count()
        is_urgent = self._is_cut(number, limit) or not connector.is_leased(now_s)
        profile = make_lease(
            number,
            limit,
            form=self._station.form,
            kind=self._kind_of_lease(),
            valid_for=valid_for,
            # By our clock if its own is not known: only what needs none, or a cut, is sent then.
            station_at=self._shows_at() or self._station.clock.now_at(),
            transaction=transaction,
        )
        lease_ma = self._quantise(limit)
        # Before it is sent: whoever waits for the answer may give up while it is on its way.
        connector.note_sending(lease_ma, until_s=until_s, transaction=transaction, now_s=now_s)
        status = await self._install(
            profile,
            priority=Priority.SAFETY if is_urgent else Priority.ALLOCATION,
            key=f"limit {number}",
        )
        if status == "Accepted":
            connector.note_accepted(lease_ma, until_s=until_s)
        elif not had_place:
            self._places.give_back(place)
        return status

    async def _take_place(self, place: Place, transaction: str | int | None = None) -> bool:
        """Take a place before its profile is sent; return whether it was taken already.

        Where there are too few, leases that are in force no more give theirs, and before a
        fallback those above their fallbacks as well.

        Raises:
            NoPlaceError: there is none.
            StationUnreachableError: no answer in time.
        """
        places, known = self._places, self._station.capabilities
        places.forget_ended(self._words.transaction_on)
        if places.has(place):
            return True
        most = None if known is None else known.profile_count
        if most is not None:
            for lease in places.leases():
                if places.count_with(place, self._station.connectors) <= most:
                    break
                if self._may_give_way(lease, place):
                    await self._clear_lease(lease)
            needed = places.count_with(place, self._station.connectors)
            if needed > most:
                what = "fallback" if place[1] is Role.FALLBACK else "limit beside the fallbacks"
                detail = (
                    f"with this {what} {needed} charging profiles are needed, and it keeps {most}"
                )
                raise NoPlaceError(self._station.id, detail)
        places.take(place, transaction)
        return False

    def _may_give_way(self, lease: Place, to: Place) -> bool:
        """Return whether a lease may be cleared for another profile: nothing must rise by it."""
        number, role = lease
        connector, is_default = self._station.told(number), role is Role.DEFAULT_LEASE
        until_s = connector.default_until_s if is_default else connector.lease_until_s
        if until_s <= self._station.clock.monotonic_s():
            return True
        if to[1] is not Role.FALLBACK and lease != (to[0], Role.DEFAULT_LEASE):
            return False
        fallback_ma = connector.fallback_ma
        return fallback_ma is not None and (connector.lease_ma or 0) >= fallback_ma

    async def _install(self, profile: Profile, *, priority: Priority, key: str) -> str:
        payload = self._words.encode_profile(profile)
        status = await self._station.ask("SetChargingProfile", payload, priority=priority, key=key)
        if status == "Accepted" or status in _NOT_SUPPORTED:
            return status
        has_room = await self._words.make_room(profile, status)
        if not has_room and not await self._clear_own(profile):
            return status
        return await self._station.ask("SetChargingProfile", payload, priority=priority, key=key)

    async def _clear_own(self, profile: Profile) -> bool:
        """Clear our lease for no transaction that one for a transaction makes needless.

        Return whether there was one: it has a place where places may be few. Below the fallback
        it stays while it is in force, for what falls back must not rise.
        """
        place, default = (profile.number, profile.role), (profile.number, Role.DEFAULT_LEASE)
        # An earlier run's may have its place still; should it be below the fallback and in force,
        # the connector counts at its fallback for one lease after our start (design §3).
        is_left = self._station.is_remembered and profile.number not in self._swept
        if profile.role is not Role.TRANSACTION_LEASE or not (is_left or self._places.has(default)):
            return False
        if not self._may_give_way(default, place):
            return False
        await self._clear_lease(default)
        self._swept.add(profile.number)
        return True

    async def _clear_lease(self, lease: Place) -> None:
        """Clear a lease of ours, so that its place is free."""
        number, role = lease
        await self._clear(number, role)
        self._places.give_back(lease)
        connector, is_default = self._station.told(number), role is Role.DEFAULT_LEASE
        if is_default:
            connector.default_until_s = 0.0
        if is_default is (connector.leased_to is None):  # It was the newest.
            connector.lease_ma, connector.lease_until_s = None, 0.0

    async def _clear(self, number: int, role: Role) -> None:
        # "Unknown" is as good as "Accepted": there is none.
        await self._station.ask(
            "ClearChargingProfile",
            self._words.encode_clear(profile_id(number, role)),
            priority=Priority.ALLOCATION,
        )

    def _kind_of_lease(self) -> Kind:
        """Return absolute where the station's clock is known to be near, else relative.

        A relative lease needs no clock; where the station counts it from the transaction's
        start it may be over when it arrives, which errs to the fallback.
        """
        shows_at, now_at = self._shows_at(), self._station.clock.now_at()
        is_near = (
            shows_at is not None
            and abs((shows_at - now_at).total_seconds()) <= self._words.largest_skew_s
        )
        if not self._station.quirks.has_relative or (self._station.quirks.has_absolute and is_near):
            return Kind.ABSOLUTE
        return Kind.RELATIVE

    def _shows_at(self) -> datetime | None:
        """Return what the station's clock shows now, None if not known."""
        return self._station.time.shows_at(self._station.clock.monotonic_s())

    def _is_cut(self, number: int, limit: CurrentLimit) -> bool:
        """Return whether a limit is lower than what the connector was last told."""
        connector = self._station.connectors.get(number, ToldConnector())
        is_leased = connector.is_leased(self._station.clock.monotonic_s())
        before_ma = connector.lease_ma if is_leased else connector.fallback_ma
        return before_ma is not None and self._quantise(limit) < before_ma

    def _is_new_cut(self, number: int, limit: CurrentLimit) -> bool:
        """Return whether a limit is a cut of a lease in force, or lower than the last one told.

        What lapsed because it was not renewed is not told over and over: the fallback holds.
        """
        connector = self._station.connectors.get(number, ToldConnector())
        is_again = (
            not connector.is_leased(self._station.clock.monotonic_s())
            and connector.default_ma is not None
            and self._quantise(limit) >= connector.default_ma
        )
        return not is_again and self._is_cut(number, limit)

    @property
    def _is_flash_spent(self) -> bool:
        """Return whether the day's writes, of leases and fallbacks together, are spent."""
        return self._station.flash.is_spent()

    def _quantise(self, limit: CurrentLimit) -> int:
        return quantise_ma(limit.limit_ma, step_ma=self._station.quirks.step_ma)

    async def set_fallback(self, number: int, limit: CurrentLimit) -> None:
        """See `StationAdapter`."""
        await self._await_known()
        connector = self._station.told(number)
        fallback_ma = self._quantise(limit)
        if not self._is_fallback(connector, limit):
            place = number, Role.FALLBACK
            known_ma = connector.fallback_ma
            if known_ma is not None and fallback_ma >= known_ma and self._is_flash_spent:
                raise LimitRejectedError(self._station.id, f"fallback: {FLASH_SPENT}")
            had_place = await self._take_place(place)
            connector.fallback_ma = None  # Not known, should the answer be lost.
            await self._clear_whole()
            try:
                await self._write_fallback(number, limit)
            except LimitRejectedError:
                if not had_place:
                    self._places.give_back(place)
                raise
            connector.fallback_ma = fallback_ma
            connector.fallback_phase_count = limit.phase_count
        self._station.context.post(
            FallbackInstalled(
                at_s=self._station.clock.monotonic_s(),
                connector=ConnectorRef(self._station.id, number),
                fallback_ma=fallback_ma,
            )
        )
        if not connector.is_alone:
            self._station.interview_again()

    async def _clear_whole(self) -> None:
        """Clear what others left for the whole station, before its first fallback after a boot.

        Not later: a station might take the whole for each of its connectors, and ours with them.
        One that does not answer is not asked again: it gets its fallback all the same.
        """
        if self._station.is_cleared:
            return
        self._station.is_cleared = True
        try:
            await self._words.clear_whole()
        except ConnectionLostError:
            self._station.is_cleared = False
            raise

    async def _write_fallback(self, number: int, limit: CurrentLimit) -> None:
        kinds = [Kind.RELATIVE] if self._station.quirks.has_relative else []
        kinds += [Kind.ABSOLUTE] if self._station.quirks.has_absolute else []
        status = ""
        for kind in kinds:
            self._station.flash.count()
            status = await self._install(
                make_fallback(number, limit, form=self._station.form, kind=kind),
                priority=Priority.SAFETY,
                key=f"fallback {number}",
            )
            if status == "Accepted":
                return
        raise LimitRejectedError(self._station.id, f"fallback: {status}")

    async def clear_lease(self, number: int) -> None:
        """End a connector's lease before its time: the fallback holds at once.

        Raises:
            StationUnreachableError: no answer in time.
        """
        for role in (Role.TRANSACTION_LEASE, Role.DEFAULT_LEASE):
            await self._clear(number, role)
            self._places.give_back((number, role))
        connector = self._station.connectors.get(number)
        if connector is not None:
            connector.lease_ma, connector.lease_until_s = None, 0.0
            connector.default_until_s = 0.0
