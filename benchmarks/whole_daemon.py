"""The whole daemon with 100 stations and 20 meters: memory, control cycle, lag under 1,000 CALL/s.

`headroom run` is a process of its own, with its ledger on disk and its metrics scraped each 5 s; the
building at its other end is another one (`benchmarks/_busy_building.py`). First the building charges
as buildings do, a reading from each station every 10 s, until stations have been tried and raised;
then the stations call 1,000 times a second between them: 70 % MeterValues (1.3 kB, ten values), 20 %
Heartbeat, 10 % StatusNotification. Durations are those of the daemon's own metrics, so a quantile
lies between two bounds of a distribution; both are told. Memory is the sum of PSS (smaps_rollup)
over the daemon and its children, which counts what they share once. On a machine that others keep
busy the event loop waits for a core: `waited_for_a_core_ratio` says how much (schedstat).
"""

import contextlib
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.ocpp_inbound import pss_kib

STATIONS: Final = 100
METERS: Final = 20
LINES: Final = 4
CALLS_PER_S: Final = 1_000
QUIET_S: Final = 60.0
LOADED_S: Final = 60.0
SCRAPE_EACH_S: Final = 5.0
PATIENCE_S: Final = 60.0
MUST_MB: Final = 150.0

HEADROOM: Final = (sys.executable, "-c", "from gateway.cli import main; main()")


def site_text(modbus: list[int]) -> str:
    """Return the site file: a supply, and a metered board for every five stations or so."""
    boards = METERS - 1
    meters = [
        f"  - {{id: meter-{at}, bus: line-{at % LINES}, unit: {at // LINES + 1},"
        " profile: schneider_iem3000}"
        for at in range(METERS)
    ]
    circuits = [
        "  - {id: supply, rating_a: 1600, device: mccb, meter: meter-0, worst_case_base_a: 760}"
    ]
    circuits += [
        f"  - {{id: board-{at}, parent: supply, rating_a: 125, device: mcb, meter: meter-{at},"
        " worst_case_base_a: 40}"
        for at in range(1, boards + 1)
    ]
    stations = [
        f"  - {{id: CP-{at}, circuit: board-{at % boards + 1}, auth: none, connectors:"
        " [{id: 1, phases: [L1, L2, L3], max_a: 32, fallback_a: 6}]}"
        for at in range(STATIONS)
    ]
    buses = [
        f"  - {{id: line-{at}, tcp: {{host: 127.0.0.1, port: {port}}}}}"
        for at, port in enumerate(modbus)
    ]
    lists = {"buses": buses, "meters": meters, "circuits": circuits, "stations": stations}
    lines = ["site: {name: Busy House, timezone: Europe/London, voltage_v: 230}"]
    for name, entries in lists.items():
        lines += [f"{name}:", *entries]
    lines.append("listen: {ocpp: {port: 0}, api: {port: 0}, metrics: {port: 0}}")
    return "\n".join(lines) + "\n"


class Building:
    """The building's process."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        """Take over a process that has just been started."""
        self._process = process
        self.modbus: list[int] = self._hear()["modbus"]

    def tell(self, **words: float | None) -> dict[str, float]:
        """Have the building do something; return what it says once that is done."""
        assert self._process.stdin is not None
        print(json.dumps(words), file=self._process.stdin, flush=True)
        return self._hear()

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        said: dict[str, Any] = json.loads(self._process.stdout.readline())
        return said


@contextmanager
def building() -> Iterator[Building]:
    """Run the building, and see that it is gone in the end."""
    words = [str(STATIONS), str(METERS), str(LINES)]
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks._busy_building", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Building(process)
        finally:
            process.kill()


class Daemon:
    """The daemon's process, and what its metrics say."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        """Wait until stations can connect and metrics can be read."""
        self.pid = process.pid
        until_s = time.monotonic() + PATIENCE_S
        while True:
            text = log.read_text(encoding="utf-8")
            ocpp = re.search(r"ws://127\.0\.0\.1:(\d+)/", text)
            metrics = re.search(r"metrics at http://127\.0\.0\.1:(\d+)$", text, re.MULTILINE)
            if ocpp and metrics:
                break
            assert process.poll() is None, text
            assert time.monotonic() < until_s, text
            time.sleep(0.1)
        self.ocpp_port, self._metrics_port = int(ocpp[1]), int(metrics[1])

    def metrics(self) -> str:
        """Return the text Prometheus would read."""
        connection = http.client.HTTPConnection("127.0.0.1", self._metrics_port, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode()

    def pids(self) -> list[int]:
        """Return the daemon and everything it has started."""
        found = [self.pid]
        for pid in found:
            for task in Path(f"/proc/{pid}/task").iterdir():
                with contextlib.suppress(OSError):
                    children = (task / "children").read_text(encoding="ascii").split()
                    found += [int(child) for child in children]
        return found

    def scheduled_s(self) -> tuple[float, float]:
        """Return for how long all its threads ran, and how long the event loop waited for a core."""
        ran_ns = 0
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            with contextlib.suppress(OSError):
                ran_ns += int((task / "schedstat").read_text(encoding="ascii").split()[0])
        main = Path(f"/proc/{self.pid}/task/{self.pid}/schedstat").read_text(encoding="ascii")
        return ran_ns / 1e9, int(main.split()[1]) / 1e9

    def pss_mb(self) -> float:
        """Return the memory of all of them."""
        return sum(pss_kib(pid) for pid in self.pids()) * 1_024 / 1e6


@contextmanager
def daemon(site: Path, folder: Path) -> Iterator[Daemon]:
    """Run the daemon, and see that it is gone in the end."""
    log = folder / "headroom.log"
    words = ["run", "-c", str(site), "--state", str(folder / "state")]
    with (
        log.open("wb") as errors,
        subprocess.Popen([*HEADROOM, *words], stderr=errors) as process,
    ):
        try:
            yield Daemon(process, log)
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()


@contextmanager
def scraped(running: Daemon, durations_s: list[float]) -> Iterator[None]:
    """Read the metrics every few seconds, as Prometheus does."""
    is_over = threading.Event()

    def scrape() -> None:
        while not is_over.wait(SCRAPE_EACH_S):
            begun_s = time.monotonic()
            running.metrics()
            durations_s.append(time.monotonic() - begun_s)

    scraping = threading.Thread(target=scrape)
    scraping.start()
    try:
        yield
    finally:
        is_over.set()
        scraping.join()


Samples = dict[str, dict[str, float]]


def samples_of(text: str) -> Samples:
    """Return every sample by name, and by the labels' values in one string."""
    samples: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples.setdefault(sample.name, {})[",".join(sample.labels.values())] = sample.value
    return samples


def quantile_ms(before: Samples, after: Samples, name: str, share: float) -> list[float | str]:
    """Return between which bounds, in ms, a quantile of what was noted meanwhile lies."""
    counts = {
        float(bound): count - before[f"{name}_bucket"][bound]
        for bound, count in after[f"{name}_bucket"].items()
    }
    below_s = 0.0
    for bound_s, count in sorted(counts.items()):
        if count >= share * counts[float("inf")]:
            return [below_s * 1_000, bound_s * 1_000 if bound_s < float("inf") else "more"]
        below_s = bound_s
    return []


def phase(
    running: Daemon, house: Building, *, calls_per_s: float | None, for_s: float
) -> dict[str, object]:
    """Let the building do its part; return what the daemon did meanwhile."""
    scrapes_s: list[float] = []
    before = samples_of(running.metrics())
    (ran_s, waited_s), begun_s = running.scheduled_s(), time.monotonic()
    with scraped(running, scrapes_s):
        building_says = house.tell(calls_per_s=calls_per_s, for_s=for_s)
    elapsed_s, (ran_till_s, waited_till_s) = time.monotonic() - begun_s, running.scheduled_s()
    after = samples_of(running.metrics())
    cycle, lag = "headroom_control_cycle_seconds", "headroom_event_loop_lag_seconds"

    def grown(name: str, labels: str = "") -> float:
        return after[name][labels] - before[name][labels]

    dropped = "headroom_facts_dropped_total"
    return {
        **building_says,
        "control_cycle_ms": {
            "p50": quantile_ms(before, after, cycle, 0.5),
            "p99": quantile_ms(before, after, cycle, 0.99),
            "mean": round(grown(f"{cycle}_sum") / grown(f"{cycle}_count") * 1_000, 1),
        },
        "loop_lag_ms": {
            "p50": quantile_ms(before, after, lag, 0.5),
            "p99": quantile_ms(before, after, lag, 0.99),
            "mean": round(grown(f"{lag}_sum") / grown(f"{lag}_count") * 1_000, 2),
        },
        "cycles_per_s": round(grown("headroom_control_cycles_total") / elapsed_s, 3),
        "late_cycles": grown("headroom_control_late_cycles_total"),
        "readings_overtaken": grown(dropped, "overtaken"),
        "facts_not_understood": grown(dropped, "not understood"),
        "calls_unanswered": sum(
            grown("headroom_calls_total", f"{call},unanswered")
            for call in ("limit", "fallback", "question")
        ),
        "processor_ratio": round((ran_till_s - ran_s) / elapsed_s, 3),
        "waited_for_a_core_ratio": round((waited_till_s - waited_s) / elapsed_s, 3),
        "scrape_ms": {
            "median": round(sorted(scrapes_s)[len(scrapes_s) // 2] * 1_000, 1),
            "longest": round(max(scrapes_s) * 1_000, 1),
        },
        "memory_mb": round(running.pss_mb(), 1),
        "stations_proven": sum(after["headroom_station_proven"].values()),
    }


def measure() -> dict[str, object]:
    """Return memory, and what control is like without and with the load."""
    with tempfile.TemporaryDirectory() as name, building() as house:
        folder = Path(name)
        site = folder / "site.yaml"
        site.write_text(site_text(house.modbus), encoding="utf-8")
        with daemon(site, folder) as running:
            house.tell(ocpp=running.ocpp_port)
            print("  quiet ...", file=sys.stderr, flush=True)
            quiet = phase(running, house, calls_per_s=None, for_s=QUIET_S)
            print("  loaded ...", file=sys.stderr, flush=True)
            loaded = phase(running, house, calls_per_s=CALLS_PER_S, for_s=LOADED_S)
            text = running.metrics()
            return {
                "stations": STATIONS,
                "meters": METERS,
                "processes": len(running.pids()),
                "memory_must_mb": MUST_MB,
                "metrics": {
                    "series": sum(not line.startswith("#") for line in text.splitlines()),
                    "kib": round(len(text) / 1_024),
                },
                "quiet": quiet,
                "loaded": loaded,
                "load_average": round(os.getloadavg()[0], 1),
            }


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
