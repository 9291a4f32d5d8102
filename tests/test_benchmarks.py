"""Who asks for a benchmark that there is none of is told so, and is not given an empty answer."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_a_benchmark_of_another_name_is_refused_with_the_nearest() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "plannning", "_data"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no benchmark plannning (did you mean planning?)" in done.stderr
    assert "there is no benchmark _data" in done.stderr
