"""The demo's story: two vehicles are promised power ahead, a rating drops, and one of them is late."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from gateway.adapters.clock import SystemClock
from gateway.adapters.token_file import TokenFileError, make_token
from gateway.cli.demo_api import Api, ApiRefusedError, Promise, Quote
from gateway.cli.plant_process import PlantGuest
from gateway.control.proof import prove
from gateway.domain.access import Access, Role
from gateway.domain.circuits import Circuit, Connector, Site
from gateway.domain.electric import power_w
from gateway.domain.needs import Criticality
from gateway.domain.rating_calendar import DAY_S, CalendarRating

SHORTEST_S = 45.0
"""In a shorter demo there is no time to tell anything."""

USUAL_S = 150.0  # In a shorter one everything comes sooner, and lasts less long.
ASKS_S = 10.0
DROPS_S, DROPS_FOR_S = 124.0, 22.0
TOLD_AHEAD_S = 30.0  # By the calendar's rating: limits follow so much before it holds.
STARTS_WITHIN_S = 3.0
LEAST_CONNECTORS = 4
LOWERED_RATIO = 0.6
ASKED_MA = 6_000  # So that both fit beside the worst that the demo's building is declared to draw.
STAYS_S = 600.0  # The window each is promised; a demo may well end before.

Say = Callable[[str], None]
OnPromise = Callable[[str, int], None]
"""Told of a connector what was promised whoever comes to it, in Wh."""
_Step = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Guest:
    """Who asks ahead, and comes; seconds of the demo. `need_ratio`: of all it asks for."""

    name: str
    connector: Connector
    criticality: Criticality
    is_fixed: bool
    asks_s: float
    begins_s: float
    comes_s: float
    need_ratio: float

    @property
    def access(self) -> Access:
        """Return what its token allows."""
        return Access(name=self.name, role=Role.VEHICLE_OPERATOR, criticality=self.criticality)

    def most_w(self, voltage_v: float) -> int:
        """Return what it asks for at most, rounded down."""
        return power_w(ASKED_MA, voltage_v=voltage_v, phase_count=len(self.connector.phases))

    def energy_wh(self, voltage_v: float) -> int:
        """Return what it needs."""
        return int(self.need_ratio * self.most_w(voltage_v) * STAYS_S / 3_600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What is told in a demo, in its seconds."""

    site: Site
    circuit: Circuit
    guests: tuple[_Guest, ...]
    drops_s: float
    drops_for_s: float

    @staticmethod
    def of(site: Site, duration_s: float | None) -> "Story | None":
        """Return the story of a site; None where it has no room for one, or no time."""
        if duration_s is not None and duration_s < SHORTEST_S:
            return None
        pace = min(1.0, (duration_s or USUAL_S) / USUAL_S)
        for circuit in site.circuits:
            there = [c for c in site.connectors if c.circuit == circuit.id]
            if circuit.meter and circuit.parent and len(there) >= LEAST_CONNECTORS:
                break
        else:
            return None
        _, dock, _, van, *_ = there
        dock_comes_s = max(ASKS_S + 3.0, 20.0 * pace)
        guests = (
            _Guest(
                name="drone dock",
                connector=dock,
                criticality=Criticality.CRITICAL,
                is_fixed=False,
                asks_s=ASKS_S,
                begins_s=dock_comes_s,
                comes_s=dock_comes_s,
                need_ratio=0.6,
            ),
            # It needs all of its window, and is late.
            _Guest(
                name="van",
                connector=van,
                criticality=Criticality.HIGH,
                is_fixed=True,
                asks_s=ASKS_S + 3.0,
                begins_s=max(ASKS_S + 5.0, 40.0 * pace),
                comes_s=130.0 * pace,
                need_ratio=0.99,
            ),
        )
        story = Story(
            site=site,
            circuit=circuit,
            guests=guests,
            drops_s=DROPS_S * pace,
            drops_for_s=DROPS_FOR_S * pace,
        )
        return story if prove(story.lowered()).holds else None

    @property
    def plant_guests(self) -> tuple[PlantGuest, ...]:
        """Return who comes, for the simulated building."""
        return tuple(
            PlantGuest(
                connector=str(guest.connector.ref),
                at_s=guest.comes_s,
                energy_wh=guest.energy_wh(self.site.voltage_v),
                most_a=guest.connector.max_ma / 1_000,
                phase_count=len(guest.connector.phases),
            )
            for guest in self.guests
        )

    def lowered(self) -> Site:
        """Return the site of a demo that starts now: its circuit's rating drops on the way."""
        zone = ZoneInfo(self.site.timezone)
        drops_at = SystemClock().now_at() + timedelta(seconds=self.drops_s + STARTS_WITHIN_S)
        local = drops_at.astimezone(zone)
        starts_s = local.hour * 3_600 + local.minute * 60 + local.second
        l1, l2, l3 = (int(rating * LOWERED_RATIO) for rating in self.circuit.rating_ma)
        rating = CalendarRating(
            rating_ma=(l1, l2, l3),
            starts_s=starts_s,
            ends_s=(starts_s + round(self.drops_for_s)) % DAY_S,
        )
        circuits = tuple(
            replace(circuit, ratings=(*circuit.ratings, rating))
            if circuit.id == self.circuit.id
            else circuit
            for circuit in self.site.circuits
        )
        return replace(self.site, circuits=circuits)

    async def tell(self, url: str, folder: Path, say: Say, on_promise: OnPromise) -> None:
        """Play it through the API at `url`, from now on; `folder` is the daemon's state.

        What goes wrong with it is said, and harms nothing.
        """
        try:
            operator = await _known(url, folder, Access(name="demo", role=Role.OPERATOR))
            guests = {guest: await _known(url, folder, guest.access) for guest in self.guests}
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(say_risks(operator, say), name="hear the API")
                tasks.create_task(self._play(guests, say, on_promise), name="play")
        except* (OSError, TokenFileError, ApiRefusedError, msgspec.MsgspecError) as errors:
            say(f"the story ends here: {errors.exceptions[0]}")

    async def _play(self, guests: Mapping[_Guest, Api], say: Say, on_promise: OnPromise) -> None:
        began_s = asyncio.get_running_loop().time()
        for at_s, step in sorted(self._steps(guests, say, on_promise), key=lambda step: step[0]):
            await asyncio.sleep(at_s - (asyncio.get_running_loop().time() - began_s))
            await step()

    def _steps(
        self, guests: Mapping[_Guest, Api], say: Say, on_promise: OnPromise
    ) -> list[tuple[float, _Step]]:
        rated_a = max(self.circuit.rating_ma) / 1_000
        name, low = self.circuit.id, f"{rated_a * LOWERED_RATIO:.0f} A"
        ahead = f"{name} is rated {low} for {self.drops_for_s:.0f} s soon, by its calendar"
        spoken = [
            (self.drops_s - TOLD_AHEAD_S, f"{ahead}: limits follow ahead"),
            (self.drops_s, f"{name} is rated {low} now, instead of {rated_a:.0f} A"),
            (self.drops_s + self.drops_for_s, f"{name} is rated {rated_a:.0f} A again"),
        ]

        async def speak(words: str) -> None:
            say(words)

        asking: list[tuple[float, _Step]] = [
            (guest.asks_s, partial(self._ask, api, guest, say, on_promise))
            for guest, api in guests.items()
        ]
        telling: list[tuple[float, _Step]] = [
            (at_s + STARTS_WITHIN_S, partial(speak, words)) for at_s, words in spoken
        ]
        return asking + telling

    async def _ask(self, api: Api, guest: _Guest, say: Say, on_promise: OnPromise) -> None:
        """Have a guest ask for a quote, hold its best offer and confirm it."""
        begins_at = SystemClock().now_at() + timedelta(seconds=guest.begins_s - guest.asks_s)
        ends_at = begins_at + timedelta(seconds=STAYS_S)
        need = {
            "arrive_at": begins_at.isoformat(),
            "depart_at": ends_at.isoformat(),
            "energy_wh": guest.energy_wh(self.site.voltage_v),
            "max_power_w": guest.most_w(self.site.voltage_v),
            "connector": str(guest.connector.ref),
            "criticality": str(guest.criticality),
            "fixed": guest.is_fixed,
        }
        quote = msgspec.json.decode(await api.ask("POST", "/quotes", need), type=Quote)
        if not quote.offers:
            say(f"{guest.name}: no promise: {quote.reason}")
            return
        offer = quote.offers[0]
        held = await api.ask("POST", "/reservations", {"offer_id": offer.offer_id})
        name = msgspec.json.decode(held, type=Promise).reservation_id
        confirmed = await api.ask("POST", f"/reservations/{name}/confirm")
        promise = msgspec.json.decode(confirmed, type=Promise)
        on_promise(str(guest.connector.ref), promise.energy_wh)
        say(
            f"{guest.name} ({guest.criticality}{', fixed' * guest.is_fixed}): {promise.state},"
            f" {promise.confidence:.0%} sure: {offer.why}"
        )


async def _known(url: str, folder: Path, access: Access) -> Api:
    """Return the API as it is for somebody; `folder` is the daemon's state."""
    now_at = SystemClock().now_at()
    return Api(url, await asyncio.to_thread(make_token, folder, access, now_at=now_at))


async def say_risks(api: Api, say: Say) -> None:
    """Say whose promise is at risk, or no longer is, as the API tells an operator."""
    async for notice in api.notices():
        if notice.kind == "reservation-safe-again":
            say(f"no longer at risk: {notice.holder}")
        elif notice.kind == "reservation-at-risk":
            say(f"AT RISK, {notice.holder}: {notice.data.why}")
