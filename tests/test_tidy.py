"""The rules about the repository that no linter knows."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

MAX_MODULE_LINES = 600
MAX_FUNCTION_LINES = 70

# The last word of every number's name: a unit, or what is counted.
UNITS = frozenset(
    {
        *("a", "ma", "v", "mv", "w", "kw", "mw", "var", "va", "wh", "varh", "vah", "hz", "j"),
        *("s", "ms", "us", "ns", "h", "days"),
        *("pct", "ratio", "ppm", "quantile", "deg", "bytes", "baud"),
        *("count", "version", "rank", "level", "sequence", "number", "unit", "port", "address"),
    }
)

# One number, or one for each phase; collections of whole numbers are mostly positions.
NUMBERS = re.compile(r"int|float|PerPhase|tuple\[(?:(?:int|float)(?:, )?)+\]")

# A module that imports more than the standard library where it must not, is no longer arithmetic.
THIRD_PARTIES_OF = {
    "gateway/domain": frozenset[str](),
    "gateway/control": frozenset[str](),
    "gateway/planning": frozenset({"numpy", "highspy"}),
}

# Bracketed letters keep these patterns from finding themselves.
UNFINISHED = re.compile(r"\b(TO[D]O|FIX[M]E|XX[X])\b")
REGISTRY_HOST = re.compile(
    r"\bpyp[i]\b|python[h]osted|npm[j]s\.|crates\.[i]o|index-ur[l]\s*[=:]", re.IGNORECASE
)
MACHINE_PATH = re.compile(r"(?<![\w.~}])/(home|root|work|tmp|Users|builds|workspace)/\w")
SHAPELESS_NAME = re.compile(r"(?:^|_)(utils?|helpers?|managers?|common|base)$")
MARKDOWN_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
CODE_BLOCK = re.compile(r"^```.*?^```|`[^`\n]*`", re.DOTALL | re.MULTILINE)


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name in {"__pycache__", "build", "dist", "state", "var"}:
            continue
        if path.name.startswith(".") and path.name not in {".ci", ".gitignore"}:
            continue
        if path.is_dir():
            yield from _walk(path)
        else:
            yield path


def _find_files() -> tuple[Path, ...]:
    """Return every file that is ours, committed or about to be, with or without git."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        paths = sorted(ROOT / name for name in listed.split("\0") if name)
    except (OSError, subprocess.CalledProcessError):
        paths = []
    # A copy of the files alone, perhaps below some other repository.
    return tuple(path for path in paths or _walk(ROOT) if path.is_file())


FILES = _find_files()


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _texts() -> Iterator[tuple[Path, str]]:
    for path in FILES:
        try:
            yield path, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def _modules(*folders: str) -> Iterator[tuple[str, ast.Module, str]]:
    """Yield the name, the syntax tree and the text of every Python file under `folders`."""
    for path in FILES:
        if path.suffix == ".py" and _name(path).startswith(tuple(f"{f}/" for f in folders)):
            text = path.read_text(encoding="utf-8")
            yield _name(path), ast.parse(text, filename=_name(path)), text


