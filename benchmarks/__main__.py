"""Runs every benchmark, or those named, and prints one JSON object."""

import importlib
import json
import os
import pkgutil
import platform
import sys

import benchmarks


def measure_all(names: list[str]) -> dict[str, object]:
    """Return what each benchmark measured, by its name; progress goes to standard error."""
    known = sorted(module.name for module in pkgutil.iter_modules(benchmarks.__path__))
    chosen = [name for name in known if not name.startswith("_") and (not names or name in names)]
    figures: dict[str, object] = {}
    cores = os.sched_getaffinity(0)
    for name in chosen:
        os.sched_setaffinity(0, cores)  # Some keep to one of them.
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        figures[name] = importlib.import_module(f"benchmarks.{name}").measure()
    return figures


def main() -> int:
    """Print the figures and the machine they are of."""
    machine = {
        "python": platform.python_version(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }
    print(json.dumps({"machine": machine, "figures": measure_all(sys.argv[1:])}, indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
