"""Who may say what of a vehicle that is there: by a link that is its session's own, and ends with it."""

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import replace

from gateway.domain.access import Access
from gateway.domain.events import Event, TransactionStarted
from gateway.domain.ids import ConnectorRef
from gateway.domain.memory import Act, StatementMemory
from gateway.domain.needs import Criticality
from gateway.domain.sessions import Session, Statement
from gateway.planning.answers import NotAllowedError, NotDurableError, UnknownSessionError
from gateway.ports import Ledger
from gateway.services.promise_shelf import DURABLE_WITHIN_S
from gateway.services.visits import Visits

LINK_PREFIX = "hs_"
ID_DIGITS = 16
LINK_BYTES = 24


class SessionDesk:
    """`gateway.ports.Sessions`, in one event loop.

    A session's name and link are made from its transaction with a key, so nothing has to be
    remembered of them, and neither can be guessed.
    """

    def __init__(
        self,
        visits: Visits,
        *,
        key: bytes,
        ledger: Ledger | None,
        remembered: Mapping[ConnectorRef, StatementMemory],
        on_said: Callable[[], None],
        tie: Callable[[str, str], None],
    ) -> None:
        """Take up what was said before; without a ledger nothing outlives us.

        `on_said` is told that the plan is for others now; `tie` ties the vehicle at a connector
        to the reservation of a reference.
        """
        self._visits, self._key, self._ledger = visits, key, ledger
        self._remembered = dict(remembered)
        self._on_said, self._tie = on_said, tie
        for session in visits.sessions():
            self._recall(session.connector)

    def hear(self, fact: Event) -> None:
        """Take note of a vehicle that is back, or found: what was said of it still stands."""
        if isinstance(fact, TransactionStarted):
            self._recall(fact.connector)

    def running(self) -> Mapping[str, Session]:
        """Return the sessions that run, by their names."""
        return {self._name(session): session for session in self._visits.sessions()}

    def find(self, name: str) -> Session:
        """Return a session that runs.

        Raises:
            UnknownSessionError: there is none of that name (any more).
        """
        session = self.running().get(name)
        if session is None:
            message = f"there is no session {name}, or it is over: its link ends with it"
            raise UnknownSessionError(message)
        return session

    def link_of(self, session: Session) -> str:
        """Return the secret word that lets its bearer speak for a session and for nothing else."""
        secret = self._made("link", session)[:LINK_BYTES]
        return LINK_PREFIX + base64.urlsafe_b64encode(secret).decode()

    def opens(self, name: str, word: str) -> bool:
        """Return whether a word is the link of the session of that name, which runs."""
        session = self.running().get(name)
        # Compared whole, however much of it is right.
        expected = "" if session is None else self.link_of(session)
        is_right = hmac.compare_digest(word.encode(), expected.encode())
        return session is not None and is_right

    async def say(
        self,
        name: str,
        statement: Statement,
        by: Access,
        *,
        criticality: Criticality | None = None,
        reference: str | None = None,
    ) -> Session:
        """Take what somebody says of a session, and return it so, once that is durable.

        The criticality is `criticality`, and where that is None it is as it was.

        Raises:
            UnknownSessionError: there is none of that name (any more).
            NotAllowedError: the criticality is not for `by` to say.
            UnknownReservationError: no one reservation is the one of the reference.
            NotDurableError: the ledger cannot be written.
        """
        session = self.find(name)
        statement = _with_criticality(statement, criticality, session.said, by)
        if reference is not None:
            self._tie(str(session.connector), reference)
        self._visits.say(session.connector, statement)
        self._on_said()
        await self._remember(session, statement, by)
        return self.find(name)

    async def _remember(self, session: Session, statement: Statement, by: Access) -> None:
        memory = StatementMemory(
            connector=session.connector, transaction=session.transaction, statement=statement
        )
        self._remembered[session.connector] = memory
        if self._ledger is None:
            return
        act = Act(kind="session-need", subject=str(session.connector), by=by.name)
        written = self._ledger.keep_durably(memory, act)
        await asyncio.wait([written], timeout=DURABLE_WITHIN_S)
        if not written.done():
            message = "it is taken, but the ledger cannot be written: a restart may forget it"
            raise NotDurableError(message)

    def _recall(self, connector: ConnectorRef) -> None:
        memory = self._remembered.get(connector)
        for session in self._visits.sessions():
            if session.connector == connector and memory is not None:
                if session.transaction == memory.transaction:
                    self._visits.say(connector, memory.statement)
                else:
                    del self._remembered[connector]

    def _name(self, session: Session) -> str:
        return self._made("name", session).hex()[:ID_DIGITS]

    def _made(self, what: str, session: Session) -> bytes:
        said = f"{what}\n{session.connector}\n{session.transaction}".encode()
        return hmac.new(self._key, said, hashlib.sha256).digest()


def _with_criticality(
    statement: Statement, wanted: Criticality | None, before: Statement, by: Access
) -> Statement:
    """Return a statement with the criticality that holds from now on.

    Raises:
        NotAllowedError: it is above what `by` may claim, or an operator said another one.
    """
    is_set = before.is_by_operator
    if wanted is None:
        return replace(statement, criticality=before.criticality, is_by_operator=is_set)
    if wanted.rank < by.criticality.rank:
        message = f"you may claim {by.criticality} at most, not {wanted}: leave criticality out"
        raise NotAllowedError(message)
    if is_set and wanted is not before.criticality and not by.sees_all:
        message = f"an operator said {before.criticality} of this vehicle: leave criticality out"
        raise NotAllowedError(message)
    return replace(statement, criticality=wanted, is_by_operator=is_set or by.sees_all)
