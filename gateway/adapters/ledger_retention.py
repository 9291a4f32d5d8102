"""How long the ledger keeps what is over, and how it lets go of it."""

import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway.adapters import audit_chain
from gateway.adapters.ledger_rows import drop_promises

TRANSACTIONS_KEPT = timedelta(days=2 * 365)
PROMISES_KEPT = timedelta(days=90)
"""For answers to who asks late; the audit has what became of them for as long as anything."""

FIRST_CREDIBLE_AT = "2024"
"""What was noted before was noted by a clock that had not been set: its age is not known."""

AUDIT_KEPT = timedelta(days=5 * 365)


@dataclass(frozen=True, slots=True, kw_only=True)
class LetGo:
    """How much was let go of."""

    transaction_count: int
    audit_count: int
    promise_count: int = 0


def promises_kept_since_at_s(now_at: datetime) -> float:
    """Return the epoch second before which a promise that was closed is let go of."""
    return (now_at - PROMISES_KEPT).timestamp()


def let_go(connection: sqlite3.Connection, now_at: datetime) -> LetGo:
    """Let go of what is over and older than it is kept: transactions, promises, audit rows."""
    transactions = connection.execute(
        "DELETE FROM transactions WHERE is_over = 1 AND last_noted_at >= ? AND last_noted_at < ?"
        " AND given_number IS NOT (SELECT max(given_number) FROM transactions)",
        (FIRST_CREDIBLE_AT, (now_at - TRANSACTIONS_KEPT).isoformat(timespec="milliseconds")),
    ).rowcount
    before_at = (now_at - AUDIT_KEPT).isoformat(timespec="milliseconds")
    rows = audit_chain.shorten(connection, since_at=FIRST_CREDIBLE_AT, before_at=before_at)
    promises = drop_promises(connection, closed_before_at_s=promises_kept_since_at_s(now_at))
    return LetGo(transaction_count=transactions, audit_count=rows, promise_count=promises)
