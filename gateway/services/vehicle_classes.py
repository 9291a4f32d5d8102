"""What was learnt of the vehicles of each class: how long they stay, and how much and what they take."""

from collections import defaultdict, deque

from gateway.domain.acceptance import NOT_KNOWN, Acceptance
from gateway.domain.ids import ConnectorRef
from gateway.domain.memory import SessionMemory
from gateway.domain.sessions import Statement
from gateway.domain.tokens import TokenPolicy
from gateway.planning.sessions import SessionBook, Spread, learn, spreads
from gateway.planning.taking import KEPT_COUNT, usual

LEVEL = 0.8
"""How surely a vehicle stays as long as it is planned for, and takes no more."""

USUAL_STAY_S = 4 * 3_600.0
USUAL_WH = 20_000.0
"""What is taken of a vehicle of which nothing is known and nothing was said."""

LEAST_SESSION_WH = 100.0
"""A session that took less is a trial, or a fault: nothing is learnt of it."""

_Said = tuple[bool, bool]
"""Whether the departure was said, and the energy."""


def stated(said: Statement, began_at_s: float) -> tuple[float, float]:
    """Return when (epoch s) a vehicle leaves and what it takes, as was said, else as is usual."""
    departs_s, energy_wh = said.departs_at_s, said.energy_wh
    if departs_s is None:
        departs_s = began_at_s + USUAL_STAY_S
    return departs_s, USUAL_WH if energy_wh is None else max(energy_wh, LEAST_SESSION_WH)


class VehicleClasses:
    """A class is the group of a token, a token without one, or a connector where there is none.

    What vehicles did is learnt against what was said of them, and where nothing was said against
    what is usual; each apart.
    """

    def __init__(self, tokens: TokenPolicy) -> None:
        """Know of nothing yet."""
        self._tokens = tokens
        self._books = defaultdict[_Said, SessionBook](SessionBook)
        self._spreads: dict[tuple[_Said, str], tuple[Spread, Spread]] = {}
        self._acceptances = defaultdict[str, deque[Acceptance]](lambda: deque(maxlen=KEPT_COUNT))
        self._usual: dict[str, Acceptance] = {}

    def name_of(self, id_token: str | None, ref: ConnectorRef | None = None) -> str:
        """Return the class of a token, or of a connector whose vehicle has shown none."""
        if id_token is None:
            return str(ref)
        known = self._tokens.known.get(id_token.casefold())
        if known is not None and known.group is not None:
            return f"group {known.group}"
        return f"token {id_token.casefold()}"

    def learn(self, name: str, session: SessionMemory) -> None:
        """Learn of a session that is over; the sessions of a class in the order of their ends."""
        if session.delivered_wh < LEAST_SESSION_WH:
            return
        departs_s, energy_wh = stated(session.said, session.began_at_s)
        what = _what_was_said(session.said)
        self._books[what] = learn(
            self._books[what],
            name,
            departs_s=session.left_at_s - departs_s,
            takes_ratio=session.delivered_wh / energy_wh,
        )
        if session.acceptance != NOT_KNOWN:
            self._acceptances[name].append(session.acceptance)
            self._usual[name] = usual(tuple(self._acceptances[name]))
        self._spreads.clear()

    def spreads(self, name: str, said: Statement) -> tuple[Spread, Spread]:
        """Return how much later than stated a class leaves, and what part of it it takes."""
        key = (_what_was_said(said), name)
        known = self._spreads.get(key)
        if known is None:
            known = self._spreads[key] = spreads(self._books[key[0]], name, LEVEL)
        return known

    def acceptance(self, name: str) -> Acceptance:
        """Return what the vehicles of a class take."""
        return self._usual.get(name, NOT_KNOWN)


def _what_was_said(said: Statement) -> _Said:
    return said.departs_at_s is not None, said.energy_wh is not None
