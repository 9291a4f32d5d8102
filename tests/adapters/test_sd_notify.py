"""The service manager hears the words of sd_notify(3); one that does not listen changes nothing."""

import logging
import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.adapters.sd_notify import SdNotify


@contextmanager
def listening_at(address: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as hearing:
        hearing.bind(address)
        yield hearing


def heard(hearing: socket.socket) -> list[str]:
    said = []
    while True:
        try:
            said.append(hearing.recv(4096).decode())
        except BlockingIOError:
            return said


def notifier(address: str, **more: str) -> SdNotify:
    return SdNotify({"NOTIFY_SOCKET": address, **more}, process_id=77)


def say_everything(manager: SdNotify) -> None:
    manager.needs_time(90, "opening the ledger")
    assert manager.ready("3 of 4 stations\nREADY=0")
    manager.alive()
    manager.tell("4 of 4 stations")
    manager.stopping("bye")


EVERYTHING = [
    "EXTEND_TIMEOUT_USEC=90000000\nSTATUS=opening the ledger",
    "READY=1\nSTATUS=3 of 4 stations READY=0",
    "WATCHDOG=1",
    "STATUS=4 of 4 stations",
    "STOPPING=1\nSTATUS=bye",
]


def test_a_socket_with_a_path_hears_everything_in_order(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with listening_at(address) as hearing:
        say_everything(notifier(address, WATCHDOG_USEC="10000000"))
        assert heard(hearing) == EVERYTHING


def test_a_socket_in_the_abstract_namespace_hears_everything() -> None:
    name = f"headroom-test-{secrets.token_hex(8)}"
    with listening_at(f"\0{name}") as hearing:
        say_everything(notifier(f"@{name}", WATCHDOG_USEC="10000000"))
        assert heard(hearing) == EVERYTHING


@pytest.mark.parametrize(
    ("variables", "is_watched"),
    [
        ({}, False),
        ({"WATCHDOG_USEC": "0"}, False),
        ({"WATCHDOG_USEC": "10000000"}, True),
        ({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "77"}, True),
        # The watchdog of a parent that started us is not ours to feed.
        ({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "76"}, False),
    ],
)
def test_only_our_own_watchdog_is_fed(
    tmp_path: Path, variables: Mapping[str, str], *, is_watched: bool
) -> None:
    address = str(tmp_path / "notify")
    with listening_at(address) as hearing:
        manager = notifier(address, **variables)
        manager.alive()
        assert (heard(hearing) == ["WATCHDOG=1"]) is is_watched


@pytest.mark.parametrize("address", ["", "@", "vsock:2:1234", "relative/path"])
def test_without_an_address_we_know_nobody_is_told(address: str) -> None:
    say_everything(notifier(address, WATCHDOG_USEC="10000000"))


def test_one_that_does_not_listen_is_told_of_once_and_heard_again_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    address = str(tmp_path / "notify")
    manager = notifier(address, WATCHDOG_USEC="10000000")

    assert not manager.ready("at once")
    manager.alive()
    manager.alive()
    assert len(caplog.records) == 1
    assert "does not hear" in caplog.text

    with listening_at(address) as hearing:
        assert manager.ready("later")
        assert heard(hearing) == ["READY=1\nSTATUS=later"]


def test_one_that_hears_and_does_not_listen_never_makes_us_wait(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with listening_at(address):
        manager = notifier(address)
        # unix(7): a datagram socket that nobody reads from fills up, and then a send would block.
        answers = [manager.ready("n") for _ in range(5_000)]
    assert answers[0]
    assert not answers[-1]
