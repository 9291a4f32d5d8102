"""A book of promises, and the vehicles that come for them, in virtual time."""

from datetime import timedelta

from gateway.control.parameters import ControlParameters
from gateway.control.wiring import Wiring
from gateway.domain.access import Access, Role
from gateway.domain.charging import EndCause
from gateway.domain.events import (
    ConnectorMetered,
    StationConnected,
    StationDisconnected,
    TransactionEnded,
    TransactionStarted,
)
from gateway.domain.ids import ConnectorRef, StationId, TransactionId
from gateway.domain.memory import PromiseMemory
from gateway.domain.needs import Need
from gateway.domain.promises import Reservation
from gateway.domain.sessions import Session
from gateway.planning.absence import Away
from gateway.services.booking import Booking
from gateway.services.feed import Feed
from gateway.services.steady_clock import SteadyClock
from tests.support.small_site import small_site
from tests.support.virtual_time import VirtualClock

FIRST, SECOND = (ConnectorRef(StationId(f"CP-0{n}"), 1) for n in (1, 2))
THIRD = ConnectorRef(StationId("CP-03"), 1)
VANS = Access(name="vans", role=Role.VEHICLE_OPERATOR)
OTHERS = Access(name="others", role=Role.VEHICLE_OPERATOR)
OPERATOR = Access(name="desk", role=Role.OPERATOR)
KWH = 20.0


class House:
    """A book of promises, and the vehicles that come for them, in virtual time."""

    def __init__(
        self,
        memory: dict[str, PromiseMemory] | None = None,
        were_there: tuple[Session, ...] = (),
        leaves_at_h: float | None = None,
        off_for_h: float = 0.0,
        *,
        is_in_reach: bool = True,
    ) -> None:
        """Begin; `off_for_h` is how long ago the wall clock says something was last written down.

        Without `is_in_reach` no station has dialled yet.
        """
        self.clock = VirtualClock()
        leaves_at_s: float | None = None
        if leaves_at_h is not None:
            leaves_at_s = self.clock.now_at().timestamp() + leaves_at_h * 3_600
        self._away: dict[str, Away] = {}
        noted_at = self.clock.now_at() - timedelta(hours=off_for_h)
        steady = SteadyClock(self.clock, least_at=noted_at)
        self.booking = Booking(
            Wiring.of(small_site(3)),
            ControlParameters(),
            clock=steady,
            feed=Feed(steady),
            remembered=memory,
            were_there=were_there,
            doubt_s=steady.doubt_s,
            leaves_at_s=lambda: {} if leaves_at_s is None else {str(FIRST): leaves_at_s},
        )
        for each in (FIRST, SECOND, THIRD) if is_in_reach else ():
            self.is_back(each.station)

    async def promise(
        self,
        *,
        id_token: str | None = None,
        reference: str | None = None,
        by: Access = VANS,
        connector: ConnectorRef = FIRST,
        from_h: float = 1.0,
        until_h: float = 3.0,
        kwh: float = KWH,
        arrive_slack_h: float = 0.0,
        depart_slack_h: float = 0.0,
        is_confirmed: bool = True,
    ) -> Reservation:
        """Return a promise, of 20 kWh at the first connector from 1 h to 3 h from now, or its hold."""
        wanted = Need(
            arrive_at=self.clock.now_at() + timedelta(hours=from_h),
            depart_at=self.clock.now_at() + timedelta(hours=until_h),
            energy_wh=int(kwh * 1_000),
            connector=connector,
            id_token=id_token,
            reference=reference,
            arrive_slack_s=arrive_slack_h * 3_600,
            depart_slack_s=depart_slack_h * 3_600,
        )
        held = await self.booking.hold(self.booking.quote(wanted, by).offers[0].id, by)
        return await self.booking.confirm(held.id, by) if is_confirmed else held

    def comes(
        self,
        connector: ConnectorRef = FIRST,
        id_token: str | None = None,
        number: int = 1,
        *,
        starts_kwh: float | None = None,
        min_ago: float = 0.0,
    ) -> None:
        """Let a vehicle come, or be told to have come `min_ago` when the meter showed `starts_kwh`."""
        self.booking.hear(
            TransactionStarted(
                at_s=self.clock.monotonic_s(),
                connector=connector,
                transaction=TransactionId(str(number)),
                id_token=id_token,
                meter_start_wh=None if starts_kwh is None else starts_kwh * 1_000,
                age_s=min_ago * 60,
            )
        )

    def is_lost(self, station: StationId = FIRST.station) -> None:
        """Let the connection of a station be gone."""
        self.booking.hear(StationDisconnected(at_s=self.clock.monotonic_s(), station=station))

    def is_back(self, station: StationId = FIRST.station) -> None:
        """Let a station dial."""
        self.booking.hear(StationConnected(at_s=self.clock.monotonic_s(), station=station))

    def leaves(
        self,
        connector: ConnectorRef = FIRST,
        number: int = 1,
        cause: EndCause = EndCause.TOLD,
        *,
        min_ago: float = 0.0,
    ) -> None:
        """Let a vehicle leave, or be told to have left `min_ago`."""
        self.booking.hear(
            TransactionEnded(
                at_s=self.clock.monotonic_s(),
                connector=connector,
                transaction=TransactionId(str(number)),
                cause=cause,
                age_s=min_ago * 60,
            )
        )

    def shows(self, kwh: float, connector: ConnectorRef = FIRST, *, min_ago: float = 0.0) -> None:
        self.booking.hear(
            ConnectorMetered(
                at_s=self.clock.monotonic_s(),
                connector=connector,
                energy_wh=kwh * 1_000,
                age_s=min_ago * 60,
            )
        )

    def draws(self, power_w: float, connector: ConnectorRef = FIRST) -> None:
        """Let a station tell its power alone."""
        self.booking.hear(
            ConnectorMetered(at_s=self.clock.monotonic_s(), connector=connector, power_w=power_w)
        )

    def is_away(self, *connectors: ConnectorRef) -> None:
        """Let these connectors be faulted from now on, and all others be well."""
        now_s = self.clock.now_at().timestamp()
        self._away = {
            str(each): Away(what=str(each), how="faulted", since_at_s=now_s, began_at_s=now_s)
            for each in connectors
        }

    async def passes(self, minutes: float, *, limit_a: float = 0.0) -> None:
        """Let time pass, all connectors being allowed so much."""
        for _ in range(round(minutes * 20)):  # As in the daemon: each few seconds.
            self.booking.miss(self._away)
            self.booking.allow(lambda _: int(limit_a * 1_000), at_s=self.clock.monotonic_s())
            await self.clock.sleep_s(3)
            self.booking.settle()

    def of(self, promise: Reservation) -> Reservation:
        (found,) = (p for p in self.booking.reservations(OPERATOR) if p.id == promise.id)
        return found

    def memory_of(self, promise: Reservation) -> PromiseMemory:
        """Return what a later life remembers of an open promise."""
        return self.booking._shelf.of(promise.id)
