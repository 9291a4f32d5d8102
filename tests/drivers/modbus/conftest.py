"""A Modbus server that is not ours: libmodbus, compiled when the tests begin."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("libmodbus_server.c")
HEADER = Path("/usr/include/modbus/modbus.h")
NEEDED = "these tests need gcc and libmodbus (Debian: apt-get install gcc libmodbus-dev)"

Serve = Callable[..., str]


@pytest.fixture(scope="session")
def libmodbus_server(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the compiled server."""
    program = tmp_path_factory.mktemp("libmodbus") / "libmodbus_server"
    if shutil.which("gcc") is None or not HEADER.exists():
        pytest.skip(NEEDED)
    options = ["-O1", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["gcc", *options, "-o", program, SOURCE, "-lmodbus"], check=True)
    return program


@pytest.fixture
def serve(libmodbus_server: Path, tmp_path: Path) -> Iterator[Serve]:
    """Return a function that starts a server and returns its port or its device."""
    with ExitStack() as stack:

        def start(transport: str, unit: int = 1, *, image: str | None = None) -> str:
            arguments = [str(libmodbus_server), transport, str(unit)]
            if image is not None:
                file = tmp_path / f"image-{transport}-{unit}"
                file.write_text(image, encoding="ascii")
                arguments.append(str(file))
            process = stack.enter_context(
                subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
            )
            stack.callback(process.kill)
            assert process.stdout is not None
            return process.stdout.readline().strip()

        yield start
