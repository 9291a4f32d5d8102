"""Numbers for transactions, and which of them run."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from drivers.ocpp.remembered import TransactionNumbers
from drivers.ocpp.v16_transactions import REMEMBERED, StartKey, TransactionBook
from gateway.domain.ids import StationId, TransactionId
from gateway.domain.memory import TransactionMemory

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def key(number: int, turn: int = 0) -> StartKey:
    return StartKey(number, "TAG", f"2026-03-01T00:00:{turn:02d}Z", 0)


def test_a_later_run_gives_no_number_an_earlier_one_gave() -> None:
    first = TransactionBook(TransactionNumbers(NOW))
    given_out = {first.start(key(1, turn)).transaction for turn in range(59)}
    later = TransactionBook(TransactionNumbers(NOW + timedelta(seconds=60)))

    assert later.start(key(1)).transaction not in given_out
    assert len(given_out) == 59


def test_numbers_fit_what_stations_keep_them_in() -> None:
    assert 0 < TransactionNumbers(datetime(2080, 1, 1, tzinfo=UTC)).new() < 2**31


def test_a_clock_that_was_never_set_still_gives_numbers() -> None:
    assert TransactionNumbers(datetime(1970, 1, 1, tzinfo=UTC)).new() > 0


def test_what_ended_is_not_adopted_again_until_it_is_forgotten() -> None:
    book = TransactionBook(TransactionNumbers(NOW))

    assert book.adopt(1, 500)
    assert not book.adopt(1, 500)
    assert not book.adopt(2, 500)  # It runs elsewhere.
    assert book.stop(500) == 1
    assert not book.adopt(1, 500)
    assert not any(book.adopt(2, none) for none in (None, 0, -1))


def test_a_start_in_the_same_words_is_another_where_nothing_was_given_before_it() -> None:
    book = TransactionBook(TransactionNumbers(NOW))
    first = book.start(key(1)).transaction

    assert book.start(key(1)).transaction == first
    assert book.stop(first, 0) == 1  # The meter has not moved, and the clock perhaps stands.
    second = book.start(key(1))
    assert (second.is_new, second.transaction != first) == (True, True)
    assert book.stop(second.transaction, 500) == 1
    assert book.start(key(1)).transaction == second.transaction  # Told once more, late.


def test_what_an_earlier_run_knew_is_known() -> None:
    numbers = TransactionNumbers(NOW)
    before = TransactionBook(numbers)
    running, over = before.start(key(1)).transaction, before.start(key(2)).transaction
    past = tuple(
        TransactionMemory(
            station=StationId("CP-01"),
            transaction=TransactionId(str(transaction)),
            connector_number=number,
            given_number=transaction,
            is_over=transaction == over,
            told=key(number).as_text(),
            meter_start_wh=0.0,
            meter_stop_wh=900.0 if transaction == over else None,
        )
        for number, transaction in ((1, running), (2, over))
    )

    book = TransactionBook(TransactionNumbers(NOW, last_number=over), past)

    assert book.running_on(1) == running
    assert book.running_on(2) is None
    assert book.start(key(1)) == (running, False, None)
    assert book.start(key(2)) == (over, False, None)
    assert book.stop(running) == 1
    assert book.start(key(1, 7)).transaction == over + 1


@given(
    acts=st.lists(
        st.tuples(st.sampled_from(["start", "stop", "adopt"]), st.integers(1, 3), st.integers(0, 9))
    )
)
def test_a_connector_has_one_transaction_and_memory_is_bounded(
    acts: list[tuple[str, int, int]],
) -> None:
    book = TransactionBook(TransactionNumbers(NOW))
    for act, number, value in acts:
        match act:
            case "start":
                started = book.start(key(number, value))
                assert not started.is_new or book.running_on(number) == started.transaction
            case "stop":
                running = book.running_on(number)
                assert running is None or book.stop(running) == number
                assert book.running_on(number) is None
            case _:
                book.adopt(number, 1_000 + value)
        running_now = [t for n in (1, 2, 3) if (t := book.running_on(n)) is not None]
        assert len(set(running_now)) == len(running_now)
    assert len(book._starts) <= REMEMBERED
    assert len(book._ended) <= REMEMBERED
