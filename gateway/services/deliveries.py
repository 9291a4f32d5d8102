"""Which connectors have a vehicle, and whose it is, as stations tell."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import inf

from gateway.domain.charging import FINAL
from gateway.domain.events import TransactionEnded, TransactionStarted
from gateway.domain.ids import ConnectorRef, TransactionId
from gateway.domain.promises import Reservation
from gateway.domain.sessions import Session as Known
from gateway.domain.tokens import is_same
from gateway.planning.calibrate import KEPT_RATIO

Stay = tuple[ConnectorRef, TransactionId]
"""The transaction of a vehicle, and where it runs."""

EARLY_S = 3_600.0
"""How long before the window of a promise a vehicle comes for it at most, if nobody says whose it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A vehicle at a connector since the epoch second `came_at_s`.

    `id_token` is what it has shown to the station; `ties` are the holders and the names, of their
    own or its id, of the reservations whose vehicle somebody has said it is. It is taken to have
    come for the reservation `promise`; one that came for it in another's stead only if what it
    shows, should it show anything, is `due_token`.
    """

    connector: ConnectorRef
    transaction: TransactionId
    id_token: str | None
    came_at_s: float
    ties: frozenset[tuple[str, str]] = frozenset()
    promise: str | None = None
    due_token: str | None = None


class Deliveries:
    """Sessions by connector, as far as promises need them."""

    def __init__(self, were_there: Iterable[Known] = ()) -> None:
        """Know of none yet but those that `were_there`, and the last that have left since.

        The former are there until their stations tell otherwise: none tells again of a transaction
        that runs on.
        """
        self._sessions: dict[str, Session] = {}
        self._gone_since_s: dict[str, float] = {}
        self._before: dict[str, Session] = {}
        self._set_aside: dict[str, Session] = {}
        for stay in were_there:
            place = str(stay.connector)
            session = Session(
                connector=stay.connector,
                transaction=stay.transaction,
                id_token=stay.id_token,
                came_at_s=stay.began_at_s,
            )
            if stay.left_at_s is None:
                self._sessions[place] = session
            else:
                self._before[place], self._gone_since_s[place] = session, stay.left_at_s
        for place in self._sessions:
            # Whose promise it came for is not known by who was there before it.
            self._before.pop(place, None)
            self._gone_since_s.pop(place, None)

    def begin(self, fact: TransactionStarted, *, now_s: float) -> bool:
        """Note that a vehicle is there, or was found there; return whether it has come anew.

        `now_s` is the epoch second. One that is told late has come when its station says.
        """
        place = str(fact.connector)
        known = self._sessions.get(place)
        if known is not None and known.transaction == fact.transaction:
            # Told again, such as when its station is back: it has not come anew.
            id_token = known.id_token if fact.id_token is None else fact.id_token
            self._sessions[place] = replace(known, id_token=id_token)
            return False
        before = self._set_aside.pop(place, None)
        if before is not None and before.transaction == fact.transaction:
            self._sessions[place] = before  # It was taken to be over, and was not.
            self._before.pop(place, None)
            self._gone_since_s.pop(place, None)
            return False
        if known is not None:
            self._gone_since_s[place] = now_s
        last = known or before
        if last is not None:
            self._before[place] = last
        self._sessions[place] = Session(
            connector=fact.connector,
            transaction=fact.transaction,
            id_token=fact.id_token,
            came_at_s=now_s - fact.age_s,
        )
        return True

    def end(self, fact: TransactionEnded, *, gone_s: float) -> None:
        """Note that it has gone since an epoch second."""
        place = str(fact.connector)
        session = self._sessions.get(place)
        if session is not None and session.transaction == fact.transaction:
            self._before[place] = self._sessions.pop(place)
            self._gone_since_s[place] = gone_s
            if fact.cause not in FINAL:
                self._set_aside[place] = session

    def occupied(self) -> frozenset[str]:
        """Return the connectors that have a vehicle."""
        return frozenset(self._sessions)

    @property
    def sessions(self) -> Mapping[str, Session]:
        """Return the vehicles that are there, by connector."""
        return self._sessions

    def tie(self, place: str, holder: str, name: str) -> None:
        """Note that somebody says the vehicle at a connector is the one of a holder's reservation.

        `name` is the reservation's reference, or its id.
        """
        session = self._sessions.get(place)
        if session is not None:
            ties = session.ties | {(holder, name)}
            self._sessions[place] = replace(session, ties=ties)

    def know_again(self, promise: Reservation, stay: Stay) -> None:
        """Note that a vehicle was known to be that of a promise before a restart, if it still is there."""
        place, transaction = str(stay[0]), stay[1]
        session = self._sessions.get(place)
        if self._gone_since_s.get(place, inf) < (promise.arrived_at_s or 0.0):
            # It was another, before it: of its own going nothing is known.
            del self._before[place], self._gone_since_s[place]
        if session is None or session.transaction != transaction:
            return
        if promise.arrived_at_s is not None:
            self._sessions[place] = replace(session, promise=promise.id)
        elif promise.state.is_open:
            self.tie(place, promise.holder, promise.id)

    def stay_at(self, place: str) -> Stay | None:
        """Return the transaction of the vehicle at a connector, None if there is none."""
        session = self._sessions.get(place)
        return None if session is None else (session.connector, session.transaction)

    def take(self, promise: Reservation) -> None:
        """Note that a promise has begun with the vehicle at its connector."""
        session = self._sessions[promise.place]
        self._sessions[promise.place] = replace(session, promise=promise.id, due_token=None)

    def follow(self, promise: Reservation) -> None:
        """Note whether the vehicle at the connector of a promise that has begun is its own."""
        session = self._sessions.get(promise.place)
        is_taken = session is not None and session.promise == promise.id
        if session is None or is_taken == self.is_there(promise):
            return
        before = None if is_taken else self._before.get(promise.place)
        self._sessions[promise.place] = replace(
            session,
            promise=None if is_taken else promise.id,
            due_token=None if before is None else before.id_token,
        )

    def is_there(self, promise: Reservation) -> bool:
        """Return whether the vehicle at the connector of a promise that has begun is its own.

        One that comes after it has left is taken for it, unless it shows another token, or is said
        to have come for another, or the first has had what it was promised.
        """
        session = self._sessions.get(promise.place)
        if session is None:
            return False
        if _is_said(session, promise) or is_same(session.id_token, promise.id_token):
            return True
        if session.promise == promise.id:
            return not _differ(session.id_token, session.due_token)
        before = self._before.get(promise.place)
        if session.ties:
            return False
        if before is None:
            return True  # As of an earlier life.
        if before.id_token is not None and session.id_token is not None:
            return is_same(before.id_token, session.id_token)
        return promise.delivered_wh < KEPT_RATIO * promise.energy_wh

    def place_of(self, promise: Reservation) -> str | None:
        """Return the connector at which the vehicle of a promise is, None while it is at none.

        It is known by what somebody has tied it to, by its token, or, where the promise names no
        token, by its connector and when it came. Of several that show its token, and none of them at
        its connector, it is the one that came for it by when it came, if that is one. No vehicle
        comes for a plain draw.
        """
        if promise.is_plain_draw:
            return None
        for place, session in self._sessions.items():
            if session.promise == promise.id or _is_said(session, promise):
                return place
        if promise.id_token is None:
            there = self._sessions.get(promise.place)
            return promise.place if there is not None and _came_for(there, promise) else None
        places = [p for p, s in self._sessions.items() if is_same(s.id_token, promise.id_token)]
        if promise.place in places:
            return promise.place
        if len(places) > 1:
            places = [place for place in places if _came_for(self._sessions[place], promise)]
        return places[0] if len(places) == 1 else None

    def place_named(
        self, holder: str, *, id_token: str | None, reference: str | None, place: str | None
    ) -> str | None:
        """Return the connector of the vehicle that a holder's reference names, else a token.

        Where several show that token nobody knows which is meant, unless `place` is one of theirs.
        """
        tie, sessions = (holder, reference), self._sessions.items()
        tied = [at for at, session in sessions if reference and tie in session.ties]
        named = tied or [at for at, session in sessions if is_same(session.id_token, id_token)]
        if place in named:
            return place
        return named[0] if len(named) == 1 else None

    def is_at(self, place: str, promise: Reservation) -> bool:
        """Return whether the vehicle of a promise is at a connector."""
        session = self._sessions.get(place)
        if session is None:
            return False
        is_tied = session.promise == promise.id or _is_said(session, promise)
        is_named = promise.id_token is not None
        is_alike = (
            is_same(session.id_token, promise.id_token) if is_named else promise.place == place
        )
        # Most are told apart so, before all other connectors are looked at.
        return (is_tied or is_alike) and self.place_of(promise) == place

    def came_at_s(self, place: str) -> float | None:
        """Return when (epoch s) the vehicle at a connector came, None if there is none."""
        session = self._sessions.get(place)
        return None if session is None else session.came_at_s

    def gone_since_s(self, place: str) -> float | None:
        """Return when (epoch s) the last vehicle left; None while one is there, or none was."""
        return None if place in self._sessions else self._gone_since_s.get(place)

    def made_way_at_s(self, place: str) -> float | None:
        """Return when (epoch s) the vehicle that was there before the one there now had left."""
        return self._gone_since_s.get(place, self.came_at_s(place))


def _is_said(session: Session, promise: Reservation) -> bool:
    """Return whether somebody has said that a vehicle is the one of a promise."""
    if not session.ties:
        return False  # As of most, and it is asked often.
    names = {(promise.holder, promise.id), (promise.holder, promise.reference)}
    return not names.isdisjoint(session.ties)


def _differ(one: str | None, other: str | None) -> bool:
    """Return whether two id tokens were shown that are not one."""
    return one is not None and other is not None and not is_same(one, other)


def _came_for(session: Session, promise: Reservation) -> bool:
    """Return whether a vehicle came for a promise, as far as its coming tells.

    One that was there before the promise was made is in its way, and so is one that came long
    before its window, or came for another promise.
    """
    since_s = max(promise.made_at_s, promise.opens_at_s - EARLY_S)
    is_another_s = bool(session.ties) or session.promise is not None
    return not is_another_s and session.came_at_s >= since_s
