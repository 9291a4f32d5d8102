"""The yardstick: a sharer that knows everything, acts at once and fills to the set-point."""

from collections.abc import Sequence

from drivers.sim.scenario import Visit
from drivers.sim.vehicle import MIN_OFFER_A, accepted_a

FULL_A = 1e-6  # Less room than this is none.


def fair_shares(
    room_a: Sequence[float], rows: Sequence[tuple[int, ...]], accepts_a: Sequence[float]
) -> list[float]:
    """Return what each vehicle gets: max-min fair, and nothing or at least its minimum.

    `room_a` is the room on each row (a phase of a circuit); vehicle i draws the same on each of
    `rows[i]` and at most `accepts_a[i]`. Earlier vehicles come first when the minimum of 6 A (or
    what is accepted, if that is less) does not suffice for all; what is left is raised evenly.
    """
    left_a = list(room_a)
    shares_a = [0.0] * len(rows)
    rising: list[int] = []
    for i, accepted in enumerate(accepts_a):
        floor_a = min(MIN_OFFER_A, accepted)
        if floor_a > 0.0 and all(left_a[row] >= floor_a for row in rows[i]):
            shares_a[i] = floor_a
            for row in rows[i]:
                left_a[row] -= floor_a
            if accepted > floor_a:
                rising.append(i)
    while True:
        counts = [0] * len(left_a)
        rising = [
            i
            for i in rising
            if accepts_a[i] - shares_a[i] > FULL_A and all(left_a[r] > FULL_A for r in rows[i])
        ]
        if not rising:
            return shares_a
        for i in rising:
            for row in rows[i]:
                counts[row] += 1
        rise_a = min(accepts_a[i] - shares_a[i] for i in rising)
        for row, count in enumerate(counts):
            if count:
                rise_a = min(rise_a, left_a[row] / count)
        for i in rising:
            shares_a[i] += rise_a
        for row, count in enumerate(counts):
            left_a[row] -= rise_a * count


class Guest:
    """A visit as the omniscient sharer serves it: no waiting, no ramp, no ripple."""

    __slots__ = ("delivered_wh", "rows", "share_a", "visit", "voltage_v")

    def __init__(self, visit: Visit, *, rows: tuple[int, ...], voltage_v: float) -> None:
        """`voltage_v` is the sum over the phases the vehicle uses."""
        self.visit = visit
        self.rows = rows
        self.voltage_v = voltage_v
        self.delivered_wh = 0.0
        self.share_a = 0.0


class OmniscientSharer:
    """Serves the same visits from the same circuits, under the same base, with nothing to learn."""

    def __init__(self) -> None:
        self.guests: list[Guest] = []
        self._at_s = 0.0

    def share(self, at_s: float, room_a: Sequence[float]) -> None:
        """Deliver what was shared until now, then share anew `room_a` (set-point less base)."""
        self.deliver(at_s)
        guests = self.guests
        # Who has had least of what was asked comes first when there is not enough for all.
        guests.sort(key=_progress)
        accepts_a = [
            accepted_a(g.visit.vehicle, g.visit.vehicle.need_wh - g.delivered_wh) for g in guests
        ]
        shares_a = fair_shares(room_a, [g.rows for g in guests], accepts_a)
        for guest, share_a in zip(guests, shares_a, strict=True):
            guest.share_a = share_a

    def deliver(self, at_s: float) -> None:
        """Deliver the present shares until `at_s`."""
        lasts_h = (at_s - self._at_s) / 3600.0
        self._at_s = at_s
        for guest in self.guests:
            guest.delivered_wh = min(
                guest.visit.vehicle.need_wh,
                guest.delivered_wh + guest.share_a * guest.voltage_v * lasts_h,
            )


def _progress(guest: Guest) -> float:
    return guest.delivered_wh / guest.visit.vehicle.need_wh
