"""What is wrong with Headroom itself and wants a person: logged once, shown while it lasts."""

import logging
from collections import Counter
from dataclasses import replace

from gateway.domain.alarms import Alarm
from gateway.ports import Clock

_log = logging.getLogger(__name__)


class Alarms:
    """The alarms that sound, for one event loop; none of them ever stops control."""

    def __init__(self, clock: Clock) -> None:
        """Begin in silence."""
        self._clock = clock
        self._sounding: dict[str, Alarm] = {}
        self.counters: Counter[str] = Counter()
        """How often each alarm began, by its name."""

    def sound(self, name: str, text: str) -> None:
        """Let the alarm sound; said again in other words it goes on, and is logged anew."""
        known = self._sounding.get(name)
        if known is not None and known.text == text:
            return
        if known is None:
            self.counters[name] += 1
            self._sounding[name] = Alarm(name=name, text=text, since_at=self._clock.now_at())
        else:
            self._sounding[name] = replace(known, text=text)
        _log.error("ALARM %s: %s", name, text)

    def end(self, name: str) -> None:
        """Let the alarm end, if it sounds."""
        if self._sounding.pop(name, None) is not None:
            _log.warning("alarm %s is over", name)

    def show(self, name: str, problem: str | None) -> None:
        """Let the alarm sound while there is a problem, and end when there is none."""
        if problem is None:
            self.end(name)
        else:
            self.sound(name, problem)

    def sounding(self) -> tuple[Alarm, ...]:
        """Return the alarms that sound now, the oldest first."""
        return tuple(self._sounding.values())
