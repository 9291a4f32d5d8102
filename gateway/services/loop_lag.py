"""Watches how late the event loop is: whatever holds it up delays limits as well."""

from gateway.ports import Clock, Metrics

LOOK_EACH_S = 0.1


async def watch_loop_lag(metrics: Metrics, *, clock: Clock) -> None:
    """Note, ten times a second for ever, how much later than asked for the loop came back."""
    while True:
        due_s = clock.monotonic_s() + LOOK_EACH_S
        await clock.sleep_s(LOOK_EACH_S)
        # A sleep may end early (uvloop): that is no lag.
        metrics.note_lag(max(0.0, clock.monotonic_s() - due_s))
