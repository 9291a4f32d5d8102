"""What is seen of the daemon's running parts: by people, by Prometheus, and in counters."""

from collections import Counter

from drivers.ocpp.server import OcppServer
from gateway.adapters.calendar import Calendar
from gateway.adapters.history_db import HistoryDb
from gateway.adapters.ledger_db import LedgerDb
from gateway.adapters.metric_families import Observed
from gateway.front_desk import FrontDesk
from gateway.ports import Clock
from gateway.services.alarms import Alarms
from gateway.services.control_loop import ControlLoop
from gateway.services.dispatcher import Dispatcher
from gateway.services.inbox import Inbox
from gateway.services.shown import snapshot_of
from gateway.services.snapshot import Snapshot


class Observation:
    """Looks at the parts and changes nothing; each look is made when it is asked for."""

    def __init__(
        self,
        *,
        clock: Clock,
        inbox: Inbox,
        control: ControlLoop,
        dispatcher: Dispatcher,
        server: OcppServer,
        desk: FrontDesk,
        alarms: Alarms,
        ledger: LedgerDb | None,
        history: HistoryDb | None,
        calendar: Calendar | None,
    ) -> None:
        self._clock = clock
        self._inbox, self._control, self._dispatcher = inbox, control, dispatcher
        self._server, self._desk, self._alarms = server, desk, alarms
        self._ledger, self._history, self._calendar = ledger, history, calendar

    def snapshot(self) -> Snapshot | None:
        """Return what people are shown; None before the first cycle."""
        cycle = self._control.latest
        if cycle is None:
            return None
        return snapshot_of(
            cycle,
            at=self._clock.now_at(),
            pending=tuple(station.id for station in self._server.pending_stations()),
            alarms=self._alarms.sounding(),
            counters=self._counters(),
            limit_latencies_s=self._dispatcher.limit_latencies_s(),
        )

    def observed(self) -> Observed | None:
        """Return what metrics are told from; None before the first cycle."""
        cycle = self._control.latest
        if cycle is None:
            return None
        return Observed(
            state=cycle.state,
            decision=cycle.decision,
            now_s=self._clock.monotonic_s(),
            alarms=tuple(alarm.name for alarm in self._alarms.sounding()),
            alarms_begun=dict(self._alarms.counters),
            pending_count=len(self._server.pending_stations()),
            counters=self._counters(),
            promises=self._desk.figures(),
            planner=self._desk.planner_figures(),
            profile_writes={
                (station, str(kind)): count
                for (station, kind), count in self._dispatcher.profile_writes.items()
            },
            flash_writes=self._server.flash_writes(),
        )

    def _counters(self) -> dict[str, int]:
        """Return what the parts have counted, by part and name."""
        counters = Counter({"control.dropped": self._inbox.dropped_count})
        for part, counts in (
            ("ledger", self._ledger.counters if self._ledger else Counter[str]()),
            ("history", self._history.counters if self._history else Counter[str]()),
            ("alarms", self._alarms.counters),
            ("calendar", self._calendar.counters if self._calendar else Counter[str]()),
            ("control", self._control.counters),
            ("promises", self._desk.counters),
            ("planner", self._desk.planner_counters),
            ("dispatcher", self._dispatcher.counters),
            ("ocpp", self._server.counters),
        ):
            counters.update({f"{part}.{name}": count for name, count in counts.items()})
        return dict(sorted(counters.items()))
