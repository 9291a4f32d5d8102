"""Reads the text that Prometheus reads, and lets Prometheus's own tool judge it."""

import shutil
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]


def samples_of(text: str) -> dict[str, dict[Labels, float]]:
    """Return every sample by its name and labels."""
    samples: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
    return samples


def value_of(text: str, name: str, **labels: str) -> float:
    """Return one sample."""
    return samples_of(text)[name][frozenset(labels.items())]


def debian(program: str) -> str:
    """Return where a program of Debian's package prometheus is; skip the test if it is nowhere."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed (Debian: the package prometheus)")
    return path


def promtool(*words: str, text: str = "") -> tuple[int, str]:
    """Return promtool's exit code, and everything it says."""
    done = subprocess.run(
        [debian("promtool"), *words], input=text, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr
