"""Which configuration a start runs: the site file, or the last one that ran when it is refused."""

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.adapters.clock import SystemClock
from gateway.adapters.last_good import (
    FILE_NAME,
    LastGood,
    LastGoodError,
    keep_last_good,
    read_last_good,
)
from gateway.services.alarms import Alarms
from gateway.settings import Settings, SettingsRefusedError, load_site, load_text

CONFIGURATION = "configuration"
"""The name of the alarm about it."""

RETRY_S = 600.0
TOLD_COUNT = 3
"""So many mistakes are told in an alarm; `headroom check` tells them all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteChoice:
    """What runs, and why it is not the site file, if it is not.

    `alarm` is one sentence for people; None when the site file itself runs.
    """

    settings: Settings
    alarm: str | None


def choose_site(config: Path, state: Path) -> SiteChoice:
    """Return the settings of `config`, or else those that last ran with the state folder `state`.

    A building whose controller does not start for a typing mistake stays at its fallbacks all
    night.

    Raises:
        SettingsRefusedError: the site file is refused, and none that ran can stand in for it.
    """
    try:
        return SiteChoice(settings=load_site(config), alarm=None)
    except SettingsRefusedError as refused:
        try:
            kept = read_last_good(state)
        except LastGoodError as damaged:
            raise SettingsRefusedError(f"{refused}\n{damaged}") from refused
        if kept is None:
            raise
        where = state / FILE_NAME
        try:
            settings = load_text(kept.text, path=where)
        except SettingsRefusedError as outdated:
            raise SettingsRefusedError(f"{refused}\n{outdated}") from refused
        at = f"{kept.kept_at:%Y-%m-%d %H:%M} UTC"
        alarm = (
            f"{config} is refused, so the one that ran before it is in force ({where}, kept {at})."
            f" Mend it and restart; `headroom check {config}` shows everything. {_told(refused)}"
        )
        # What is beside the site file (its passwords) is beside the one it stands in for.
        return SiteChoice(settings=replace(settings, path=kept.source, warnings=()), alarm=alarm)


def _told(refused: SettingsRefusedError) -> str:
    lines = str(refused).splitlines()
    more = len(lines) - TOLD_COUNT
    told = "; ".join(lines[:TOLD_COUNT])
    return f"{told}; and {more} more" if more > 0 else told


async def keep_site(settings: Settings, state: Path, alarms: Alarms) -> None:
    """Keep the site file these settings were read from: it has run, and may stand in for the next.

    While that fails an alarm sounds, and it is tried again.
    """
    clock = SystemClock()
    kept = LastGood(text=settings.text, source=settings.path, kept_at=clock.now_at())
    while True:
        try:
            await asyncio.to_thread(keep_last_good, state, kept)
        except LastGoodError as error:
            consequence = "no site file stands in for the next one if that is refused"
            alarms.sound(CONFIGURATION, f"{error}: {consequence}; make room, or give the right")
        else:
            alarms.end(CONFIGURATION)
            return
        await clock.sleep_s(RETRY_S)
