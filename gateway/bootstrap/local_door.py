"""What people on this machine have the daemon do, asked on its own socket: a release, a station's errand."""

from collections.abc import Mapping

import msgspec

from gateway.adapters.status_socket import CIRCUIT, RELEASE, STATION, Answer, Question
from gateway.domain.ids import CircuitId
from gateway.domain.memory import Act
from gateway.ports import Ledger
from gateway.services.releases import Releases
from gateway.services.station_desk import StationDesk, StationRefusedError, StationRequest
from gateway.services.stop_watch import StopWatch


class LocalDoor:
    """Puts their words into those of the services; `site` is the name the audit has for the whole."""

    def __init__(
        self,
        *,
        site: str,
        stop_watch: StopWatch,
        releases: Releases,
        stations: StationDesk,
        ledger: Ledger | None,
    ) -> None:
        self._site = site
        self._stop_watch = stop_watch
        self._releases = releases
        self._stations = stations
        self._ledger = ledger

    def answers(self) -> Mapping[str, Answer]:
        """Return what answers, by the name of the question."""
        return {RELEASE: self._release, STATION: self._ask_station}

    def _release(self, question: Question) -> bytes:
        """Release the stop, or a circuit."""
        if CIRCUIT in question.words:
            done = self._releases.release(CircuitId(str(question.words[CIRCUIT])), question.by)
            said = {
                "closes": done.closes,
                "lockout_left_s": done.lockout_left_s,
                "believed": done.is_believed,
            }
            return msgspec.json.encode({"released": True, **said})
        self._stop_watch.release(question.by)
        if self._ledger is not None:
            self._ledger.keep_durably(Act(kind="stop-release", subject=self._site, by=question.by))
        return msgspec.json.encode({"released": True})

    async def _ask_station(self, question: Question) -> bytes:
        try:
            request = msgspec.convert(question.words, StationRequest)
        except msgspec.ValidationError as error:
            raise StationRefusedError(f"no station can be asked that: {error}") from error
        return msgspec.json.encode(await self._stations.see_to(request, question.by))
