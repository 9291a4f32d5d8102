"""A rating by the calendar in a real daemon: it holds from the first decision on, and ends with its line."""

import asyncio
import signal
from pathlib import Path

import msgspec

from gateway.adapters.status_socket import ask_status
from gateway.services.snapshot import PhaseView, Snapshot
from tests.support.daemon_process import SITE, Iem3000, Process, daemon, run
from tests.support.modbus_peers import TcpPeer

RATINGS = ', ratings: [{starts: "00:00", ends: "00:00", rating_a: 80}]'


async def first_phase(process: Process) -> PhaseView:
    """Return the supply's first phase, once the daemon has decided something."""
    while True:
        body = await ask_status(process.state)
        snapshot = msgspec.json.decode(body, type=Snapshot | None)
        if snapshot is not None:
            return snapshot.circuits[0].phases[0]
        await asyncio.sleep(0.1)


def test_a_rating_holds_from_the_first_decision_and_a_restart_without_it_is_free_of_it(
    tmp_path: Path,
) -> None:
    async def test() -> None:
        state, config = tmp_path / "state", tmp_path / "site.yaml"
        async with TcpPeer(Iem3000()) as meter, asyncio.timeout(90):
            text = SITE.format(meter_port=meter.port, ocpp_port=0, metrics_port=0)
            lowered = text.replace("worst_case_base_a: 40", f"worst_case_base_a: 40{RATINGS}")
            for written, bound in ((lowered, (76_000, "calendar")), (text, (95_000, None))):
                await asyncio.to_thread(config.write_text, written)
                async with daemon(config, state) as process:
                    await process.ocpp_port()
                    phase = await first_phase(process)
                    assert (phase.bound_ma, phase.bound_source) == bound
                    assert await process.end(lambda p: p.send_signal(signal.SIGTERM)) == 0

    run(test())
