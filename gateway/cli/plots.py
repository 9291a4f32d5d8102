"""Plots of a simulation as one SVG file: shares of the optimum, and power through the busiest day."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377")
INK, GREY, PALE = "#222222", "#777777", "#dddddd"
WIDTH, LEFT, RIGHT = 960, 90, 30
BAR_STEP, BAR_HEIGHT = 26, 16
DAY_HEIGHT = 260
DAY_S = 86_400.0
EVERY_H = 3
STEPS = (1, 2, 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What one policy gave: its part of the optimum, and powers (W) from instants (s) on.

    Each power lasts `slot_s`; between them nothing is given.
    """

    name: str
    share_ratio: float
    powers_w: Sequence[tuple[float, float]]


def drawn(
    courses: Sequence[Course], *, title: str, limit_w: float, slot_s: float, notes: Sequence[str]
) -> str:
    """Return the SVG of a simulation; `notes` are lines of text below its title."""
    top = 56 + 18 * len(notes)
    bars_end = top + 40 + BAR_STEP * len(courses)
    day_top = bars_end + 70
    height = day_top + DAY_HEIGHT + 60
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            f'width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="13">'
        ),
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        _text(LEFT, 32, title, size=18),
        *(_text(LEFT, 56 + 18 * at, note, fill=GREY) for at, note in enumerate(notes)),
        *_bars(courses, top),
        *_day(courses, day_top, limit_w=limit_w, slot_s=slot_s),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _bars(courses: Sequence[Course], top: int) -> list[str]:
    """Return a bar for each policy: its part of the most there was to have."""
    parts = [_text(LEFT, top + 24, "Energy, of the most there was to have")]
    # From a round value on, or the differences would not be seen; the axis says so.
    least = min(0.9, *(int(course.share_ratio * 20) / 20 for course in courses))
    full = WIDTH - LEFT - RIGHT - 70
    for at, course in enumerate(courses):
        y = top + 40 + BAR_STEP * at
        long = full * max(0.0, course.share_ratio - least) / (1.0 - least)
        parts += [
            _text(LEFT - 8, y + 13, course.name, anchor="end"),
            (
                f'<rect x="{LEFT}" y="{y}" width="{long:.1f}" height="{BAR_HEIGHT}" '
                f'fill="{_colour(at)}"/>'
            ),
            _text(LEFT + long + 6, y + 13, f"{course.share_ratio:.2%}"),
        ]
    bottom = top + 40 + BAR_STEP * len(courses)
    parts += [
        _text(LEFT, bottom + 14, f"{least:.0%}", fill=GREY, anchor="middle"),
        _text(LEFT + full, bottom + 14, "100%", fill=GREY, anchor="middle"),
        _line(LEFT, bottom, LEFT + full, bottom, GREY),
        _line(LEFT + full, top + 36, LEFT + full, bottom, PALE),
    ]
    return parts


def _day(courses: Sequence[Course], top: int, *, limit_w: float, slot_s: float) -> list[str]:
    """Return the power of each policy through the day on which the first gave most."""
    day = _busiest_day(courses[0].powers_w)
    limit_kw = limit_w / 1_000
    step_kw = _round_step(limit_kw / 4)
    most_kw = step_kw * (int(limit_kw / step_kw) + 1)
    bottom, wide = top + DAY_HEIGHT, WIDTH - LEFT - RIGHT

    def x_of(at_s: float) -> float:
        return LEFT + wide * (at_s - day * DAY_S) / DAY_S

    def y_of(power_kw: float) -> float:
        return bottom - DAY_HEIGHT * power_kw / most_kw

    parts = [_text(LEFT, top - 18, "Power in kW through the busiest day")]
    for at in range(int(most_kw / step_kw) + 1):
        y = y_of(at * step_kw)
        parts += [_line(LEFT, y, WIDTH - RIGHT, y, PALE)]
        parts += [_text(LEFT - 8, y + 4, f"{at * step_kw:g}", fill=GREY, anchor="end")]
    for hour in range(0, 25, EVERY_H):
        x = LEFT + wide * hour / 24
        parts += [_line(x, bottom, x, bottom + 5, GREY)]
        parts += [_text(x, bottom + 20, f"{hour:02}:00", fill=GREY, anchor="middle")]
    y = y_of(limit_kw)
    parts += [
        (
            f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="{INK}" '
            'stroke-dasharray="6 4"/>'
        ),
        _text(WIDTH - RIGHT, y - 6, f"limit {limit_kw:g} kW", anchor="end"),
    ]
    for at, course in enumerate(courses):
        points = _points(course.powers_w, day, slot_s)
        path = " ".join(f"{x_of(at_s):.1f},{y_of(power_w / 1_000):.1f}" for at_s, power_w in points)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{_colour(at)}" stroke-width="1.6"/>'
        )
        x = LEFT + 110 * at
        parts.append(
            f'<rect x="{x}" y="{bottom + 34}" width="12" height="12" fill="{_colour(at)}"/>'
        )
        parts.append(_text(x + 18, bottom + 44, course.name))
    return parts


def _points(
    powers_w: Sequence[tuple[float, float]], day: int, slot_s: float
) -> list[tuple[float, float]]:
    """Return the corners of a day's steps, at zero where nothing is given."""
    begins_s, ends_s = day * DAY_S, (day + 1) * DAY_S
    inside = [(at_s, power_w) for at_s, power_w in powers_w if begins_s <= at_s < ends_s]
    points = [] if inside and inside[0][0] == begins_s else [(begins_s, 0.0)]
    for (at_s, power_w), (next_s, _) in pairwise([*inside, (ends_s, 0.0)]):
        until_s = min(at_s + slot_s, next_s)
        if points and points[-1][0] < at_s:
            points.append((at_s, 0.0))
        points += [(at_s, power_w), (until_s, power_w)]
        if until_s < next_s:
            points.append((until_s, 0.0))
    return points if points[-1][0] >= ends_s else [*points, (ends_s, 0.0)]


def _busiest_day(powers_w: Sequence[tuple[float, float]]) -> int:
    by_day: dict[int, float] = {}
    for at_s, power_w in powers_w:
        by_day[int(at_s // DAY_S)] = by_day.get(int(at_s // DAY_S), 0.0) + power_w
    return max(by_day, key=lambda day: by_day[day], default=0)


def _round_step(about: float) -> float:
    """Return 1, 2 or 5 times a power of ten, not below what is wanted."""
    scale = 1.0
    while scale * 10 <= about:
        scale *= 10
    while scale > about:
        scale /= 10
    return next((scale * step for step in STEPS if scale * step >= about), scale * 10)


def _text(
    x: float, y: float, words: str, *, fill: str = INK, anchor: str = "start", size: int = 13
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{fill}" text-anchor="{anchor}" '
        f'font-size="{size}">{escape(words)}</text>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, stroke: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{stroke}"/>'


def _colour(at: int) -> str:
    return COLOURS[at % len(COLOURS)]
