"""Which vehicles are there, what they will want and when they will leave: said, or learnt of others."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import inf

from gateway.control.appetite import is_at_rest
from gateway.control.state import ConnectorBelief, SiteState
from gateway.domain.acceptance import NOT_KNOWN, Acceptance
from gateway.domain.charging import FINAL
from gateway.domain.electric import MIN_CHARGING_MA
from gateway.domain.events import ConnectorMetered, Event, TransactionEnded, TransactionStarted
from gateway.domain.ids import ConnectorRef, StationId, TransactionId
from gateway.domain.memory import SessionMemory, TransactionMemory
from gateway.domain.moments import FIRST_BELIEVABLE_YEAR
from gateway.domain.sessions import Session, Statement
from gateway.domain.tokens import TokenPolicy
from gateway.planning.demands import STAYS_ON_S, Visit
from gateway.planning.following import DRAWING_MA, USUALLY, Followed, Following
from gateway.ports import Clock
from gateway.services.intake import Intake
from gateway.services.registers import Registers
from gateway.services.vehicle_classes import LEAST_SESSION_WH, VehicleClasses, stated

TAKES_ON_WH = 5_000.0
"""What is taken of one that has taken more than nearly all before it."""


@dataclass(slots=True)
class _Session:
    """A transaction that runs, by the wall clock.

    `meter_start_wh` is what its meter showed then, of one that runs since an earlier life.
    """

    transaction: TransactionId
    began_at_s: float
    id_token: str | None
    meter_start_wh: float | None = None
    delivered_wh: float = 0.0
    said: Statement = field(default_factory=Statement)
    said_at_s: float | None = None
    soc_pct: float | None = None
    intake: Intake = field(default_factory=Intake)


class Visits:
    """The vehicles at the connectors, and what was learnt of those before them.

    What is learnt of a session that is over is `keep`t with its transaction.
    """

    def __init__(
        self,
        clock: Clock,
        remembered: Iterable[TransactionMemory] = (),
        *,
        tokens: TokenPolicy | None = None,
        keep: Callable[[TransactionMemory], None] = lambda _: None,
        most_w: Callable[[str], float] = lambda _: inf,
    ) -> None:
        """Learn of the sessions that are over, and take up those that run.

        `most_w` tells what a connector gives at most.
        """
        self._clock, self._keep = clock, keep
        self._registers = Registers(most_w)
        self._classes = VehicleClasses(tokens or TokenPolicy())
        self._sessions: dict[ConnectorRef, _Session] = {}
        self._set_aside: dict[ConnectorRef, tuple[_Session, float]] = {}
        """Sessions taken to be over, and since when: they may be found running after all."""
        self._left: dict[ConnectorRef, Session] = {}
        self._followed = defaultdict[StationId, Followed](Followed)
        self._followings: dict[StationId, Following] = {}
        for memory in remembered:
            self._recall(memory)

    def hear(self, fact: Event) -> bool:
        """Take note of a fact; return whether a vehicle has come or gone by it. Never waits."""
        match fact:
            case TransactionStarted():
                return self._begin(fact)
            case TransactionEnded():
                return self._end(fact)
            case ConnectorMetered():
                session = self._sessions.get(fact.connector)
                if session is not None:
                    self._meter(session, fact)
                return False
            case _:
                return False

    def _begin(self, fact: TransactionStarted) -> bool:
        """Take note of a vehicle; return whether it was not known to be there."""
        ref = fact.connector
        known = self._sessions.get(ref)
        if known is not None and known.transaction == fact.transaction:
            known.id_token = fact.id_token or known.id_token
            return False
        before, left_at_s = self._set_aside.pop(ref, (None, 0.0))
        if before is not None and before.transaction == fact.transaction:
            before.id_token = fact.id_token or before.id_token
            self._sessions[ref] = before
            return True
        if before is not None:
            self._close(ref, before, left_at_s)
        if fact.meter_start_wh is None:  # What flowed before it came nobody has counted.
            self._registers.forget(str(ref))
        self._registers.begin(fact)
        self._sessions[ref] = _Session(
            transaction=fact.transaction,
            began_at_s=self._now_s() - fact.age_s,
            id_token=fact.id_token,
        )
        return True

    def _end(self, fact: TransactionEnded) -> bool:
        """Take note that a vehicle has gone; return whether it was known to be there."""
        session = self._sessions.get(fact.connector)
        if session is None or session.transaction != fact.transaction:
            return False
        del self._sessions[fact.connector]
        left_at_s = self._now_s() - fact.age_s
        if fact.cause in FINAL:
            self._close(fact.connector, session, left_at_s)
        else:
            self._set_aside[fact.connector] = session, left_at_s
        return True

    def _meter(self, session: _Session, fact: ConnectorMetered) -> None:
        session.soc_pct = session.soc_pct if fact.soc_pct is None else fact.soc_pct
        if session.meter_start_wh is not None:
            lasted_s = self._now_s() - session.began_at_s
            self._registers.take_up(fact, session.meter_start_wh, lasted_s=lasted_s)
        session.delivered_wh = max(0.0, session.delivered_wh + self._registers.count(fact))

    def say(self, connector: ConnectorRef, statement: Statement) -> bool:
        """Take what somebody says of the vehicle at a connector; return whether there is one."""
        session = self._sessions.get(connector)
        if session is None:
            return False
        session.said, session.said_at_s = statement, self._now_s()
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
                said_at_s=session.said_at_s,
            )
            for connector, session in self._sessions.items()
        )

    def left_before(self) -> tuple[Session, ...]:
        """Return the last vehicle that left each connector in an earlier life, where that is known."""
        return tuple(self._left.values())

    def leaves_at_s(self) -> dict[str, float]:
        """Return when (epoch s) vehicles leave of which that was said, by connector."""
        return {
            str(connector): session.said.departs_at_s
            for connector, session in self._sessions.items()
            if session.said.departs_at_s is not None
        }

    def note(self, state: SiteState) -> None:
        """Take note of what vehicles were seen to draw; to be called each cycle. Never waits."""
        for ref, session in self._sessions.items():
            at = state.wiring.connector_at.get(ref)
            if at is None:
                continue
            known = self._followed[ref.station]
            followed = session.intake.watch(
                state.wiring.connectors[at],
                state.connectors[at],
                known,
                delivered_wh=session.delivered_wh,
                soc_pct=session.soc_pct,
            )
            if followed is not known:
                self._followed[ref.station] = followed
                self._followings[ref.station] = followed.following()

    def following(self, station: StationId) -> Following:
        """Return how vehicles at a station follow a start, as was seen there."""
        return self._followings.get(station, USUALLY)

    def acceptance(self, id_token: str | None) -> Acceptance:
        """Return what the vehicles of a token take, as was seen of those before."""
        if id_token is None:
            return NOT_KNOWN
        return self._classes.acceptance(self._classes.name_of(id_token))

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
        departs_s, energy_wh = stated(said, session.began_at_s)
        name = self._classes.name_of(session.id_token, ref)
        departs, takes = self._classes.spreads(name, said)
        later_s = departs.least_beyond(now_s - departs_s)
        if later_s is not None:
            leaves_at_s = departs_s + later_s
        elif departs.is_known or departs_s <= now_s:
            leaves_at_s = now_s + STAYS_ON_S
        else:
            leaves_at_s = departs_s
        most_ratio = takes.most_beyond(session.delivered_wh / energy_wh)
        left_wh = energy_wh * (most_ratio or 1.0) - session.delivered_wh
        usual = self._classes.acceptance(name)
        if usual.max_ma is not None and session.intake.highest_ma > usual.max_ma + DRAWING_MA:
            usual = NOT_KNOWN  # It is another one.
        is_unsaid = said.energy_wh is None and most_ratio is not None
        missing_wh = _missing_wh(session, usual, left_wh if is_unsaid else None)
        wants_wh = left_wh if left_wh >= LEAST_SESSION_WH else TAKES_ON_WH
        if session.soc_pct is not None and missing_wh is not None:
            wants_wh = min(wants_wh, missing_wh)
        mask, accepts_ma = belief.mask, [usual.max_ma, belief.accepts_ma]
        return Visit(
            place=str(ref),
            since_at_s=session.began_at_s,
            leaves_at_s=leaves_at_s,
            wants_wh=wants_wh,
            delivered_wh=session.delivered_wh,
            rank=said.criticality.rank,
            id_token=session.id_token,
            phase_count=(sum(mask) if mask is not None else belief.fit.count) or None,
            accepts_ma=min([ma for ma in accepts_ma if ma is not None], default=None),
            taper=()
            if missing_wh is None
            else usual.taper_from(missing_wh, min_ma=MIN_CHARGING_MA),
            is_drawing=_is_drawing(belief),
            following=self.following(ref.station),
        )

    def _close(self, ref: ConnectorRef, session: _Session, left_at_s: float) -> None:
        """Learn of a session that is over, and have it remembered."""
        memory = SessionMemory(
            began_at_s=session.began_at_s,
            left_at_s=left_at_s,
            delivered_wh=session.delivered_wh,
            said=session.said,
            acceptance=session.intake.acceptance(),
        )
        self._learn(ref, session.id_token, memory)
        self._keep(
            TransactionMemory(
                station=ref.station,
                transaction=session.transaction,
                connector_number=ref.number,
                is_over=True,
                session=memory,
            )
        )

    def _recall(self, memory: TransactionMemory) -> None:
        session, began_at, ended_at = memory.session, memory.began_at, memory.ended_at
        if not memory.connector_number:
            return
        ref = ConnectorRef(memory.station, memory.connector_number)
        start_wh, stop_wh = memory.meter_start_wh, memory.meter_stop_wh
        if not memory.is_over and began_at is not None:
            # What it was given so far its next reading tells, against what was shown at its start.
            self._sessions[ref] = _Session(
                transaction=memory.transaction,
                began_at_s=began_at.timestamp(),
                id_token=memory.id_token,
                meter_start_wh=start_wh,
            )
        elif (
            session is None
            and began_at is not None
            and ended_at is not None
            and began_at.year >= FIRST_BELIEVABLE_YEAR
        ):
            # It ended while we were away.
            session = SessionMemory(
                began_at_s=began_at.timestamp(),
                left_at_s=ended_at.timestamp(),
                # A meter that could not be read at the end shows less than at the start.
                delivered_wh=0.0
                if start_wh is None or stop_wh is None
                else max(0.0, stop_wh - start_wh),
            )
        if session is not None:
            self._left[ref] = Session(
                connector=ref,
                transaction=memory.transaction,
                began_at_s=session.began_at_s,
                id_token=memory.id_token,
                delivered_wh=session.delivered_wh,
                left_at_s=session.left_at_s,
            )
        if session is not None:
            self._learn(ref, memory.id_token, session)

    def _learn(self, ref: ConnectorRef, id_token: str | None, session: SessionMemory) -> None:
        """Learn of a session that is over, unless its station says it was before it began."""
        if session.left_at_s >= session.began_at_s:
            self._classes.learn(self._classes.name_of(id_token, ref), session)

    def _now_s(self) -> float:
        return self._clock.now_at().timestamp()


def _is_drawing(belief: ConnectorBelief) -> bool:
    draw = belief.draw
    if draw is None:
        return False
    drawn_ma = draw.power_ma if draw.highest_ma is None else draw.highest_ma
    return drawn_ma is not None and drawn_ma >= DRAWING_MA


def _missing_wh(session: _Session, usual: Acceptance, left_wh: float | None) -> float | None:
    """Return what is missing until a vehicle is full, None where nobody knows.

    Its state of charge tells, else what was said of its battery, else what those before it took.
    """
    battery_wh = session.intake.battery_wh or usual.battery_wh
    if session.soc_pct is not None and battery_wh is not None:
        return (100.0 - session.soc_pct) / 100.0 * battery_wh
    if session.said.full_wh is not None:
        left_wh = session.said.full_wh - session.delivered_wh
    return None if left_wh is None else max(0.0, left_wh)
