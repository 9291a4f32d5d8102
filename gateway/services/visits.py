"""Which vehicles are there, what they will want and when they will leave: said, or learnt of others."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from gateway.control.claims import is_at_rest
from gateway.control.state import ConnectorBelief, SiteState
from gateway.domain.events import ConnectorMetered, Event, TransactionEnded, TransactionStarted
from gateway.domain.ids import ConnectorRef, TransactionId
from gateway.domain.memory import TransactionMemory
from gateway.domain.sessions import Session, Statement
from gateway.domain.tokens import TokenPolicy
from gateway.planning.demands import Visit
from gateway.planning.sessions import SessionBook, Spread, learn, spreads
from gateway.ports import Clock
from gateway.services.deliveries import LONGEST_GAP_S

LEVEL = 0.8
"""How surely a vehicle stays as long as it is planned for, and takes no more."""

USUAL_STAY_S = 4 * 3_600.0
USUAL_WH = 20_000.0
"""What is taken of a vehicle of which nothing is known and nothing was said."""

STAYS_ON_S = 1_800.0
TAKES_ON_WH = 5_000.0
"""What is taken of one that has stayed, or taken, more than nearly all before it."""

DRAWING_MA = 1_000
LEAST_SESSION_WH = 100.0
"""A session that took less is a trial, or a fault: nothing is learnt of it."""


@dataclass(slots=True)
class _Session:
    """A transaction that runs, by the wall clock; its register is what the meter showed then."""

    transaction: TransactionId
    began_at_s: float
    id_token: str | None
    register_wh: float | None = None
    delivered_wh: float = 0.0
    power: tuple[float, float] | None = None
    said: Statement = field(default_factory=Statement)


_Said = tuple[bool, bool]
"""Whether the departure was said, and the energy."""


class Visits:
    """The vehicles at the connectors, and what was learnt of those before them.

    A class is the group of a token, a token without one, or a connector where there is none. What vehicles did is learnt against
    what was said of them, and where nothing was said against what is usual; each apart.
    """

    def __init__(
        self,
        clock: Clock,
        remembered: Iterable[TransactionMemory] = (),
        *,
        tokens: TokenPolicy | None = None,
    ) -> None:
        """Learn of the sessions that are over, and take up those that run."""
        self._clock, self._tokens = clock, tokens or TokenPolicy()
        self._sessions: dict[ConnectorRef, _Session] = {}
        self._books = defaultdict[_Said, SessionBook](SessionBook)
        self._spreads: dict[tuple[_Said, str], tuple[Spread, Spread]] = {}
        for memory in remembered:
            self._recall(memory)

    def hear(self, fact: Event) -> bool:
        """Take note of a fact; return whether a vehicle has come or gone by it. Never waits."""
        match fact:
            case TransactionStarted():
                known = self._sessions.get(fact.connector)
                if known is not None and known.transaction == fact.transaction:
                    known.id_token = fact.id_token or known.id_token
                    return False
                self._sessions[fact.connector] = _Session(
                    transaction=fact.transaction, began_at_s=self._now_s(), id_token=fact.id_token
                )
                return True
            case TransactionEnded():
                session = self._sessions.get(fact.connector)
                if session is None or session.transaction != fact.transaction:
                    return False
                del self._sessions[fact.connector]
                self._learn(fact.connector, session, self._now_s())
                return True
            case ConnectorMetered():
                session = self._sessions.get(fact.connector)
                if session is not None:
                    _meter(session, fact)
                return False
            case _:
                return False

    def say(self, connector: ConnectorRef, statement: Statement) -> bool:
        """Take what somebody says of the vehicle at a connector; return whether there is one."""
        session = self._sessions.get(connector)
        if session is None:
            return False
        session.said = statement
        return True

    def sessions(self) -> tuple[Session, ...]:
        """Return the vehicles that are there, plugged in or not, as they are now."""
        return tuple(
            Session(
                connector=connector,
                transaction=session.transaction,
                began_at_s=session.began_at_s,
                id_token=session.id_token,
                delivered_wh=session.delivered_wh,
                said=session.said,
            )
            for connector, session in self._sessions.items()
        )

    def leaves_at_s(self) -> dict[str, float]:
        """Return when (epoch s) vehicles leave of which that was said, by connector."""
        return {
            str(connector): session.said.departs_at_s
            for connector, session in self._sessions.items()
            if session.said.departs_at_s is not None
        }

    def seen(self, state: SiteState, now_s: float) -> tuple[Visit, ...]:
        """Return the vehicles that are there and may want something; `now_s` is control's second."""
        found = []
        for connector, belief in zip(state.wiring.connectors, state.connectors, strict=True):
            session = self._sessions.get(connector.ref)
            if session is None or not belief.is_plugged or is_at_rest(state, belief, now_s):
                continue
            found.append(self._visit(connector.ref, session, belief))
        return tuple(found)

    def _visit(self, ref: ConnectorRef, session: _Session, belief: ConnectorBelief) -> Visit:
        now_s, said = self._now_s(), session.said
        departs_s, energy_wh = _stated(session)
        departs, takes = self._spreads_of(said, self._class_of(ref, session.id_token))
        later_s = departs.least_beyond(now_s - departs_s)
        if later_s is not None:
            leaves_at_s = departs_s + later_s
        elif departs.is_known:
            leaves_at_s = now_s + STAYS_ON_S
        else:
            leaves_at_s = max(departs_s, now_s + STAYS_ON_S)
        most_ratio = takes.most_beyond(session.delivered_wh / energy_wh)
        left_wh = energy_wh * (most_ratio or 1.0) - session.delivered_wh
        mask = belief.mask
        return Visit(
            place=str(ref),
            since_at_s=session.began_at_s,
            leaves_at_s=leaves_at_s,
            wants_wh=left_wh if left_wh >= LEAST_SESSION_WH else TAKES_ON_WH,
            delivered_wh=session.delivered_wh,
            rank=said.criticality.rank,
            id_token=session.id_token,
            phase_count=(sum(mask) if mask is not None else belief.phase_count) or None,
            accepts_ma=belief.accepts_ma,
            is_drawing=_is_drawing(belief),
        )

    def _spreads_of(self, said: Statement, name: str) -> tuple[Spread, Spread]:
        """Return how much later than stated a class leaves, and what part of it it takes."""
        key = (_what_was_said(said), name)
        known = self._spreads.get(key)
        if known is None:
            known = self._spreads[key] = spreads(self._books[key[0]], name, LEVEL)
        return known

    def _learn(self, ref: ConnectorRef, session: _Session, left_at_s: float) -> None:
        if session.delivered_wh < LEAST_SESSION_WH:
            return
        departs_s, energy_wh = _stated(session)
        what = _what_was_said(session.said)
        self._books[what] = learn(
            self._books[what],
            self._class_of(ref, session.id_token),
            departs_s=left_at_s - departs_s,
            takes_ratio=session.delivered_wh / energy_wh,
        )
        self._spreads.clear()

    def _class_of(self, ref: ConnectorRef, id_token: str | None) -> str:
        if id_token is None:
            return str(ref)
        known = self._tokens.known.get(id_token.casefold())
        if known is not None and known.group is not None:
            return f"group {known.group}"
        return f"token {id_token}"

    def _recall(self, memory: TransactionMemory) -> None:
        if memory.began_at is None or not memory.connector_number:
            return
        ref = ConnectorRef(memory.station, memory.connector_number)
        session = _Session(
            transaction=memory.transaction,
            began_at_s=memory.began_at.timestamp(),
            id_token=memory.id_token,
        )
        start_wh, stop_wh = memory.meter_start_wh, memory.meter_stop_wh
        if not memory.is_over:
            # What it was given so far its next reading tells, against what was shown at its start.
            session.register_wh = start_wh
            self._sessions[ref] = session
        elif memory.ended_at is not None and start_wh is not None and stop_wh is not None:
            session.delivered_wh = stop_wh - start_wh
            if memory.ended_at > memory.began_at:
                self._learn(ref, session, memory.ended_at.timestamp())

    def _now_s(self) -> float:
        return self._clock.now_at().timestamp()


