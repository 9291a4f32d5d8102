"""How fast one token may ask: a bucket that fills by itself."""

from dataclasses import dataclass

LEAST_BURST = 10
"""So many at once, but no more than a minute's worth."""

BURST_S = 10.0
"""So many seconds' worth may be asked at once."""


@dataclass(slots=True)
class _Bucket:
    left: float
    filled_at_s: float


def at_once_count(quota_per_min: int) -> int:
    """Return how many requests are answered at once where so many are in a minute."""
    return max(min(LEAST_BURST, quota_per_min), int(quota_per_min * BURST_S / 60.0))


class Quotas:
    """What each holder has left of its quota."""

    def __init__(self) -> None:
        """Begin with full buckets."""
        self._buckets: dict[str, _Bucket] = {}

    def wait_s(self, holder: str, *, quota_per_min: int, now_s: float) -> float:
        """Take one request off what a holder has; return 0, or how long to wait for the next."""
        rate = quota_per_min / 60.0
        most = float(at_once_count(quota_per_min))
        bucket = self._buckets.setdefault(holder, _Bucket(most, now_s))
        bucket.left = min(most, bucket.left + rate * max(0.0, now_s - bucket.filled_at_s))
        bucket.filled_at_s = now_s
        if bucket.left < 1.0:
            return (1.0 - bucket.left) / rate
        bucket.left -= 1.0
        return 0.0

    def charge(self, holder: str, count: int) -> None:
        """Take so many requests more off what a holder has, who may owe them: the next ones wait."""
        bucket = self._buckets.get(holder)
        if bucket is not None:
            bucket.left -= count
