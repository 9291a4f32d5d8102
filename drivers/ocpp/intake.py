"""From the payload as it came to what an adapter takes: decoded, checked, mended where needed."""

from collections import Counter

import msgspec
import orjson

from drivers.ocpp.adapter import VersionSupport
from drivers.ocpp.leniency import mend
from drivers.ocpp.rpc import DIALECTS, RefusedError
from drivers.ocpp.schemas import actions, build_all, find_fault


class Intake:
    """The way in for the CALLs of one version, shared by all its stations."""

    def __init__(self, support: VersionSupport, counters: Counter[str]) -> None:
        """Build the decoders and every validator of the version."""
        self._support = support
        self._version = support.version
        self._dialect = DIALECTS[support.version]
        self._actions = actions(support.version)
        self._decoders = {
            action: msgspec.json.Decoder(kind) for action, kind in support.payload_types.items()
        }
        self._counters = counters
        self.answered_once = support.answered_once
        self.walked_count = 0
        """How many values were looked at in mending, of all payloads there were."""
        build_all(support.version)

    def read(self, action: str, payload: object) -> object:
        """Return the payload for `StationAdapter.answer`.

        Raises:
            RefusedError: the action is not known or not a station's, or the payload is past
                mending.
        """
        decoder = self._decoders.get(action)
        if decoder is not None and isinstance(payload, msgspec.Raw):
            try:
                return decoder.decode(payload)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                pass  # The slow way finds out what is wrong.
        if action not in self._support.from_station:
            code = "NotSupported" if action in self._actions else "NotImplemented"
            raise RefusedError(code, f"a station's {action[:50]!r} means nothing here")
        return self._read_slowly(action, self._parse(payload))

    def _parse(self, payload: object) -> object:
        if not isinstance(payload, msgspec.Raw):
            return payload
        try:
            parsed = orjson.loads(memoryview(payload))
        except orjson.JSONDecodeError as error:
            raise RefusedError(self._dialect.formation, f"not JSON: {error.msg}") from None
        return {} if parsed is None else parsed

    def _read_slowly(self, action: str, payload: object) -> object:
        is_refusable = action not in self._support.never_refused
        fault = find_fault(self._version, action, payload, is_answer=False)
        if fault is not None:
            payload, rules, walked_count = mend(self._version, action, payload)
            self.walked_count += walked_count
            for rule in rules:
                self._counters[f"lenient.{action}.{rule}"] += 1
            remains = find_fault(self._version, action, payload, is_answer=False)
            if remains is not None:
                if is_refusable or not isinstance(payload, dict):
                    raise remains
                self._counters[f"lenient.{action}.taken-as-is"] += 1
        kind = self._support.payload_types.get(action)
        if kind is None:
            return payload
        try:
            return msgspec.convert(payload, kind, strict=False)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise RefusedError(self._dialect.formation, str(error)[:200]) from None
