"""The daemon under a service manager: what systemd gives it is used, what systemd awaits is said."""

import asyncio
import base64
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from tests.support.daemon_process import SITE, Iem3000, Process, headroom, run, started, wait_until
from tests.support.modbus_peers import TcpPeer

PASSWORD = "0123456789abcdef"


class Manager:
    """The end of the notify socket that is systemd's, and a daemon started as systemd does."""

    def __init__(self, folder: Path, hearing: socket.socket) -> None:
        self.folder = folder
        self.hearing = hearing
        self.said: list[str] = []

    def environment(self) -> dict[str, str]:
        return {
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": ":".join(sys.path),
            "HOME": str(self.folder / "nowhere"),
            "NOTIFY_SOCKET": self.hearing.getsockname(),
            "WATCHDOG_USEC": "10000000",
            "STATE_DIRECTORY": str(self.folder / "lib"),
            "RUNTIME_DIRECTORY": str(self.folder / "run"),
            "CREDENTIALS_DIRECTORY": str(self.folder / "creds"),
        }

    def hear(self) -> list[str]:
        while True:
            try:
                self.said.append(self.hearing.recv(4096).decode())
            except BlockingIOError:
                return self.said

    async def wait_said(self, word: str, count: int = 1) -> None:
        await wait_until(lambda: sum(word in said for said in self.hear()) >= count)


@asynccontextmanager
async def a_service(
    tmp_path: Path, *, ocpp_port: int = 0
) -> AsyncIterator[tuple[Manager, Process]]:
    async with TcpPeer(Iem3000()) as meter:
        text = SITE.format(meter_port=meter.port, ocpp_port=ocpp_port, metrics_port=0).replace(
            "auth: none", "", 1
        )
        await asyncio.to_thread(_lay_out, tmp_path, text)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as hearing:
            hearing.bind(str(tmp_path / "notify"))
            manager = Manager(tmp_path, hearing)
            async with started(
                *("run", "-c", str(tmp_path / "etc" / "site.yaml")),
                state=tmp_path / "lib",
                environment=manager.environment(),
            ) as process:
                yield manager, process


def _lay_out(folder: Path, text: str) -> None:
    for name in ("etc", "lib", "run", "creds"):
        (folder / name).mkdir()
    (folder / "etc" / "site.yaml").write_text(text)
    (folder / "creds" / "station_CP-01").write_text(PASSWORD)
    (folder / "creds" / "station_CP-01").chmod(0o400)


def test_a_service_says_when_it_is_ready_lives_and_ends(tmp_path: Path) -> None:
    async def test() -> None:
        async with a_service(tmp_path) as (manager, process):
            await manager.wait_said("READY=1\n")
            await manager.wait_said("WATCHDOG=1", 5)
            # A ledger may take its time, and the start is over after a first cycle.
            assert manager.said[0].startswith("EXTEND_TIMEOUT_USEC=")
            assert manager.said[1] == "WATCHDOG=1"

            code, out, _ = await headroom("why", "--state", str(tmp_path / "run"))
            assert code == 0
            assert out.startswith("CP-01/1: ")
            assert not (tmp_path / "lib" / "headroom.sock").exists()

            assert await process.end(lambda p: p.terminate()) == 0
            manager.hear()
            ends = [at for at, said in enumerate(manager.said) if "STOPPING=1" in said]
            assert len(ends) == 1
            assert not any("STATUS" in said for said in manager.said[ends[0] + 1 :])

    run(test())


def test_a_service_without_its_port_is_not_begun_again_for_it(tmp_path: Path) -> None:
    """A start that is never over is ended by systemd, and with it all that could run."""

    async def test() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            async with a_service(tmp_path, ocpp_port=taken.getsockname()[1]) as (manager, process):
                await manager.wait_said("READY=1\nSTATUS=0 of 2 stations connected; ALARM OCPP")
                assert await process.end(lambda p: p.terminate()) == 0

    run(test())


def test_a_process_that_is_held_up_feeds_no_watchdog(tmp_path: Path) -> None:
    async def test() -> None:
        async with a_service(tmp_path) as (manager, process):
            await manager.wait_said("WATCHDOG=1", 3)
            process.process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(0.2)
            fed = len(manager.hear())
            await asyncio.sleep(3)
            assert len(manager.hear()) == fed
            process.process.send_signal(signal.SIGCONT)
            await manager.wait_said("WATCHDOG=1", fed + 2)

    run(test())


def test_a_station_logs_in_with_the_password_systemd_hands_over(tmp_path: Path) -> None:
    async def test() -> None:
        async with a_service(tmp_path) as (_, process):
            port = await process.ocpp_port()
            for password, is_let_in in (("wrong password !!", False), (PASSWORD, True)):
                user = base64.b64encode(f"CP-01:{password}".encode()).decode()
                trying = connect(
                    f"ws://127.0.0.1:{port}/CP-01",
                    subprotocols=[Subprotocol("ocpp1.6")],
                    additional_headers={"Authorization": f"Basic {user}"},
                    proxy=None,
                )
                if is_let_in:
                    async with trying as connection:
                        assert connection.subprotocol == "ocpp1.6"
                else:
                    with pytest.raises(InvalidStatus, match="401"):
                        await trying

    run(test())
