"""What is known around the book of promises: who stands where and until when, what is away, what is planned."""

from collections.abc import Callable, Mapping
from datetime import tzinfo

from gateway.domain.needs import Need
from gateway.domain.promises import PromiseState, Reservation
from gateway.domain.tokens import is_same
from gateway.planning.absence import BACK_WITHIN_S, Away
from gateway.planning.asking import LATE_S, Asked, Places, Vehicles, asked_of
from gateway.planning.book import Book, BookError
from gateway.planning.circumstances import Circumstances
from gateway.planning.quote_words import clock_said
from gateway.planning.room import Room
from gateway.planning.standing_plan import StandingPlan
from gateway.planning.takers import occupied_said
from gateway.services.deliveries import Deliveries
from gateway.services.planned_charging import PlannedCharging
from gateway.services.quote_shelf import QUOTE_VALID_S

OCCUPIED_FOR_S = 3_600.0
"""How long a connector with a vehicle that has said nothing is taken to stay occupied."""


class Surroundings:
    """What a question is answered in, and a promise is seen in, beside the book itself.

    Instants are seconds since the epoch, by the wall clock.
    """

    def __init__(
        self,
        places: Places,
        zone: tzinfo,
        *,
        deliveries: Deliveries,
        leaves_at_s: Callable[[], Mapping[str, float]],
        vehicles: Vehicles,
    ) -> None:
        """Wire it: `leaves_at_s` tells when vehicles leave of which that was said, by connector."""
        self.places, self.zone = places, zone
        self._deliveries, self._leaves_at_s, self._vehicles = deliveries, leaves_at_s, vehicles
        self._planned = PlannedCharging(lambda: None)
        self.away: Mapping[str, Away] = {}

    def go_by(self, plan_now: Callable[[], StandingPlan | None]) -> None:
        """Go by the plan for those who were promised nothing: `plan_now` tells it."""
        self._planned = PlannedCharging(plan_now)

    def asked(self, need: Need, book: Book, now_s: float) -> Asked:
        """Return what a need asks of a book.

        Raises:
            AskError: it cannot be answered as it was said.
        """
        return asked_of(
            need,
            self.places,
            from_at_s=book.from_at_s,
            now_s=now_s,
            end_s=book.from_at_s + book.room.grid.edges_s[-1],
            vehicles=self._vehicles,
        )

    def own_place(self, need: Need, holder: str) -> frozenset[str]:
        """Return the connector at which the vehicle is for which a holder asks, if that is known."""
        place = self._deliveries.place_named(
            holder,
            id_token=need.id_token,
            reference=need.reference,
            place=None if need.connector is None else str(need.connector),
        )
        return frozenset() if place is None else frozenset({place})

    def its_promise(
        self, asked: Asked, need: Need, holder: str, book: Book, now_s: float
    ) -> Reservation | None:
        """Return what a vehicle is being given at a connector by a promise, if more is asked for it there.

        That is for now on, by who holds that promise: whoever asks for later may want both.
        """
        place = asked.outlets[0].key
        opens_s = book.from_at_s + asked.ask.from_s - asked.ask.arrive_slack_s
        is_now = asked.is_named and opens_s <= now_s + LATE_S
        if not is_now or place not in self.own_place(need, holder):
            return None
        its = (p for p in book.at(place) if p.state is PromiseState.ARRIVED and p.holder == holder)
        return next(its, None)

    def place_of(self, promise: Reservation) -> frozenset[str]:
        """Return the connector at which the vehicle of a promise is, if it is at one."""
        place = self._deliveries.place_of(promise)
        return frozenset() if place is None else frozenset({place})

    def promised(
        self, book: Book, id_token: str | None, *, own: frozenset[str] = frozenset()
    ) -> tuple[Reservation, ...]:
        """Return what is promised for the vehicle of a token; None is no vehicle's.

        Where it is seen at a connector of its `own`, what is promised to another that shows its token
        at the connector of that is not.
        """
        return tuple(
            promise
            for promise in book.promises.values()
            if is_same(promise.id_token, id_token)
            and not (own and promise.place not in own and self.place_of(promise) == {promise.place})
        )

    def circumstances(
        self,
        book: Book,
        now_s: float,
        *,
        holder: str = "",
        id_token: str | None = None,
        own: frozenset[str] = frozenset(),
        gives_up: str = "",
        replaced: str = "",
    ) -> Circumstances:
        """Return when and where a question is put to a book by a holder for the vehicle of a token.

        It is at the connectors `own`: it is not in its own way there, nor is what is planned for it.
        `gives_up` says in a clause what is given up for what is held, `replaced` is a promise of the
        book that it would take the place of.
        """
        occupied, said_s = self._deliveries.occupied() - own, self._leaves_at_s()
        its = {p.id: p for p in self.promised(book, id_token) if p.id != replaced}
        counted = {p.id for p in self.promised(book, id_token, own=own)} if own else its.keys()
        return Circumstances(
            places=self.places,
            now_s=now_s,
            zone=self.zone,
            holder=holder,
            elsewhere=tuple(its.values()),
            of_others=frozenset(its.keys() - counted),
            gives_up=gives_up,
            own=own,
            occupied=occupied,
            occupied_until_s=now_s + OCCUPIED_FOR_S,
            leaves_at_s={
                place: at_s
                for place in occupied
                if (at_s := self._leaves_by_s(place, book, said_s, now_s)) is not None
            },
            away=self.away,
            # So nothing is offered that would be in danger before the offer has expired.
            back_at_s=now_s + BACK_WITHIN_S + QUOTE_VALID_S,
            charging=self._planned.beside(book).without(own),
            vehicles=self._vehicles,
        )

    def others_until_s(self, book: Book, now_s: float) -> dict[str, float]:
        """Return the promises at whose connector another vehicle is, by id, and for how long."""
        said_s, promises = self._leaves_at_s(), book.promises.values()
        found = ((p.id, self._other_until_s(p, book, said_s, now_s)) for p in promises)
        return {name: until_s for name, until_s in found if until_s is not None}

    def waits_for(self, promise: Reservation, book: Book, now_s: float) -> str:
        """Return whose leaving an open promise needs as things are now, empty if nobody's."""
        until_s = self._other_until_s(promise, book, self._leaves_at_s(), now_s)
        if until_s is None or not promise.state.is_open:
            return promise.waits_for
        return occupied_said(promise.place, clock_said(until_s, now_s, self.zone))

    def check_there(self, promise: Reservation, now_s: float) -> None:
        """See that a connector can be counted on when a promise begins.

        Raises:
            BookError: it can serve nobody now, and is not taken to be back by then.
        """
        away = self.away.get(promise.place)
        if away is not None and away.spoils(promise.opens_at_s, now_s):
            raise BookError(away.said(now_s, self.zone))

    def beside_others(self, promise: Reservation, book: Book) -> Room:
        """Return the room of a book beside what is planned for who matters as much as a promise, or more.

        What is planned at its own connector is its own, or over by then.
        """
        there = self._planned.beside(book).without({promise.place})
        return there.beside(book.room, rank=promise.criticality.rank)

    def beside_all(self, book: Book) -> Room:
        """Return the room of a book beside what is planned for those who were promised nothing."""
        return self._planned.beside(book).beside(book.room)

    def back_ratio(self, promise: Reservation, asked_ratio: float, now_s: float) -> float:
        """Return how surely a connector is of use when a promise begins.

        Raises:
            BookError: it is away, and that is less than was asked for.
        """
        away = self.away.get(promise.place)
        if away is None:
            return 1.0
        begins_s = min(s.from_at_s for s in promise.envelope if s.current_ma)
        back_ratio = away.back_ratio(begins_s, now_s)
        if back_ratio < asked_ratio:
            raise BookError(away.said(now_s, self.zone))
        return back_ratio

    def _leaves_by_s(
        self, place: str, book: Book, said_s: Mapping[str, float], now_s: float
    ) -> float | None:
        """Return when (epoch s) the vehicle at a connector leaves; None if nothing tells.

        As was said of it, or once its promise is over. Of one that has stayed longer nothing tells.
        """
        arrived = [p.closes_at_s for p in book.at(place) if p.state is PromiseState.ARRIVED]
        at_s = said_s.get(place, next(iter(arrived), now_s))
        return at_s if at_s > now_s else None

    def _other_until_s(
        self, promise: Reservation, book: Book, said_s: Mapping[str, float], now_s: float
    ) -> float | None:
        """Return until when another vehicle is at the connector of a promise; None if none is."""
        place = promise.place
        if place not in self._deliveries.sessions or self._deliveries.place_of(promise) == place:
            return None
        until_s = self._leaves_by_s(place, book, said_s, now_s)
        return now_s + OCCUPIED_FOR_S if until_s is None else until_s