def _is_drawing(belief: ConnectorBelief) -> bool:
    draw = belief.draw
    if draw is None:
        return False
    drawn_ma = draw.power_ma if draw.highest_ma is None else draw.highest_ma
    return drawn_ma is not None and drawn_ma >= DRAWING_MA


def _what_was_said(said: Statement) -> _Said:
    return said.departs_at_s is not None, said.energy_wh is not None


def _stated(session: _Session) -> tuple[float, float]:
    """Return when a vehicle leaves and what it takes, as was said, else as is usual."""
    said = session.said
    departs_s, energy_wh = said.departs_at_s, said.energy_wh
    if departs_s is None:
        departs_s = session.began_at_s + USUAL_STAY_S
    return departs_s, USUAL_WH if energy_wh is None else max(energy_wh, LEAST_SESSION_WH)


def _meter(session: _Session, fact: ConnectorMetered) -> None:
    """Count what a session was given; where no energy is told its power is taken to have lasted."""
    if fact.energy_wh is not None:
        if session.register_wh is not None:
            # A register that runs backwards has begun anew.
            session.delivered_wh += max(0.0, fact.energy_wh - session.register_wh)
        session.register_wh = fact.energy_wh
    elif fact.power_w is not None:
        if session.register_wh is None and session.power is not None:
            since_s, power_w = session.power
            lasted_s = min(LONGEST_GAP_S, max(0.0, fact.at_s - since_s))
            session.delivered_wh += power_w * lasted_s / 3_600
        session.power = (fact.at_s, max(0.0, fact.power_w))
