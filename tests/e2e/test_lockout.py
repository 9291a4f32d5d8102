"""What a circuit has done outlives the daemon: excursions and lockouts, kill or no kill."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec

from gateway.adapters.ledger_schema import LEDGER_NAME
from gateway.adapters.status_socket import ask_status
from gateway.services.snapshot import Snapshot
from tests.support.daemon_process import SITE, Iem3000, Process, daemon, run, station, wait_until
from tests.support.modbus_peers import TcpPeer

CONTROL = "control: {renew_s: 5, excursion_s: 5, excursion_count: 2, lockout_s: 600}\n"
OVER, WELL = "42F0", "41A0"  # The high words of 120.0 and 20.0, in IEEE 754.


async def snapshot_of(process: Process) -> Snapshot:
    return msgspec.json.decode(await ask_status(process.state), type=Snapshot)


async def wait_current_a(process: Process, current_a: int) -> None:
    """Wait until control has read so much of the meter."""
    async with asyncio.timeout(40):
        while True:
            current_ma = (await snapshot_of(process)).circuits[0].phases[0].current_ma
            if current_ma is not None and round(current_ma / 1_000) == current_a:
                return
            await asyncio.sleep(0.1)


def acts(state: Path) -> list[str]:
    """Return what the audit says of the circuit."""
    with closing(sqlite3.connect(state / LEDGER_NAME)) as reading:
        rows = reading.execute("SELECT kind FROM audit WHERE subject = 'supply' ORDER BY number")
        return [kind for (kind,) in rows]


async def kill(process: Process) -> None:
    await process.ocpp_port()
    process.process.kill()
    await process.process.wait()


def test_excursions_add_up_over_kills_and_so_does_the_lockout(tmp_path: Path) -> None:
    config, state, meter = tmp_path / "site.yaml", tmp_path / "state", Iem3000()

    async def test() -> None:
        async with TcpPeer(meter) as peer:
            text = SITE.format(meter_port=peer.port, ocpp_port=0, metrics_port=0)
            text = "".join(line for line in text.splitlines(True) if "control:" not in line)
            await asyncio.to_thread(config.write_text, text + CONTROL)
            meter.current = OVER
            async with daemon(config, state) as first:
                await first.ocpp_port()
                await wait_until(lambda: acts(state) == ["excursion"])
                await kill(first)

            meter.current = WELL
            async with daemon(config, state) as second:
                await second.ocpp_port()
                await wait_current_a(second, 20)
                assert acts(state) == ["excursion"]  # It is over, and was one.
                meter.current = OVER
                await wait_until(lambda: acts(state) == ["excursion", "lockout"])
                await kill(second)

            meter.current = WELL
            async with (
                daemon(config, state) as third,
                station(await third.ocpp_port(), "CP-01") as one,
            ):
                await one.boot()
                await one.say_status(1, "Preparing")
                await one.start_transaction(1, timestamp="2026-01-05T12:00:00Z")
                await wait_current_a(third, 20)
                await wait_until(lambda: one.profiles("TxProfile"))
                views = (await snapshot_of(third)).connectors
                assert [v.reason for v in views if v.is_connected] == ["lockout"]
                assert acts(state) == ["excursion", "lockout"]

    run(test())
