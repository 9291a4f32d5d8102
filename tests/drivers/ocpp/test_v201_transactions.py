"""Which transactions of a 2.0.1 station run, and what of an event is news."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from drivers.ocpp.v201_transactions import REMEMBERED, Heard, TransactionBook

AT = datetime(2026, 3, 1, tzinfo=UTC)


def heard(
    transaction: str = "T1",
    sequence: int | None = 0,
    *,
    number: int | None = 1,
    at_s: float = 0,
    token: str | None = None,
    is_present: bool = True,
    is_start: bool = False,
) -> Heard:
    written_at = AT + timedelta(seconds=at_s)
    return Heard(transaction, sequence, written_at, number, token, is_present, is_start)


events = st.lists(
    st.tuples(
        st.sampled_from(["T1", "T2", "T3"]),
        st.integers(0, 5),
        st.sampled_from([None, 1, 2]),
        st.booleans(),
        st.booleans(),
    ),
    max_size=40,
)


@given(events=events)
def test_whatever_comes_what_was_announced_ends_once_where_it_was_announced(
    events: list[tuple[str, int, int | None, bool, bool]],
) -> None:
    book, announced = TransactionBook(), dict[str, int]()
    for at_s, (transaction, sequence, number, is_present, is_end) in enumerate(events):
        if is_end:
            told = book.end(transaction)
        else:
            told = book.enter(
                heard(transaction, sequence, number=number, at_s=at_s, is_present=is_present)
            )
        if told.left is not None:
            assert announced.pop(transaction) == told.left
        for ended in told.ended:
            assert announced.pop(ended) == told.number
        if told.is_begin:
            assert told.number is not None
            announced[transaction] = told.number
        assert len(set(announced.values())) == len(announced)  # An EVSE has one at most.
    for transaction, number in announced.items():
        told = book.end(transaction)
        assert (told.number, told.ended) == (number, (transaction,))


def test_what_is_no_newer_is_a_repeat() -> None:
    book = TransactionBook()

    assert not book.enter(heard(sequence=4, at_s=4)).is_repeat
    assert book.enter(heard(sequence=4, at_s=4)).is_repeat
    assert book.enter(heard(sequence=3, at_s=3)).is_repeat  # It came late.
    assert not book.enter(heard(sequence=0, at_s=5)).is_repeat  # It does not count on.
    assert not book.enter(heard(sequence=None, at_s=5)).is_repeat


def test_how_long_ago_a_transaction_began_is_not_told_by_a_clock_that_was_lost() -> None:
    for began_s, age_s in ((-1_800.0, 1_800.0), (-20 * 365 * 86_400.0, 0.0), (60.0, 0.0)):
        book = TransactionBook()
        book.enter(heard(at_s=began_s, is_start=True, is_present=False))
        told = book.enter(heard(sequence=1, at_s=0))
        assert (told.is_begin, told.age_s) == (True, age_s)


def test_an_id_used_again_is_another_transaction_and_a_start_sent_again_is_not() -> None:
    book = TransactionBook()
    book.enter(heard(at_s=0, is_start=True))
    book.end("T1", event=heard(sequence=1, at_s=60))

    assert book.enter(heard(at_s=0, is_start=True)).is_repeat
    assert book.enter(heard(at_s=60, is_start=True)).is_repeat
    assert book.enter(heard(sequence=1, at_s=90)).is_repeat  # No start.
    assert book.enter(heard(at_s=90, is_start=True)).is_begin
    assert book.running_on(1) == "T1"
    assert book.end("T1").ended == ("T1",)


def test_an_id_used_again_is_known_by_the_end_that_another_start_told() -> None:
    book = TransactionBook()
    book.enter(heard("T1", at_s=0, is_start=True))
    book.enter(heard("T2", at_s=60, is_start=True))

    assert book.enter(heard("T1", at_s=0, is_start=True)).is_repeat
    told = book.enter(heard("T1", at_s=90, is_start=True))
    assert (told.is_begin, told.ended) == (True, ("T2",))


def test_an_old_word_does_not_drive_out_what_runs_now() -> None:
    book = TransactionBook()
    book.enter(heard("T2"))

    assert book.enter(heard("T1", is_present=False)).ended == ()
    assert book.running_on(1) == "T2"


def test_a_transaction_put_in_the_wrong_place_is_announced_anew() -> None:
    book = TransactionBook()
    book.enter(heard(number=1))
    told = book.enter(heard(sequence=1, number=2))

    assert (told.left, told.number, told.is_begin) == (1, 2, True)
    assert (book.running_on(1), book.running_on(2)) == (None, "T1")


def test_of_too_many_transactions_those_without_an_evse_are_forgotten_first() -> None:
    book = TransactionBook()
    book.enter(heard("T0"))
    for turn in range(2 * REMEMBERED):
        book.enter(heard(f"X{turn}", number=None))

    assert book.running() == (("T0", 1),)