def _imports(tree: ast.Module) -> Iterator[str]:
    """Yield the full name of everything a module imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _matches(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{_name(path)}:{number}: {found[0]}"
        for path, text in _texts()
        for number, line in enumerate(text.splitlines(), start=1)
        if (found := pattern.search(line))
    ]


def test_there_is_something_to_check() -> None:
    assert ROOT / "pyproject.toml" in FILES
    assert Path(__file__).resolve() in FILES


def test_data_folders_hold_no_code() -> None:
    code = [name for path in FILES if (name := _name(path)).endswith((".py", ".pyi"))]

    assert [name for name in code if name.startswith(("config/", "systemd/"))] == []


def _numbers(record: ast.ClassDef) -> Iterator[tuple[int, str]]:
    """Yield the line and the name of every field that holds numbers and has a fixed unit."""
    fields = {
        field.target.id: field
        for field in record.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
    }
    for name, field in fields.items():
        if name == "value" and "unit" in fields:
            continue  # The record says its unit itself.
        if NUMBERS.fullmatch(ast.unparse(field.annotation).replace(" | None", "")):
            yield field.lineno, name


def test_every_number_of_the_core_ends_in_its_unit() -> None:
    unitless = [
        f"{module}:{line}: {name}"
        for module, tree, _ in _modules("gateway/domain", "gateway/control")
        for record in ast.walk(tree)
        if isinstance(record, ast.ClassDef)
        for line, name in _numbers(record)
        if name.rsplit("_", maxsplit=1)[-1] not in UNITS
    ]

    assert unitless == []


def test_no_module_is_too_long() -> None:
    too_long = [
        f"{name}: {lines} lines"
        for name, _, text in _modules("gateway", "drivers")
        if (lines := len(text.splitlines())) > MAX_MODULE_LINES
    ]

    assert too_long == []


def test_no_function_is_too_long() -> None:
    too_long = [
        f"{name}:{node.lineno}: {node.name}: {lines} lines"
        for name, tree, _ in _modules("gateway", "drivers")
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > MAX_FUNCTION_LINES
    ]

    assert too_long == []


def test_no_name_says_nothing() -> None:
    shapeless = [
        _name(path)
        for path in FILES
        if path.suffix == ".py"
        and any(SHAPELESS_NAME.search(part) for part in Path(_name(path)).with_suffix("").parts)
    ]

    assert shapeless == []


def test_every_module_says_what_it_is_for_in_one_sentence() -> None:
    silent = []
    for name, tree, _ in _modules("gateway", "drivers", "tests", "benchmarks"):
        opening = " ".join((ast.get_docstring(tree) or "").split("\n\n", maxsplit=1)[0].split())
        if not opening.endswith(".") or re.search(r"[.!?] [A-Z]", opening):
            silent.append(f"{name}: {opening!r}")

    assert silent == []


def test_nothing_is_left_unfinished() -> None:
    assert _matches(UNFINISHED) == []


def test_no_file_names_a_package_registry() -> None:
    assert _matches(REGISTRY_HOST) == []


def test_no_file_knows_a_machine() -> None:
    assert _matches(MACHINE_PATH) == []


def test_the_core_imports_the_standard_library_and_itself() -> None:
    foreign = [
        f"{name}: {imported}"
        for folder, allowed in THIRD_PARTIES_OF.items()
        for name, tree, _ in _modules(folder)
        for imported in _imports(tree)
        if (top := imported.split(".", maxsplit=1)[0]) not in {"gateway", *allowed}
        and top not in sys.stdlib_module_names
    ]

    assert foreign == []


def test_only_bootstrap_knows_drivers() -> None:
    importers = [
        f"{name}: {imported}"
        for name, tree, _ in _modules("gateway")
        for imported in _imports(tree)
        if f"{imported}.".startswith("drivers.") and not name.startswith("gateway/bootstrap/")
    ]

    assert importers == []


def test_only_the_bus_and_the_plant_speak_pymodbus() -> None:
    importers = {
        name
        for name, tree, _ in _modules("gateway", "drivers")
        if any(f"{imported}.".startswith("pymodbus.") for imported in _imports(tree))
    }

    strays = {name for name in importers if not name.startswith("drivers/sim/")}
    assert strays <= {"drivers/modbus/link.py", "drivers/modbus/serial_port.py"}


def test_our_side_of_ocpp_is_our_own() -> None:
    borrowed = [
        f"{name}: {imported}"
        for name, tree, _ in _modules("gateway", "drivers/ocpp")
        for imported in _imports(tree)
        if imported.startswith(("ocpp.charge_point", "ocpp.routing"))
        or (imported.startswith("ocpp.") and imported.endswith(".ChargePoint"))
    ]

    assert borrowed == []


def test_only_driver_tests_may_mock() -> None:
    mocking = [
        name
        for name, tree, _ in _modules("gateway", "drivers", "tests", "benchmarks")
        if not name.startswith("tests/drivers/")
        and any(imported.startswith("unittest.mock") for imported in _imports(tree))
    ]

    assert mocking == []


def test_requirements_and_project_name_the_same_parts() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (ROOT / "requirements.in").read_text(encoding="utf-8").splitlines()

    assert [line for line in lines if line and line[0] != "#"] == project["dependencies"]


def test_every_requirement_is_pinned_by_hash() -> None:
    for path in ROOT.glob("requirements*.txt"):
        entries = re.split(r"\n(?=[a-z])", path.read_text(encoding="utf-8"))[1:]

        assert entries
        assert [
            entry for entry in entries if "==" not in entry or "--hash=sha256:" not in entry
        ] == []


def test_the_changelog_has_room_for_what_comes() -> None:
    assert "\n## [Unreleased]\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_decision_is_listed() -> None:
    index = (ROOT / "docs" / "adr" / "README.md").read_text(encoding="utf-8")
    decisions = [path.name for path in FILES if _name(path.parent) == "docs/adr"]

    assert len(decisions) > 1
    assert [n for n in decisions if n != "README.md" and f"]({n})" not in index] == []


def test_links_lead_somewhere() -> None:
    dead = [
        f"{_name(path)}: {target}"
        for path, text in _texts()
        if path.suffix == ".md"
        for target in MARKDOWN_LINK.findall(CODE_BLOCK.sub("", text))
        if not re.match(r"[a-z]+:|#", target)
        and not (path.parent / target.split("#", maxsplit=1)[0]).exists()
    ]

    assert dead == []
