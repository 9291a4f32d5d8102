"""What is installed elsewhere is the two packages, with all that they read beside their modules."""

import zipfile
from pathlib import Path

from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).resolve().parent.parent


def test_a_wheel_holds_both_packages_and_what_they_read_and_nothing_else(tmp_path: Path) -> None:
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as packed:
        names = {Path(name) for name in packed.namelist()}

    tops = {name.parts[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"gateway", "drivers"}
    ours = {path.relative_to(ROOT) for top in ("gateway", "drivers") for path in find(ROOT / top)}
    assert any(path.match("drivers/modbus/profiles/*.yaml") for path in ours)
    assert ours <= names


def find(folder: Path) -> set[Path]:
    """Return every file of a package that is no cache."""
    return {p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts}
