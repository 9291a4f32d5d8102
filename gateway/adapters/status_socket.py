"""The daemon's own door for people on this machine: a question on a Unix socket, a JSON answer."""

import asyncio
import errno
import logging
import os
import socket
import stat
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from gateway.domain.errors import HeadroomError

SOCKET_NAME = "headroom.sock"
SNAPSHOT = "snapshot"
RELEASE = "release"
STATION = "station"
CIRCUIT = "circuit"
"""In the words of a release: the circuit that may go on; without one it is the stop."""

MAX_QUESTION_BYTES = 1_024
MAX_ANSWER_BYTES = 64 * 2**20
MAX_CALLERS = 8
PATIENCE_S = 5.0
LONGEST_PATH_BYTES = 107  # unix(7): sun_path, less its final zero.

_log = logging.getLogger(__name__)


class Question(msgspec.Struct, frozen=True):
    """What is asked, by its name, by whom, as they call themselves, and in which words."""

    ask: str
    by: str = ""
    words: dict[str, object] = {}


Answer = Callable[[Question], bytes | Awaitable[bytes]]
"""Returns the JSON to answer with, in one line; one that is awaited ends by itself, in seconds."""


class StatusUnavailableError(HeadroomError):
    """The socket cannot be had, or nobody answers on it; the message says why."""


class SocketFolderError(StatusUnavailableError):
    """There is no place for the socket now; the message says why, and what to do."""


def bind_status_socket(folder: Path) -> socket.socket:
    """Return a listening socket in `folder`, for its owner alone.

    A socket left by a daemon that is gone is replaced.

    Raises:
        SocketFolderError: the folder cannot be used: its disk is full or takes nothing, it is
            somebody else's, or its path is too long.
        StatusUnavailableError: another daemon answers there.
    """
    path = folder / SOCKET_NAME
    if len(os.fsencode(path)) > LONGEST_PATH_BYTES:
        raise SocketFolderError(
            f"nobody can ask this daemon how it is, for the path {path} is too long for a socket;"
            " name a shorter folder with --state"
        )
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if _is_answered(path):
            raise StatusUnavailableError(f"another Headroom runs with the state folder {folder}")
        path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            listening.bind(os.fspath(path))
        finally:
            os.umask(before)
        listening.listen(MAX_CALLERS)
        listening.setblocking(False)  # noqa: FBT003 - the socket module's own signature
    except OSError as error:
        listening.close()
        raise SocketFolderError(
            f"nobody can ask this daemon how it is, for {path} cannot be made: {error.strerror};"
            " make room there, or give the user that runs Headroom the right to write there"
        ) from error
    except StatusUnavailableError:
        listening.close()
        raise
    return listening


def _is_answered(path: Path) -> bool:
    """Return whether somebody listens at `path`.

    Raises:
        OSError: something that is no socket is in the way.
    """
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(errno.EEXIST, f"{SOCKET_NAME} there is no socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
            asking.settimeout(PATIENCE_S)
            asking.connect(os.fspath(path))
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    return True


class StatusListener:
    """The socket where it could not be had at the start: `run` may be tried again and again."""

    def __init__(self, folder: Path, answers: Mapping[str, Answer]) -> None:
        """Open nothing yet."""
        self._folder = folder
        self._answers = answers

    async def run(self, on_listening: Callable[[str], None]) -> None:
        """Serve as `serve_status` does; `on_listening` gets the socket's path once it is there.

        Raises:
            StatusUnavailableError: it cannot be had now.
        """
        listening = bind_status_socket(self._folder)
        on_listening(str(self._folder / SOCKET_NAME))
        await serve_status(listening, self._answers)


async def serve_status(listening: socket.socket, answers: Mapping[str, Answer]) -> None:
    """Answer each question by its name until cancelled; then take the socket away.

    What no answer is for, or an answer refuses (`HeadroomError`), is told as `{"error": "..."}`, and
    so is a fault of an answer, which is logged.
    Whoever asks nothing, too much or too slowly is hung up on; more than `MAX_CALLERS` wait.
    """
    slots = asyncio.Semaphore(MAX_CALLERS)
    path = Path(listening.getsockname())

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with slots:
                async with asyncio.timeout(PATIENCE_S):
                    said = await reader.readuntil(b"\n")
                writer.write(await _answered(said, answers) + b"\n")
                async with asyncio.timeout(PATIENCE_S):
                    await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_unix_server(serve, sock=listening, limit=MAX_QUESTION_BYTES)
    try:
        async with server:
            await server.serve_forever()
    finally:
        with suppress(OSError):  # The disk may take nothing any more.
            path.unlink(missing_ok=True)  # noqa: ASYNC240 - one system call, at the end


async def _answered(said: bytes, answers: Mapping[str, Answer]) -> bytes:
    try:
        question = msgspec.json.decode(said, type=Question)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _refusal('ask with {"ask": "..."}')
    answering = answers.get(question.ask)
    if answering is None:
        return _refusal(f"one can ask for {', '.join(answers)}")
    try:
        answer = answering(question)
        return answer if isinstance(answer, bytes) else await answer
    except HeadroomError as error:
        return _refusal(str(error))
    except Exception:  # noqa: BLE001 - whoever asks is told that it is no fault of theirs
        _log.exception("%r cannot be answered", question.ask)
        return _refusal("the daemon has a fault in that: send its log to the developers")


def _refusal(why: str) -> bytes:
    return msgspec.json.encode({"error": why})


async def ask_status(
    folder: Path, question: Question | None = None, *, patience_s: float = PATIENCE_S
) -> bytes:
    """Return what the daemon with the state folder `folder` answers; without a question, how it is.

    Raises:
        StatusUnavailableError: no daemon answers there.
    """
    path = folder / SOCKET_NAME
    try:
        async with asyncio.timeout(patience_s):
            reader, writer = await asyncio.open_unix_connection(path, limit=MAX_ANSWER_BYTES)
            try:
                asked = question or Question(ask=SNAPSHOT)
                writer.write(msgspec.json.encode(asked) + b"\n")
                return await reader.readuntil(b"\n")
            finally:
                writer.close()
    except (FileNotFoundError, ConnectionRefusedError) as error:
        message = f"no daemon runs with the state folder {folder}"
        raise StatusUnavailableError(message) from error
    except PermissionError as error:
        message = f"{path} may be asked by the user of the daemon alone: use sudo"
        raise StatusUnavailableError(message) from error
    except (TimeoutError, OSError, asyncio.IncompleteReadError) as error:
        message = f"the daemon with the state folder {folder} does not answer"
        raise StatusUnavailableError(message) from error
