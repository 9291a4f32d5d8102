"""Whether promises are kept as often as they say, as the API reports it."""

from gateway.api.endpoints import Call, Endpoint
from gateway.api.models import Answer
from gateway.domain.access import Role
from gateway.domain.promises import Excuse
from gateway.planning.calibrate import KEPT_RATIO, ReliabilityReport
from gateway.planning.risk_words import miscalibrations_said


class LevelView(Answer):
    """Binding promises nearest to a level: how sure they were said to be, and how many were kept.

    The last three are None while there are none; `low` to `high` is the 95 % Wilson interval.
    """

    level: float
    count: int
    promised: float | None
    kept: float | None
    low: float | None
    high: float | None


class ReliabilityView(Answer):
    """How often promises were kept, by what was said.

    A promise was kept if `kept_means` of its energy was measured at the connector by its end.
    `levels` are of binding promises, in whose window the building was short in some scenario;
    `slack_count` were not, and `slack_kept_count` of those were kept. `excused` are scored apart,
    by what their vehicle did. `alarm` says what is wrong while the 99 % interval of the last 500
    leaves out what was said.
    """

    kept_means: float
    levels: list[LevelView]
    slack_count: int
    slack_kept_count: int
    excused: dict[Excuse, int]
    alarm: str | None


async def reliability(call: Call) -> ReliabilityView:
    """Answer whether promises are kept as often as they say."""
    return reliability_view(call.sources.bookings.reliability())


def reliability_view(report: ReliabilityReport) -> ReliabilityView:
    """Return the report as it is answered."""
    return ReliabilityView(
        kept_means=KEPT_RATIO,
        levels=[
            LevelView(
                level=row.level_ratio,
                count=row.count,
                promised=row.promised_ratio if row.count else None,
                kept=row.kept_ratio if row.count else None,
                low=row.low_ratio if row.count else None,
                high=row.high_ratio if row.count else None,
            )
            for row in report.rows
        ],
        slack_count=report.slack_count,
        slack_kept_count=report.slack_kept_count,
        excused=dict(report.excused),
        alarm=miscalibrations_said(report.miscalibrations),
    )


REPORTS: tuple[Endpoint, ...] = (
    Endpoint(
        method="GET",
        path="/reports/reliability",
        role=Role.VIEWER,
        summary="How often promises were kept, by what was said",
        answering=reliability,
        answer=ReliabilityView,
    ),
)
