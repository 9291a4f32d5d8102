"""The proof of a site for people (a table, and the sums that fail) and for programs."""

from collections.abc import Iterator
from itertools import groupby, zip_longest

from rich.table import Table
from rich.text import Text

from gateway.control.first_starts import FirstStart
from gateway.control.proof import FallbackTerm, PhaseProof, SiteProof, lower_fallbacks
from gateway.domain.circuits import Circuit, Site
from gateway.domain.electric import (
    LOWEST_VOLTAGE_PCT,
    MIN_CHARGING_MA,
    PerPhase,
    in_amperes_ma,
)
from gateway.domain.ids import ConnectorRef
from gateway.domain.rating_calendar import lowest_rating

MANY = 6


def proof_table(site: Site, proof: SiteProof) -> Table:
    """Return the sum of every circuit and phase as a table, 79 columns wide at most."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("circuit", overflow="fold", max_width=18)
    table.add_column("")
    for title in ("fallbacks", "+ base", "+ loads", "= worst", "set-point", "margin"):
        table.add_column(title, justify="right")
    table.add_column("")
    circuits = {circuit.id: circuit for circuit in site.circuits}
    for name, rows in groupby(proof.phases, key=lambda row: row.circuit):
        labels = [Text(name, style="bold"), *_describe_device(circuits[name])]
        # A phase the circuit does not have says nothing, unless something is on it.
        present = [row for row in rows if row.rating_ma or row.worst_case_ma]
        for label, row in zip_longest(labels, present):
            figures = (
                ("", "", "") if row is None else (row.phase.name, *_figures(row), _verdict(row))
            )
            table.add_row(label, *figures)
        table.add_row()
    return table


def explain_failures(site: Site, proof: SiteProof) -> Iterator[str]:
    """Yield, for each sum that fails, the sum term by term and what would mend it."""
    for row in proof.failures:
        over = _amps_over(-row.margin_ma)
        yield f"{row.circuit} {row.phase.name}: {over} A over the set-point of {_amps(row.set_point_ma)} A"
        yield f"    fallbacks  {_amps(row.fallback_ma):>7} A   {_list_fallbacks(row.fallbacks)}"
        yield f"  + base       {_amps(row.base_ma):>7} A   {_describe_base(row)}"
        yield f"  + loads      {_amps(row.load_ma):>7} A   {_list_loads(row)}"
        yield f"  = worst case {_amps(row.worst_case_ma):>7} A"
        yield f"  {_mend(row)}"
        yield ""
    yield from _list_remedy(site)


def explain_watts(site: Site) -> str | None:
    """Return what fallbacks told in watts count, and whose those are; None where none is."""
    stations = [station.id for station in site.stations if station.takes_watts]
    if not stations:
        return None
    lowest_v = site.voltage_v * LOWEST_VOLTAGE_PCT / 100
    counted_a = in_amperes_ma(MIN_CHARGING_MA) / 1_000
    names = ", ".join(stations[:MANY])
    names += f" and {len(stations) - MANY} more" if len(stations) > MANY else ""
    return (
        f"Fallbacks told in watts count at the lowest voltage, where {MIN_CHARGING_MA / 1_000:g} A of"
        f" {site.voltage_v:g} V are {counted_a:.1f} A of {lowest_v:g} V: {names}."
    )


def explain_first_start(start: FirstStart) -> Iterator[str]:
    """Yield what a first vehicle carries a circuit to, and how long that is borne; what is left then."""
    others = "" if start.count == 1 else f" (or one of {start.count - 1} more)"
    yield (
        f"{start.circuit} {start.phase.name}: {start.connector}{others} {_amps(start.starts_ma)} A"
        f" + {_amps(start.full_ma)} A in full use = {_amps(start.flows_ma)} A on {_amps(start.rating_ma)} A,"
        f" which by its curve the device bears for {start.bears_s:.1f} s"
    )
    if start.alone_ma > start.rating_ma:
        yield (
            f"  with the worst-case base alone it is {_amps(start.alone_ma)} A: then no pause of others"
            " ends it"
        )


def first_start_json(start: FirstStart) -> dict[str, object]:
    """Return such a start for programs; currents in amperes."""
    return {
        "circuit": start.circuit,
        "phase": start.phase.name,
        "connector": str(start.connector),
        "rating_a": start.rating_ma / 1_000,
        "full_a": start.full_ma / 1_000,
        "starts_a": start.starts_ma / 1_000,
        "alone_a": start.alone_ma / 1_000,
        "bears_s": round(start.bears_s, 1),
        "connectors": start.count,
    }


def proof_json(site: Site, proof: SiteProof) -> dict[str, object]:
    """Return the proof for programs; currents in amperes."""
    remedy = lower_fallbacks(site)
    now = {connector.ref: connector.fallback_ma for connector in site.connectors}
    return {
        "holds": proof.holds,
        "sums": [_row_json(row) for row in proof.phases],
        # None: no fallback helps. Empty: none is needed.
        "lower_fallbacks": None
        if remedy is None
        else [
            {"connector": str(ref), "from_a": now[ref] / 1_000, "to_a": to_ma / 1_000}
            for ref, to_ma in remedy.items()
        ],
    }


def _row_json(row: PhaseProof) -> dict[str, object]:
    return {
        "circuit": row.circuit,
        "phase": row.phase.name,
        "rating_a": row.rating_ma / 1_000,
        "set_point_a": row.set_point_ma / 1_000,
        "fallback_a": row.fallback_ma / 1_000,
        "base_a": row.base_ma / 1_000,
        "load_a": row.load_ma / 1_000,
        "worst_case_a": row.worst_case_ma / 1_000,
        "margin_a": row.margin_ma / 1_000,
        "holds": row.holds,
        "declared_base_a": row.declared_base_ma / 1_000,
        "circuits_below_a": row.circuits_below_ma / 1_000,
        "fallbacks": [
            {
                "connector": str(term.connector),
                "fallback_a": term.fallback_ma / 1_000,
                "counted_a": term.counted_ma / 1_000,
            }
            for term in row.fallbacks
        ],
        "loads": [
            {
                "load": term.load,
                "interlock": term.interlock,
                "worst_case_a": term.worst_case_ma / 1_000,
                "off": list(term.silenced),
            }
            for term in row.loads
        ],
    }


def _describe_device(circuit: Circuit) -> tuple[Text, ...]:
    described = [
        f"  {_rating(circuit.rating_ma)} A {circuit.device}",
        f"  aims at {circuit.set_point_ratio:.0%}",
    ]
    if circuit.lowest_set_point_ma != circuit.set_point_ma:
        lowest_ma = lowest_rating(circuit.rating_ma, circuit.ratings)
        described.append(f"  at times {_rating(lowest_ma)} A")
    return tuple(Text(line, style="dim") for line in described)


def _rating(rating_ma: PerPhase) -> str:
    is_even = len(set(rating_ma)) == 1
    return "/".join(f"{ma / 1_000:g}" for ma in rating_ma[: 1 if is_even else 3])


def _figures(row: PhaseProof) -> Iterator[str]:
    sums = (row.fallback_ma, row.base_ma, row.load_ma, row.worst_case_ma, row.set_point_ma)
    yield from (_amps(ma) for ma in (*sums, row.margin_ma))


def _verdict(row: PhaseProof) -> Text:
    return Text("ok", style="green") if row.holds else Text("OVER", style="bold red")


def _describe_base(row: PhaseProof) -> str:
    if row.circuits_below_ma > row.declared_base_ma:
        return (
            f"sum of the circuits below; more than its own worst_case_base_a of "
            f"{_amps(row.declared_base_ma)}"
        )
    return "its worst_case_base_a, the circuits below included"


def _list_fallbacks(terms: tuple[FallbackTerm, ...]) -> str:
    """Return the connectors by their fallback, the long lists cut."""
    by_fallback: dict[tuple[int, int], list[ConnectorRef]] = {}
    for term in terms:
        if term.fallback_ma:
            counted = by_fallback.setdefault((term.counted_ma, term.fallback_ma), [])
            counted.append(term.connector)
    parts = []
    for (counted_ma, fallback_ma), refs in sorted(by_fallback.items(), reverse=True):
        names = ", ".join(str(ref) for ref in refs[:MANY])
        names += f" and {len(refs) - MANY} more" if len(refs) > MANY else ""
        in_watts = f"; {fallback_ma / 1_000:g} A told in watts" if counted_ma > fallback_ma else ""
        parts.append(f"{len(refs)} × {round(counted_ma / 1_000, 1):g} ({names}{in_watts})")
    return " + ".join(parts) or "none"


def _list_loads(row: PhaseProof) -> str:
    parts = []
    for term in row.loads:
        part = f"{term.load} {term.worst_case_ma / 1_000:g}"
        if term.silenced:
            part += f" (largest of {term.interlock})"
        parts.append(part)
    return " + ".join(parts) or "none"


def _mend(row: PhaseProof) -> str:
    over, phase = _amps_over(-row.margin_ma), row.phase.name
    if row.fallback_ma < -row.margin_ma:
        return (
            f"No fallback helps: base and loads alone are {_amps_over(-row.margin_ma - row.fallback_ma)} A"
            f" over. Measure the base, interlock loads, or move load off {row.circuit} {phase}."
        )
    return (
        f"Lower the fallbacks on {phase} by {over} A in all, or show that the base is"
        f" {over} A less" + (", or interlock loads." if len(row.loads) > 1 else ".")
    )


def _list_remedy(site: Site) -> Iterator[str]:
    remedy = lower_fallbacks(site)
    if not remedy:
        return
    now = {connector.ref: connector.fallback_ma for connector in site.connectors}
    yield "With these fallbacks the proof holds:"
    for ref, to_ma in remedy.items():
        yield f"  {ref}: fallback_a: {to_ma / 1_000:g}   (now {now[ref] / 1_000:g})"


def _amps(current_ma: int) -> str:
    return f"{current_ma / 1_000:,.1f}"


def _amps_over(current_ma: int) -> str:
    """Return what is too much, rounded up: who takes that away has taken enough."""
    return f"{-(-current_ma // 100) / 10:,.1f}"
