"""A quote in words: what can be had where and when, and what binds; the same everywhere."""

from datetime import date, datetime, tzinfo
from functools import lru_cache

from gateway.domain.electric import Phase
from gateway.domain.needs import Need
from gateway.domain.promises import CIRCUIT_PLACE
from gateway.planning.answers import OfferAnswer
from gateway.planning.asking import Places
from gateway.planning.book import BookError, NoRoomError
from gateway.planning.quote import Offer, Verdict, Way
from gateway.planning.room import Binding

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
NEARLY_SURE_RATIO = 0.995
WH_DECIMALS = 3
"""Of a kWh."""

NEARLY_FULL_PCT = 80.0
"""Above this part of their battery some vehicles take less and less."""


def place_said(key: str) -> str:
    """Return the name people use of a place."""
    if key.startswith(CIRCUIT_PLACE):
        return f"circuit {key.removeprefix(CIRCUIT_PLACE).partition('#')[0]}"
    return key


def clock_said(at_s: float, now_s: float, zone: tzinfo) -> str:
    """Return an epoch second as the building's clock shows it, with the day if it is not today."""
    at = datetime.fromtimestamp(at_s, tz=zone)
    clock = f"{at.hour:02}:{at.minute:02}"
    return clock if at.date() == _day_of(now_s, zone) else f"{WEEKDAYS[at.weekday()]} {clock}"


@lru_cache(maxsize=1)
def _day_of(at_s: float, zone: tzinfo) -> date:
    """Return the day of an epoch second; one answer tells many times beside one now."""
    return datetime.fromtimestamp(at_s, tz=zone).date()


def offer_said(
    offer: Offer,
    *,
    guaranteed_wh: float,
    from_at_s: float,
    until_at_s: float,
    now_s: float,
    zone: tzinfo,
) -> str:
    """Return what an offer gives, in a sentence without its full stop.

    Its vehicle is there until the epoch second `until_at_s`.
    """
    start = clock_said(from_at_s + offer.begins_s, now_s, zone)
    # The minute in which it is over is the next whole one, unless the vehicle is gone by then.
    over_at_s = -(-(from_at_s + offer.finish_s) // 60) * 60
    finish = clock_said(min(over_at_s, until_at_s), now_s, zone)
    most_w = offer.outlet.power_w(max([part.current_ma for part in offer.profile], default=0))
    sure = offer.confidence_ratio
    chance = "" if sure >= NEARLY_SURE_RATIO else f", {sure:.0%} sure"
    is_part = guaranteed_wh < offer.energy_wh - 1.0
    energy, *guaranteed = kwh_apart(offer.energy_wh, *([guaranteed_wh] if is_part else []))
    said = (
        f"{energy} on {place_said(offer.outlet.key)} from {start} to {finish},"
        f" at up to {most_w / 1_000:.1f} kW{chance}"
    )
    if is_part:
        said += f"; {guaranteed[0]} of it guaranteed"
    return said if offer.way is Way.AS_ASKED else f"{offer.way}: {said}"


def fullness_said(offer: Offer, need: Need) -> str:
    """Return what nobody knows of a vehicle that is to be nearly full, nothing where it is known."""
    soc = need.soc
    if soc is None or soc.target_pct <= NEARLY_FULL_PCT or offer.outlet.taper:
        return ""
    return (
        f"what it takes less above {NEARLY_FULL_PCT:.0f} % of its battery has not been seen yet, and"
        " is not counted in this"
    )


def binding_said(
    binding: Binding, places: Places, *, from_at_s: float, now_s: float, zone: tzinfo
) -> str:
    """Return what binds, in a clause."""
    circuit, phase = row_said(places, binding.row)
    begins = clock_said(from_at_s + binding.from_s, now_s, zone)
    ends = clock_said(from_at_s + binding.until_s, now_s, zone)
    left_a = binding.limit_ma / 1_000
    leaves = "leaves" if binding.is_planned else "may leave only"
    return f"circuit {circuit} {leaves} {left_a:.1f} A on {phase} from {begins} to {ends}"


def row_said(places: Places, row: int) -> tuple[str, str]:
    """Return the circuit and the phase of a row."""
    return str(places.site.circuits[row // 3].id), Phase(row % 3).name


def verdict_said(
    verdict: Verdict, *, wanted_wh: float | None, offers: tuple[OfferAnswer, ...], binds: str
) -> str:
    """Return the whole answer in one sentence; of a yes `binds` is what it has to wait for."""
    if verdict is Verdict.YES:
        return f"Yes: {offers[0].why}{'; ' if binds else ''}{binds}."
    asked = "" if wanted_wh is None else f" the {kwh_said(wanted_wh)}"
    because = f": {binds}" if binds else ""
    if not offers:
        nothing = "nothing else is free" if binds else "nothing is left"
        return f"No: {binds}{', and ' if binds else ''}{nothing} as far as the plan reaches."
    if verdict is Verdict.PARTLY:
        whole = f"all of{asked}" if asked else "as much as it could take"
        return f"Partly: not {whole}{because}. Best is {offers[0].why}."
    return f"Not{asked or ' then'}{because}. Best is {offers[0].why}."


def kwh_said(energy_wh: float) -> str:
    """Return an energy in kWh."""
    return kwh_apart(energy_wh)[0]


def kwh_apart(*energies_wh: float) -> tuple[str, ...]:
    """Return energies in kWh, as exactly as it takes to tell them apart, and from nothing."""
    different_count = len({0, *map(round, energies_wh)})
    said: tuple[str, ...] = ()
    for decimals in range(1, WH_DECIMALS + 1):
        said = tuple([f"{energy_wh / 1_000:.{decimals}f} kWh" for energy_wh in energies_wh])
        if len({f"{0.0:.{decimals}f} kWh", *said}) == different_count:
            break
    return said


def refusal_said(error: BookError, places: Places, now_s: float, zone: tzinfo) -> str:
    """Return why an envelope no longer fits, and what to do."""
    why = str(error)
    if isinstance(error, NoRoomError):
        circuit, phase = row_said(places, error.row)
        since = clock_said(error.at_s, now_s, zone)
        short_a = error.short_ma / 1_000
        why = f"circuit {circuit} is short of {short_a:.1f} A on {phase} from {since}"
    return f"{why}: hold an offer of the fresh quote inside"
