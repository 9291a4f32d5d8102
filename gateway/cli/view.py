"""The terminal view: every circuit against its set-point and rating, every connector and why."""

import itertools
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from gateway.domain.alarms import Alarm
from gateway.services.snapshot import CircuitView, ConnectorView, PhaseView, Snapshot

NARROW_WIDTH = 79
SMALL_WIDTH = 40
ENDLESS = 1_000_000
TICKER_HEIGHT = 20
WIDEST_BAR = 48
FIGURES_WIDTH = 70
PROMISED_WIDTH = 9
NAME_WIDTH = 10
STATE_WIDTH = 13
DRAWS_WIDTH = 19
OLD_S = 5.0

BAD = "bold red"
DOUBTFUL = "yellow"
GOOD = "green"
QUIET = "bright_black"
HEAD = "bold"

STYLE_OF_CONDITION = {
    "charging": GOOD,
    "no vehicle": QUIET,
    "paused": DOUBTFUL,
    "out of reach": BAD,
    "faulted": BAD,
    "unavailable": BAD,
}


def render(
    snapshot: Snapshot, *, width: int, height: int | None = None, ticker: Sequence[str] = ()
) -> list[Text]:
    """Return the view as lines, none longer than `width`, exactly `height` of them if given.

    `ticker` is what happened lately, the newest last. What does not fit is left out from the
    least important up: the ends of long sentences, phases with most room, connectors.
    """
    width = max(SMALL_WIDTH, width)
    fill = 0 if height is None else height
    height = ENDLESS if height is None else height
    top = [_header(snapshot, width)]
    bottom = [Text(line, style=DOUBTFUL) for line in ticker[-3:]] if height > TICKER_HEIGHT else []
    if snapshot.pending:
        bottom.insert(0, Text(f"waiting for adoption: {', '.join(snapshot.pending)}", DOUBTFUL))
    top += _alarms(snapshot.alarms, width, most=max(1, height // 3))
    room = height - len(top) - len(bottom)
    circuits = _circuits(snapshot.circuits, width, most=room // 2)
    connectors = _connectors(snapshot.connectors, width, most=room - len(circuits))
    lines = [*top, *circuits, *connectors]
    lines += [Text("") for _ in range(fill - len(lines) - len(bottom))]
    lines += bottom
    for line in lines:
        line.truncate(width, overflow="ellipsis")
        line.no_wrap = True
    return lines[:height]


def _header(snapshot: Snapshot, width: int) -> Text:
    stations = {
        view.connector.rpartition("/")[0]: view.is_connected for view in snapshot.connectors
    }
    said = f"{snapshot.at:%H:%M:%S} UTC   {sum(stations.values())} of {len(stations)} stations"
    if snapshot.limit_latency_p99_s is not None and width >= NARROW_WIDTH:
        said += f"   limits acknowledged in {snapshot.limit_latency_p99_s:.2f} s (p99)"
    name = snapshot.site[: max(0, width - len(said) - 2)]
    line = Text(f"{name}{said:>{width - len(name)}}", style=HEAD)
    if snapshot.is_stopped:
        line = Text(f"{name}   STOPPED by the stop input", style=BAD)
    return line


def _alarms(alarms: Sequence[Alarm], width: int, *, most: int) -> list[Text]:
    """Return the alarms in at most so many lines: what is left out, the log has said."""
    told = [textwrap.wrap(f"ALARM {alarm.name}: {alarm.text}", width) for alarm in alarms]
    return [Text(line, style=BAD) for line in itertools.chain.from_iterable(told)][:most]


# Circuits.


def _circuits(circuits: Sequence[CircuitView], width: int, *, most: int) -> list[Text]:
    rows = [(circuit, phase) for circuit in circuits for phase in circuit.phases]
    if len(rows) + 2 > most:
        # Of each circuit the phase that binds says most.
        rows = [(c, min(c.phases, key=lambda p: p.available_ma - p.claimed_ma)) for c in circuits]
    shown = rows[: max(1, most - 2)]
    has_promised = any(phase.promised_ma for _, phase in rows)
    columns = _Columns.of(width, has_promised=has_promised)
    lines = [Text(""), Text(columns.head(), style=QUIET)]
    lines += [_phase_line(c, p, columns) for c, p in shown]
    return lines


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    """What is shown of a phase beside its current and bounds, as far as there is room.

    What is kept for promised loads has a column while anything is: the bar gives way to it.
    """

    has_figures: bool
    has_promised: bool
    bar_width: int

    @classmethod
    def of(cls, width: int, *, has_promised: bool) -> "_Columns":
        has_figures = width >= NARROW_WIDTH
        bar_width = width - (FIGURES_WIDTH + PROMISED_WIDTH * has_promised) - 1
        return cls(
            has_figures=has_figures,
            has_promised=has_figures and has_promised,
            bar_width=min(WIDEST_BAR, bar_width) if has_figures and bar_width > 0 else 0,
        )

    def head(self) -> str:
        head = f"{'circuit, A':<14}{'':{self.bar_width + bool(self.bar_width)}}"
        head += f" {'now':>6} {'set-point':>9} {'rating':>6}"
        if self.has_figures:
            promised = f" {'promised':>8}" if self.has_promised else ""
            head += f" {'base':>6} {'reserve':>7}{promised} {'available':>9} {'age':>6}"
        return head


def _phase_line(circuit: CircuitView, phase: PhaseView, columns: _Columns) -> Text:
    line = Text(f"{circuit.id[:11]:<12}{phase.phase:<2}")
    if columns.bar_width:
        line.append(" ").append_text(_bar(phase, columns.bar_width))
    current_ma = phase.current_ma
    style = GOOD
    if current_ma is None:
        style = QUIET if phase.age_s is None and circuit.meter is None else BAD
    elif current_ma > phase.rating_ma:
        style = BAD
    elif current_ma > phase.bound_ma:
        style = DOUBTFUL
    line.append(f" {'–' if current_ma is None else _amps(current_ma):>6}", style=style)
    bound_style = DOUBTFUL if phase.bound_source is not None else ""
    line.append(f" {_amps(phase.bound_ma):>9}", style=bound_style)
    line.append(f" {_amps(phase.rating_ma):>6}")
    if columns.has_figures:
        line.append(f" {_amps(phase.base_ma):>6} {_amps(phase.reserve_ma):>7}", style=QUIET)
        if columns.has_promised:
            line.append(f" {_amps(phase.promised_ma):>8}", style=QUIET)
        line.append(f" {_amps(phase.available_ma):>9}")
        line.append_text(_age(circuit, phase))
    return line


def _age(circuit: CircuitView, phase: PhaseView) -> Text:
    if circuit.meter is None:
        return Text(f" {'none':>6}", style=QUIET)
    if phase.age_s is None:
        return Text(f" {'never':>6}", style=BAD)
    return Text(f" {phase.age_s:>4.1f} s", style=BAD if phase.age_s > OLD_S else QUIET)


def _bar(phase: PhaseView, width: int) -> Text:
    """Return base, charging and what is left as a bar whose right end is the rating."""

    def column(current_ma: int) -> int:
        return max(0, min(width, round(current_ma * width / phase.rating_ma)))

    now, mark = phase.current_ma, min(width - 1, column(phase.bound_ma))
    filled = column(phase.base_ma if now is None else abs(now))
    base = min(filled, column(phase.base_ma))
    bar = Text()
    for at in range(width):
        if at < base:
            sign, style = ("▒", QUIET) if now is None else ("█", "blue")
        elif at < filled:
            sign, style = "█", GOOD if at < mark else DOUBTFUL
        else:
            sign, style = ("│" if at == mark else "·"), QUIET
        bar.append(sign, style=style)
    if now is not None and now > phase.rating_ma:
        bar.stylize(BAD)
    return bar


# Connectors.


def _connectors(connectors: Sequence[ConnectorView], width: int, *, most: int) -> list[Text]:
    room = most - 2
    if room < 1:
        return []
    is_narrow = width < NARROW_WIDTH
    head = f"{'connector':<{NAME_WIDTH}}"
    if not is_narrow:
        head += f"{'':<{STATE_WIDTH}}{'L1':>5} {'L2':>5} {'L3':>5}  "
    lines = [Text(""), Text(f"{head}limit and why", style=QUIET)]
    shown = list(connectors)
    if len(connectors) > room:
        room -= 1
        shown = shown[:room]
    sentences = [_wrapped(view.why, width, is_narrow=is_narrow) for view in shown]
    for view, sentence in zip(shown, _shortened(sentences, room), strict=True):
        lines.extend(_connector_lines(view, sentence, is_narrow=is_narrow))
    if len(shown) < len(connectors):
        left = len(connectors) - len(shown)
        lines.append(Text(f"and {left} more: headroom why", style=QUIET))
    return lines


def _wrapped(sentence: str, width: int, *, is_narrow: bool) -> list[str]:
    """Return a sentence in lines: the first beside the columns, the others below them."""
    beside = 0 if is_narrow else STATE_WIDTH + DRAWS_WIDTH
    # A number stays with its unit.
    glued = re.sub(r"(?<=\d) (?=(A|s|min)\b)", "\N{NO-BREAK SPACE}", sentence)
    lines = textwrap.wrap(glued, width - NAME_WIDTH, initial_indent=" " * beside)
    lines = [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]
    return [lines[0][beside:], *lines[1:]] if lines else [""]


def _shortened(sentences: list[list[str]], most: int) -> list[list[str]]:
    """Return the sentences with the longest cut, until all of them fit into `most` lines."""
    heights = [len(sentence) for sentence in sentences]
    while sum(heights) > most and max(heights) > 1:
        heights[heights.index(max(heights))] -= 1
    return [
        sentence if len(sentence) == height else [*sentence[: height - 1], _cut(sentence, height)]
        for sentence, height in zip(sentences, heights, strict=True)
    ]


def _cut(sentence: list[str], height: int) -> str:
    return f"{sentence[height - 1][:-1]}…"


def _connector_lines(view: ConnectorView, sentence: list[str], *, is_narrow: bool) -> list[Text]:
    style = STYLE_OF_CONDITION.get(view.condition, "")
    first = Text(f"{view.connector[: NAME_WIDTH - 1]:<{NAME_WIDTH}}", style=style)
    if not is_narrow:
        first.append(f"{view.condition[: STATE_WIDTH - 1]:<{STATE_WIDTH}}", style=style)
        first.append(f"{_draws(view):<{DRAWS_WIDTH}}")
    limit, mark, rest = sentence[0].partition(": ")
    first.append(limit + mark, style=HEAD).append(rest)
    return [first, *(Text(f"{'':{NAME_WIDTH}}{line}") for line in sentence[1:])]


def _draws(view: ConnectorView) -> str:
    """Return the draw of each phase the connector has, or its power when that is all it tells."""
    if view.draw_ma is None:
        return f"{view.power_w / 1_000:>5.1f} kW" if view.power_w is not None else ""
    return " ".join(
        f"{_amps(current_ma):>5}" if phase in view.phases else f"{'':>5}"
        for phase, current_ma in zip(("L1", "L2", "L3"), view.draw_ma, strict=True)
    )


def _amps(current_ma: int) -> str:
    return f"{current_ma / 1_000:.1f}"
