"""A real Prometheus as a process, with the project's own configuration, scraping what a test runs."""

import http.client
import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

from ruamel.yaml import YAML

from tests.support.exposition import debian

CONFIG = Path(__file__).resolve().parents[2] / "config" / "prometheus"
PATIENCE_S = 60.0

Found = TypeVar("Found")


def wait_for(look: Callable[[], Found], complaint: str) -> Found:
    """Return what `look` finds, once it is not empty."""
    until_s = time.monotonic() + PATIENCE_S  # noqa: TID251 - patience is nothing that is measured
    while not (found := look()):
        assert time.monotonic() < until_s, complaint  # noqa: TID251 - the same
        time.sleep(0.2)  # noqa: TID251 - nothing else runs in this thread
    return found


class Prometheus:
    """A Prometheus that runs."""

    def __init__(self, port: int) -> None:
        self._port = port

    def ask(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer of its HTTP interface; an error is a failure."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S)
        try:
            connection.request("GET", f"/api/v1/{path}?{urlencode(parameters)}")
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        assert answer["status"] == "success", (parameters, answer)
        return answer["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the result of a query now."""
        result: list[dict[str, Any]] = self.ask("query", query=expression)["result"]
        return result

    def wait_ready(self) -> None:
        """Wait until it answers."""

        def look() -> bool:
            with suppress(ConnectionError, http.client.HTTPException):
                return bool(self.ask("status/buildinfo"))
            return False

        wait_for(look, "Prometheus does not start")


@contextmanager
def prometheus(target: str, folder: Path) -> Iterator[Prometheus]:
    """Run a Prometheus that scrapes `target` each second, with the alerts; then see it gone."""
    yaml = YAML(typ="safe", pure=True)
    config = yaml.load(CONFIG / "prometheus.yml")
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(CONFIG / name) for name in config["rule_files"]]
    config["scrape_configs"][0]["static_configs"] = [{"targets": [target]}]
    yaml.dump(config, folder / "prometheus.yml")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                debian("prometheus"),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=warn",
            ],
            stderr=log,
        )
        try:
            running = Prometheus(port)
            running.wait_ready()
            yield running
        finally:
            process.terminate()
            process.wait(PATIENCE_S)
