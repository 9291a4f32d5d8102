"""Runs every benchmark, or those named, and prints one JSON object."""

import importlib
import json
import os
import pkgutil
import platform
import sys

import benchmarks
from gateway.domain.spelling import suggest

UNKNOWN = 2


def known_names() -> list[str]:
    """Return every benchmark there is."""
    modules = pkgutil.iter_modules(benchmarks.__path__)
    return sorted(module.name for module in modules if not module.name.startswith("_"))


def measure_all(names: list[str]) -> dict[str, object]:
    """Return what each benchmark measured, by its name; progress goes to standard error."""
    chosen = [name for name in known_names() if not names or name in names]
    figures: dict[str, object] = {}
    cores = os.sched_getaffinity(0)
    for name in chosen:
        os.sched_setaffinity(0, cores)  # Some keep to one of them.
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        figures[name] = importlib.import_module(f"benchmarks.{name}").measure()
    return figures


def main() -> int:
    """Print the figures and the machine they are of; of a name there is none of, say so."""
    names, known = sys.argv[1:], known_names()
    if unknown := [name for name in names if name not in known]:
        for name in unknown:
            print(f"there is no benchmark {name}{suggest(name, known)}", file=sys.stderr)
        return UNKNOWN
    machine = {
        "python": platform.python_version(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }
    print(json.dumps({"machine": machine, "figures": measure_all(names)}, indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
