"""The daemon's own door: for its owner alone, one daemon at a time, and nobody can block it."""

import asyncio
import socket
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gateway.adapters.status_socket import (
    MAX_CALLERS,
    SNAPSHOT,
    SOCKET_NAME,
    Answer,
    Question,
    SocketFolderError,
    StatusUnavailableError,
    ask_status,
    bind_status_socket,
    serve_status,
)
from gateway.domain.errors import HeadroomError


def refuse(question: Question) -> bytes:
    raise HeadroomError(f"not for {question.by}")


def mistaken(question: Question) -> bytes:
    raise KeyError(question.ask)


ANSWERS: dict[str, Answer] = {"refused": refuse, "mistaken": mistaken}
FAULT = b'{"error":"the daemon has a fault in that: send its log to the developers"}'


def serving(folder: Path, test: Callable[[], Awaitable[None]], answer: bytes = b'"hello"') -> None:
    """Run a test while the socket is served."""

    async def run() -> None:
        with bind_status_socket(folder) as listening:
            async with asyncio.TaskGroup() as tasks:
                served = tasks.create_task(
                    serve_status(listening, ANSWERS | {SNAPSHOT: lambda _: answer})
                )
                await test()
                served.cancel()

    asyncio.run(run())


def test_a_question_is_answered_and_nobody_else_may_ask(tmp_path: Path) -> None:
    state = tmp_path / "state"

    async def test() -> None:
        assert await ask_status(state) == b'"hello"\n'
        assert await ask_status(state) == b'"hello"\n'
        assert stat.S_IMODE((state / SOCKET_NAME).stat().st_mode) == 0o600
        assert stat.S_IMODE(state.stat().st_mode) == 0o700

    serving(state, test)
    assert not (state / SOCKET_NAME).exists()


def test_a_long_answer_arrives_whole(tmp_path: Path) -> None:
    answer = b'"' + b"x" * 3_000_000 + b'"'

    async def test() -> None:
        assert await ask_status(tmp_path) == answer + b"\n"

    serving(tmp_path, test, answer)


@pytest.mark.parametrize("said", [b"", b"x" * 10_000, b'{"ask":'])
def test_callers_that_say_nothing_useful_do_not_keep_others_out(
    tmp_path: Path, said: bytes
) -> None:
    async def test() -> None:
        rude = [
            await asyncio.open_unix_connection(tmp_path / SOCKET_NAME)
            for _ in range(MAX_CALLERS - 1)
        ]
        for _, writer in rude:
            writer.write(said)
        assert await ask_status(tmp_path) == b'"hello"\n'
        for _, writer in rude:
            writer.close()

    serving(tmp_path, test)


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (b'{"ask": "snapshot"}', b'"hello"'),
        (b'{"ask": "refused", "by": "J. Smith"}', b'{"error":"not for J. Smith"}'),
        (b'{"ask": "mistaken"}', FAULT),
        (b'{"ask": "what"}', b'{"error":"one can ask for refused, mistaken, snapshot"}'),
        (b"hello", b'{"error":"ask with {\\"ask\\": \\"...\\"}"}'),
        (b'{"ask": "\xff"}', b'{"error":"ask with {\\"ask\\": \\"...\\"}"}'),
        (b'{"ask": ["snapshot"]}', b'{"error":"ask with {\\"ask\\": \\"...\\"}"}'),
    ],
)
def test_a_question_has_its_own_answer(tmp_path: Path, asked: bytes, answer: bytes) -> None:
    async def test() -> None:
        reader, writer = await asyncio.open_unix_connection(tmp_path / SOCKET_NAME)
        writer.write(asked + b"\n")
        assert await reader.readline() == answer + b"\n"
        writer.close()

    serving(tmp_path, test)


def test_an_answer_that_is_waited_for_keeps_nobody_else_waiting(tmp_path: Path) -> None:
    async def test() -> None:
        is_due = asyncio.Event()

        async def later(question: Question) -> bytes:
            await is_due.wait()
            if question.by:
                raise HeadroomError(f"not for {question.by}")
            return b'"at last"'

        with bind_status_socket(tmp_path) as listening:
            async with asyncio.TaskGroup() as tasks:
                answers: dict[str, Answer] = {"later": later, SNAPSHOT: lambda _: b'"hello"'}
                served = tasks.create_task(serve_status(listening, answers))
                slow = [
                    tasks.create_task(ask_status(tmp_path, Question(ask="later", by=by)))
                    for by in ("", "J. Smith")
                ]
                assert await ask_status(tmp_path) == b'"hello"\n'
                assert not any(asked.done() for asked in slow)
                is_due.set()
                told = [await asked for asked in slow]
                served.cancel()
        assert told == [b'"at last"\n', b'{"error":"not for J. Smith"}\n']

    asyncio.run(test())


def test_nobody_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(StatusUnavailableError, match="no daemon runs"):
        asyncio.run(ask_status(tmp_path))

    bind_status_socket(tmp_path).close()  # As a killed daemon leaves it.

    with pytest.raises(StatusUnavailableError, match="no daemon runs"):
        asyncio.run(ask_status(tmp_path))


def test_a_second_daemon_is_refused_and_a_dead_ones_socket_replaced(tmp_path: Path) -> None:
    with (
        bind_status_socket(tmp_path),
        pytest.raises(StatusUnavailableError, match="another Headroom runs"),
    ):
        bind_status_socket(tmp_path)

    bind_status_socket(tmp_path).close()


def test_what_is_in_the_way_is_left_there(tmp_path: Path) -> None:
    (tmp_path / SOCKET_NAME).write_text("precious")

    with pytest.raises(StatusUnavailableError, match="there is no socket"):
        bind_status_socket(tmp_path)

    assert (tmp_path / SOCKET_NAME).read_text() == "precious"


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StatusUnavailableError, match=r"file/state/headroom\.sock .*: Not a dir"):
        bind_status_socket(tmp_path / "file" / "state")


def test_a_path_no_socket_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SocketFolderError, match=r"too long .* --state"):
        bind_status_socket(tmp_path / ("x" * 100))


def test_a_daemon_that_does_not_answer_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.adapters.status_socket.PATIENCE_S", 0.1)
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(tmp_path / SOCKET_NAME))
        mute.listen()

        with pytest.raises(StatusUnavailableError, match="does not answer"):
            asyncio.run(ask_status(tmp_path))
