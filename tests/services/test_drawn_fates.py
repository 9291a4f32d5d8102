"""Drawn lives of a vehicle with two promises: what becomes of them is what truly was."""

from dataclasses import dataclass
from random import Random

import pytest

from gateway.domain.ids import TransactionId
from gateway.domain.promises import Excuse, PromiseState, Reservation
from gateway.domain.sessions import Session
from tests.support.promise_house import FIRST, House
from tests.support.virtual_time import run_virtual

VAN = "van-7"
FIRST_MIN, SECOND_MIN = (60, 180), (180, 225)  # Their windows.
LAST_MIN = 250


@dataclass(frozen=True, slots=True)
class Life:
    """What truly is: when the vehicle is there, and when its station, or the daemon, is not."""

    comes_min: int
    leaves_min: int
    lost_min: int
    back_min: int
    restarts_min: int | None
    kw: float
    asked_ratio: tuple[float, float]
    is_live_told_first: bool

    @classmethod
    def of(cls, seed: int) -> "Life":
        """Draw one. It begins with its station in reach, which is back before anything is judged."""
        rng = Random(seed)
        lost_min = rng.randint(40, 215)
        return cls(
            comes_min=rng.randint(50, 70),
            leaves_min=rng.choice([rng.randint(150, 178), rng.randint(190, 240)]),
            lost_min=lost_min,
            back_min=min(lost_min + rng.randint(3, 130), 236),
            restarts_min=rng.choice([None, rng.randint(75, 230)]),
            kw=rng.choice([3.7, 7.4, 11.0]),
            asked_ratio=(rng.choice([0.6, 0.9, 1.1]), rng.choice([0.6, 0.9, 1.1])),
            is_live_told_first=rng.random() < 0.3,
        )

    def shown_kwh(self, minute: float) -> float:
        """Return what the meter shows."""
        return self.kw / 60 * (min(max(minute, self.comes_min), self.leaves_min) - self.comes_min)

    def flowed_kwh(self, window_min: tuple[int, int]) -> float:
        """Return what flows in a window, and before the first."""
        since_min = 0 if window_min == FIRST_MIN else window_min[0]
        return self.shown_kwh(window_min[1]) - self.shown_kwh(since_min)

    def is_heard(self, minute: int) -> bool:
        """Return whether the station is in reach."""
        return not self.lost_min <= minute < self.back_min


class Told:
    """A life as its station tells it."""

    def __init__(self, life: Life, house: House) -> None:
        self.life, self.house = life, house
        self.has_come = self.has_left = False

    def tell(self, minute: int) -> None:
        """Tell what is not told yet, in one of the orders in which stations do."""
        life, house = self.life, self.house
        if minute in (life.lost_min, life.back_min):
            (house.is_lost if minute == life.lost_min else house.is_back)()
        if not life.is_heard(minute):
            return
        if life.is_live_told_first and self.has_come:
            house.shows(life.shown_kwh(minute))
        if minute >= life.comes_min and not self.has_come:
            self.has_come = True
            house.comes(FIRST, VAN, starts_kwh=0, min_ago=minute - life.comes_min)
        if minute >= life.leaves_min and not self.has_left:
            self.has_left, ago = True, minute - life.leaves_min
            house.shows(life.shown_kwh(minute), min_ago=ago)
            house.leaves(min_ago=ago)
        house.shows(life.shown_kwh(minute))

    def begin_again(self, minute: int, *promises: Reservation) -> None:
        """Kill the daemon and begin it again; its stations dial at once, if they can."""
        there = Session(
            connector=FIRST,
            transaction=TransactionId("1"),
            began_at_s=self.house.clock.now_at().timestamp() - (minute - self.life.comes_min) * 60,
            id_token=VAN,
            delivered_wh=0.0,
        )
        memories = {each.id: self.house.memory_of(each) for each in promises}
        were_there = (there,) if self.has_come and not self.has_left else ()
        self.house = House(memories, were_there, is_in_reach=self.life.is_heard(minute))


async def live(life: Life) -> list[tuple[Reservation, tuple[int, int]]]:
    """Return what became of both promises, with their windows."""
    told, made = Told(life, House()), list[tuple[Reservation, tuple[int, int]]]()
    for window_min, ratio in zip((FIRST_MIN, SECOND_MIN), life.asked_ratio, strict=True):
        promise = await told.house.promise(
            id_token=VAN,
            from_h=window_min[0] / 60,
            until_h=window_min[1] / 60,
            kwh=life.kw * (window_min[1] - window_min[0]) / 60 * ratio,
        )
        made.append((promise, window_min))
    for minute in range(LAST_MIN):
        if minute == life.restarts_min:
            told.begin_again(minute, *(promise for promise, _ in made))
        told.tell(minute)
        told.house.booking.settle()
        await told.house.clock.sleep_s(60)
    told.house.booking.settle()
    return [(told.house.of(promise), window_min) for promise, window_min in made]


@pytest.mark.parametrize("seed", range(60))
def test_what_is_said_of_promises_is_what_was(seed: int) -> None:
    life = Life.of(seed)
    for now, window_min in run_virtual(live(life)):
        truly_kwh, kept_kwh = life.flowed_kwh(window_min), 0.98 * now.energy_wh / 1_000
        if life.leaves_min <= window_min[0]:
            excused = now.state is PromiseState.NO_SHOW or now.excuse is Excuse.LEFT_EARLY
            assert excused or now.cause, now  # Its station was away, and its cause says so.
        elif truly_kwh >= kept_kwh:
            assert now.state is PromiseState.FULFILLED
        else:
            assert now.state is PromiseState.BROKEN
            # To what flows in the minute before a window ends or a reading comes.
            assert now.delivered_wh / 1_000 == pytest.approx(truly_kwh, abs=life.kw / 60 * 1.1)
