"""Claims that stay after their ground has gone, found by comparing what is counted with the truth.

The other way round from `Run.unsound`: there too little is counted for too long, here too much.
"""

from dataclasses import dataclass, field

from drivers.sim.plant import Plant
from gateway.control.headroom import Survey
from gateway.control.state import SiteState
from gateway.domain.ids import ConnectorRef

LOOK_EVERY_S = 5.0
STUCK_S = 900.0  # Proven, given back, told anew: no rule of the law takes as long.
CONNECTOR_SLACK_MA = 1_000
BASE_SLACK_MA = 2_500  # Readings differ from the truth by some tenths of an ampere each.
BASE_SLACK_RATIO = 0.012  # Of the rating: what the law does not tell from noise.


@dataclass(slots=True)
class StuckClaims:
    """Watches a run; `told` lists what was counted too high for a quarter of an hour without end.

    Counted too high is a connector above what its limit in force allows, and a row's base above
    the true base and the draws that nobody tells. What a vehicle was once seen to draw beyond its
    limits counts for its stay (ADR 0037), though it was a meter that lied. Where a careful gateway may be in doubt
    (`drivers.sim.kept`), nothing is too high.
    """

    told: list[str] = field(default_factory=list)
    _since_s: dict[int | ConnectorRef, float] = field(default_factory=dict)

    def look(self, plant: Plant, state: SiteState, survey: Survey, now_s: float) -> None:
        """Compare, every few seconds, what a decision counted with what may rightly be counted."""
        if now_s % LOOK_EVERY_S:
            return
        counts_a = plant.rightly_counted_a()
        for connector, belief, high_ma in zip(
            state.wiring.connectors, state.connectors, survey.high_ma, strict=True
        ):
            most_a, more_ma = counts_a.get(connector.ref), CONNECTOR_SLACK_MA + belief.excess_ma
            self._note(
                connector.ref,
                now_s,
                f"{connector.ref} counted {high_ma} mA, may draw {most_a} A",
                is_high=most_a is not None and high_ma > most_a * 1_000 + more_ma,
            )
        for at, base_a in enumerate(plant.rightly_taken_for_base_a()):
            row = survey.rows[at]
            slack_ma = BASE_SLACK_MA + row.rating_ma * BASE_SLACK_RATIO
            self._note(
                at,
                now_s,
                f"row {at}: base counted {row.base_ma} mA, is {base_a} A",
                is_high=base_a is not None and row.base_ma > base_a * 1_000 + slack_ma,
            )

    def _note(self, subject: int | ConnectorRef, now_s: float, told: str, *, is_high: bool) -> None:
        if not is_high:
            self._since_s.pop(subject, None)
        elif now_s - self._since_s.setdefault(subject, now_s) == STUCK_S:
            self.told.append(f"{now_s:.0f} s: {told}")
