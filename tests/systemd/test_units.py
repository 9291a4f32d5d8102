"""What systemd is given is what systemd takes: checked by systemd's own tools."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.cli.serving import STOPS_WITHIN_S
from gateway.settings import models

FOLDER = Path(__file__).resolve().parents[2] / "systemd"
UNIT = FOLDER / "headroom.service"
RULES = FOLDER / "60-headroom-serial.rules"
MOST_EXPOSED = 2.0


def settings_of(unit: Path) -> dict[str, list[str]]:
    """Return every setting of a unit, with the values it is given."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text(encoding="utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def asked(program: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program of systemd's own; skip the test where it is not installed."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed (Debian: the package systemd)")
    return subprocess.run([program, *words], capture_output=True, text=True, check=False)


def verify(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Let systemd read a unit, with a program in it that exists."""
    program = shutil.which("true")
    assert program is not None
    unit = folder / "headroom.service"
    unit.write_text(re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={program}", text), encoding="utf-8")
    return asked("systemd-analyze", "verify", unit)


def test_systemd_knows_every_word_of_the_unit(tmp_path: Path) -> None:
    done = verify(tmp_path, UNIT.read_text(encoding="utf-8"))

    # An unknown key is only told of: the exit code is that of a unit without fault.
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_word_systemd_does_not_know_would_be_seen(tmp_path: Path) -> None:
    text = UNIT.read_text(encoding="utf-8")

    done = verify(tmp_path, text.replace("MemoryDenyWriteExecute=", "MemoryDenyWriteExec="))

    assert done.returncode == 0
    assert "MemoryDenyWriteExec" in done.stderr


def test_the_service_is_little_exposed() -> None:
    done = asked("systemd-analyze", "security", "--offline=true", "--no-pager", UNIT)

    assert done.returncode == 0, done.stderr
    (level,) = re.findall(r"Overall exposure level for headroom.service: ([\d.]+)", done.stdout)
    assert float(level) < MOST_EXPOSED


def test_the_times_of_the_unit_fit_those_of_the_daemon() -> None:
    given = {name: values[-1] for name, values in settings_of(UNIT).items()}

    assert float(given["TimeoutStopSec"]) > STOPS_WITHIN_S
    # The slowest control period a site may set, with room for cycles that are late.
    (longest_s,) = [
        bound.le
        for bound in models.ControlEntry.model_fields["period_s"].metadata
        if hasattr(bound, "le")
    ]
    assert float(given["WatchdogSec"]) >= 3 * longest_s
    assert given["Type"] == "notify"
    assert given["Restart"] == "always"
    assert given["StartLimitIntervalSec"] == "0"


def test_the_user_of_the_service_is_made_and_may_open_serial_lines(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    shutil.copy("/etc/group", tmp_path / "etc" / "group")
    shutil.copy("/etc/passwd", tmp_path / "etc" / "passwd")

    done = asked("systemd-sysusers", f"--root={tmp_path}", FOLDER / "sysusers.conf")

    assert done.returncode == 0, done.stderr
    users = (tmp_path / "etc" / "passwd").read_text(encoding="utf-8")
    groups = (tmp_path / "etc" / "group").read_text(encoding="utf-8")
    user = settings_of(UNIT)["User"][-1]
    assert re.search(rf"(?m)^{user}:x:\d+:\d+:[^:]*:/var/lib/headroom:\S*nologin$", users)
    (group,) = settings_of(UNIT)["SupplementaryGroups"]
    assert re.search(rf"(?m)^{group}:x:\d+:(\w+,)*{user}(,|$)", groups)


def test_the_folder_of_the_passwords_is_made_for_root_alone(tmp_path: Path) -> None:
    done = asked("systemd-tmpfiles", f"--root={tmp_path}", "--create", FOLDER / "tmpfiles.conf")

    assert done.returncode == 0, done.stderr
    (credential,) = settings_of(UNIT)["LoadCredential"]
    folder = tmp_path / credential.partition(":")[2].removeprefix("/")
    assert folder.stat().st_mode & 0o7777 == 0o700
    assert folder.parent.stat().st_mode & 0o7777 == 0o755


KEYS = r"ACTION|SUBSYSTEM|SUBSYSTEMS|KERNEL|DRIVER|GOTO|LABEL|GROUP|MODE|(ENV|ATTR)\{\w+\}"
RULE = re.compile(rf'({KEYS})(==|!=|\+=|=)"[^"]*"')


@pytest.mark.parametrize(
    "line", [n for n in RULES.read_text(encoding="utf-8").splitlines() if n and n[0] != "#"]
)
def test_every_rule_for_serial_adapters_is_well_formed(line: str) -> None:
    assert all(RULE.fullmatch(part) for part in line.split(", "))


def test_the_rules_for_serial_adapters_jump_to_where_they_say() -> None:
    text = RULES.read_text(encoding="utf-8")

    assert set(re.findall(r'GOTO="(\w+)"', text)) == set(re.findall(r'LABEL="(\w+)"', text))
