"""Keeps a listener up that the building can do without: where it cannot be had, an alarm says so."""

import logging
from collections.abc import Callable
from typing import Protocol

from gateway.domain.errors import HeadroomError
from gateway.ports import Clock
from gateway.services.alarms import Alarms

_log = logging.getLogger(__name__)

AGAIN_AFTER_S = 10.0


class Listener(Protocol):
    """Something that can be asked at an address until it is cancelled."""

    async def run(self, on_listening: Callable[[str], None]) -> None:
        """Serve; `on_listening` gets the address once it can be asked.

        Raises:
            HeadroomError: the address cannot be had; the message says what to do.
        """


async def keep_listening(
    listener: Listener,
    *,
    name: str,
    alarms: Alarms,
    clock: Clock,
    again_after_s: float = AGAIN_AFTER_S,
    on_address: Callable[[str], None] | None = None,
) -> None:
    """Serve for ever; while that cannot be done the alarm `name` sounds, and no more.

    `on_address` is told the address each time it can be asked. Nothing else waits for it, and
    nothing else ends with it.
    """

    def tell(address: str) -> None:
        _log.info("%s at %s", name, address)
        alarms.end(name)
        if on_address is not None:
            on_address(address)

    while True:
        try:
            await listener.run(tell)
        except HeadroomError as error:
            alarms.sound(name, str(error))
        except Exception:  # noqa: BLE001 - whatever it is, the building charges without it
            _log.exception("%s has a fault", name)
            alarms.sound(name, f"{name} cannot be asked for, by a fault of Headroom: see its log")
        await clock.sleep_s(again_after_s)
