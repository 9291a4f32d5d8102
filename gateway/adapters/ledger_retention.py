"""How long the ledger keeps what is over, and how it lets go of it."""

import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway.adapters import audit_chain

TRANSACTIONS_KEPT = timedelta(days=2 * 365)
AUDIT_KEPT = timedelta(days=5 * 365)


@dataclass(frozen=True, slots=True, kw_only=True)
class LetGo:
    """How much was let go of."""

    transaction_count: int
    audit_count: int


def let_go(connection: sqlite3.Connection, now_at: datetime) -> LetGo:
    """Let go of transactions that are over and audit rows that are older than they are kept."""
    transactions = connection.execute(
        "DELETE FROM transactions WHERE is_over = 1 AND last_noted_at < ?"
        " AND given_number IS NOT (SELECT max(given_number) FROM transactions)",
        ((now_at - TRANSACTIONS_KEPT).isoformat(timespec="milliseconds"),),
    ).rowcount
    before_at = (now_at - AUDIT_KEPT).isoformat(timespec="milliseconds")
    rows = audit_chain.shorten(connection, before_at=before_at)
    return LetGo(transaction_count=transactions, audit_count=rows)
