"""Tells the service manager how the daemon is, by the protocol of sd_notify(3)."""

import logging
import os
import socket
from collections.abc import Mapping

_log = logging.getLogger(__name__)


class SdNotify:
    """`gateway.services.heartbeat.ServiceManager` over the socket that systemd names; silent without one.

    Never waits and never raises: a service manager that does not listen changes nothing here.
    """

    def __init__(self, environment: Mapping[str, str], *, process_id: int | None = None) -> None:
        """Read who listens from the variables systemd sets (sd_notify(3), sd_watchdog_enabled(3)).

        `process_id` is this process's own by default.
        """
        self._address = _address_of(environment.get("NOTIFY_SOCKET", ""))
        self._is_watched = self._address is not None and _is_watched(
            environment, os.getpid() if process_id is None else process_id
        )
        self._has_failed = False

    def ready(self, status: str) -> bool:
        """Say that the start is over; return whether that was heard, or nobody listens."""
        return self._send("READY=1", _status(status))

    def alive(self) -> None:
        """Feed the watchdog, where there is one."""
        if self._is_watched:
            self._send("WATCHDOG=1")

    def tell(self, status: str) -> None:
        """Say in one line how things are."""
        self._send(_status(status))

    def stopping(self, status: str) -> None:
        """Say that the end has begun."""
        self._send("STOPPING=1", _status(status))

    def needs_time(self, duration_s: float, status: str) -> None:
        """Ask for `duration_s` from now for the start, or the end, that is under way."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(duration_s * 1_000_000)}", _status(status))

    def _send(self, *assignments: str) -> bool:
        if self._address is None:
            return True
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sending:
                sending.sendto("\n".join(assignments).encode(), self._address)
        except OSError as error:
            if not self._has_failed:
                self._has_failed = True
                _log.warning("the service manager does not hear: %s", error.strerror)
            return False
        self._has_failed = False
        return True


def _address_of(name: str) -> str | None:
    """Return the address of a socket as the kernel takes it; None for a kind we do not speak."""
    if name.startswith("/"):
        return name
    # sd_notify(3): @ stands for the zero that begins a name in the abstract namespace (unix(7)).
    return f"\0{name[1:]}" if name.startswith("@") and len(name) > 1 else None


def _status(status: str) -> str:
    # A line break would begin another assignment.
    return f"STATUS={' '.join(status.split())}"


def _is_watched(environment: Mapping[str, str], process_id: int) -> bool:
    watched = environment.get("WATCHDOG_PID", str(process_id))
    return environment.get("WATCHDOG_USEC", "0").strip("0") != "" and watched == str(process_id)
