"""Real time for a simulated world: its seconds pass as those of the machine do."""

import asyncio
from datetime import UTC, datetime, timedelta

from drivers.sim.station import Station
from drivers.sim.world import World

WARM_UP_S = 0.6  # The world has run this long before anybody looks: its meters have values.
STEP_S = 0.05  # How often the world moves by itself; whoever asks it something moves it too.


class Pace:
    """Moves a world with the machine's clock from `begin` on; before that it stands.

    Nothing in the world calls back into here, so `catch_up` may be called wherever the present
    matters; it is never entered twice.
    """

    def __init__(self, world: World) -> None:
        """Let the world stand where it is."""
        self.world = world
        self._began_s: float | None = None
        self._began_at = datetime.fromtimestamp(0, UTC)

    def begin(self) -> None:
        """Let time pass from now on."""
        stood_s = self.world.agenda.now_s
        self._began_s = asyncio.get_running_loop().time() - stood_s
        now_at = datetime.now(UTC)  # noqa: TID251 - the stations' own clocks start from it
        self._began_at = now_at - timedelta(seconds=stood_s)

    @property
    def now_s(self) -> float:
        """Return the world's second."""
        if self._began_s is None:
            return self.world.agenda.now_s
        return asyncio.get_running_loop().time() - self._began_s

    def warm_up(self) -> None:
        """Have the first moments behind it, so that whoever looks finds it in full work."""
        assert self._began_s is None
        self.world.agenda.run(WARM_UP_S)

    def catch_up(self) -> float:
        """Let happen what is due; return the world's second after it."""
        self.world.agenda.run(max(self.now_s, self.world.agenda.now_s))
        return self.world.agenda.now_s

    async def run(self, until_s: float) -> None:
        """Keep the world moving until its second `until_s`."""
        while self.now_s < until_s:
            self.catch_up()
            await asyncio.sleep(STEP_S)
        self.catch_up()

    def clock_of(self, station: Station, at_s: float) -> float:
        """Return what a station's own clock showed at a second of the world, in Unix seconds."""
        return self._began_at.timestamp() + station.clock_s(at_s)

    def clock_text(self, station: Station, at_s: float) -> str:
        """Return what a station's own clock showed at a second of the world, as OCPP writes it."""
        return self.time_text(station.clock_s(at_s))

    def time_text(self, clock_s: float) -> str:
        """Return a second of a station's clock as OCPP writes it."""
        shown_at = self._began_at + timedelta(seconds=clock_s)
        return shown_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def clock_s(self, text: str) -> float:
        """Return the second of a station's own clock that a time names (`Station.clock_s`).

        Raises:
            ValueError: it is no time.
        """
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - (
            self._began_at.timestamp()
        )
