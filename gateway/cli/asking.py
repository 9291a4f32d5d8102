"""How the commands ask the daemon that runs on this machine, wherever it keeps its state."""

import asyncio
from pathlib import Path
from typing import TypeVar

import msgspec

from gateway.adapters.status_socket import (
    PATIENCE_S,
    Question,
    StatusUnavailableError,
    ask_status,
)
from gateway.cli.state_folder import folders_to_ask
from gateway.domain.errors import HeadroomError

AnswerT = TypeVar("AnswerT")


class DaemonRefusesError(HeadroomError):
    """The daemon does not do it; the message is its own."""


class _Refusal(msgspec.Struct):
    error: str


def answer_of(
    state: Path | None,
    question: Question,
    shape: type[AnswerT],
    *,
    patience_s: float = PATIENCE_S,
) -> AnswerT:
    """Return what the running daemon answers; `state` is its folder, None for the likeliest.

    Raises:
        StatusUnavailableError: no daemon answers, or not in our words.
        DaemonRefusesError: it refuses.
    """
    said, folder = said_by_daemon(state, question, patience_s=patience_s)
    return _understood(said, shape, folder)


def said_by_daemon(
    state: Path | None, question: Question, *, patience_s: float = PATIENCE_S
) -> tuple[bytes, Path]:
    """Return what the running daemon says, and the state folder it has.

    Raises:
        StatusUnavailableError: no daemon answers.
    """
    failures: list[StatusUnavailableError] = []
    for folder in folders_to_ask(state):
        try:
            return asyncio.run(ask_status(folder, question, patience_s=patience_s)), folder
        except StatusUnavailableError as error:
            failures.append(error)
    raise failures[0]


def _understood(said: bytes, shape: type[AnswerT], folder: Path) -> AnswerT:
    try:
        refusal = msgspec.json.decode(said, type=_Refusal)
    except msgspec.MsgspecError:
        pass
    else:
        raise DaemonRefusesError(refusal.error)
    try:
        return msgspec.json.decode(said, type=shape)
    except msgspec.MsgspecError as error:
        message = f"the daemon with the state folder {folder} is of another version: {error}"
        raise StatusUnavailableError(message) from error
