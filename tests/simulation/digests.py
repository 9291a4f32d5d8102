"""A digest of all that is decided on a simulated day: `python -m tests.simulation.digests [SECONDS [KINDS]]`.

Two checkouts that print the same for a seed have decided the same on it, reasons and all, to the
last byte: so a change is judged that is meant to make a decision cheaper, and nothing else.
"""

import hashlib
import sys

from drivers.sim.generator import generate
from drivers.sim.scenario import ScenarioKind
from gateway.control.decide import Decision
from tests.simulation.harness import Run

SEEDS = range(1, 4)
AN_HOUR_S = 3_600.0


def digest_of(kind: str, seed: int, duration_s: float) -> str:
    """Return a digest of every decision of a seed's first so many seconds."""
    digest, run = (
        hashlib.sha256(),
        Run.of(generate(ScenarioKind(kind), seed, duration_s=duration_s)),
    )
    while run.plant.now_s < duration_s:
        decision = run.step(run.plant.now_s + run.parameters.period_s)
        if decision is not None:
            digest.update(_told(decision).encode())
    return digest.hexdigest()


def _told(decision: Decision) -> str:
    """Return what was decided, why, and what it was made of."""
    seen = decision.survey
    made_of = seen.rows, seen.high_ma, seen.low_ma, seen.overdrawn, seen.masks, seen.claimed_ma
    sent = decision.orders, decision.fallbacks, decision.ask, decision.trips
    proofs = decision.void_proofs, decision.dead_man_proven
    return repr((decision.at_s, decision.reasons, sent, proofs, decision.memory, made_of))


def main() -> None:
    """Print a digest of each seed's day."""
    duration_s = float(sys.argv[1]) if len(sys.argv) > 1 else AN_HOUR_S
    for kind in sys.argv[2:] or ("harsh", "lighter", "ordinary", "faults"):
        for seed in SEEDS:
            sys.stdout.write(f"{kind} {seed} {digest_of(kind, seed, duration_s)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
