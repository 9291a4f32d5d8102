"""The description against the running API, where schemathesis does not lead it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from gateway.api.app import PREFIX
from gateway.api.calls import MAX_BODY_BYTES
from gateway.domain.access import Role
from tests.support.api_desk import Desk, Reply, api_desk

DRAFT = "https://json-schema.org/draft/2020-12/schema"


class Described:
    """A running API, what it says of itself, and a token for everything."""

    def __init__(self, desk: Desk, *, quota: int = 60_000) -> None:
        self.desk = desk
        self.said: dict[str, Any] = desk.ask("GET", "/openapi.json").said
        self.token = desk.token("engineer", Role.ENGINEER, quota=quota)

    @property
    def operations(self) -> list[tuple[str, str]]:
        """Return the method and the path of every operation."""
        return [
            (method.upper(), path.removeprefix(PREFIX))
            for path, of_path in self.said["paths"].items()
            for method in of_path
        ]

    def operation(self, method: str, path: str) -> dict[str, Any]:
        found: dict[str, Any] = self.said["paths"][PREFIX + path][method.lower()]
        return found

    def ask(self, method: str, path: str, body: object = None, *, at: str, **headers: str) -> Reply:
        """Return what is answered, which is as the description says of the operation `at` a path."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        reply = self.desk.ask(method, path, body, token=self.token, headers=sent)
        self.check(self.operation(method, at), reply)
        return reply

    def check(self, operation: dict[str, Any], reply: Reply) -> None:
        """See that an answer is one the description knows."""
        answer = operation["responses"][str(reply.status)]
        schema = answer["content"][reply.headers["content-type"]]["schema"]
        whole = {**schema, "components": self.said["components"], "$schema": DRAFT}
        jsonschema_rs.validator_for(whole).validate(reply.said)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Described]:
    with api_desk(tmp_path_factory.mktemp("state")) as desk:
        desk.decide()
        yield Described(desk)


def test_a_body_that_is_too_large_is_refused_as_the_description_says(api: Described) -> None:
    for method, path in api.operations:
        place, body = path.replace("{", "").replace("}", ""), b" " * (MAX_BODY_BYTES + 1)
        assert api.ask(method, place, body, at=path).status == 413, (method, path)


def test_a_body_of_another_kind_is_refused_as_the_description_says(api: Described) -> None:
    asked = [(m, path) for m, path in api.operations if "requestBody" in api.operation(m, path)]
    assert len(asked) == 6
    for method, path in asked:
        place = path.replace("{", "").replace("}", "")
        reply = api.ask(method, place, {}, at=path, Content_Type="text/plain")
        assert reply.status == 415, (method, path)


@pytest.mark.parametrize("name", ["a%2Fb", "%2F", "a%2F", "..%2Fsite", "%00", "%FF"])
def test_a_name_that_is_nobodys_is_refused_as_the_description_says(
    api: Described, name: str
) -> None:
    with_name = [(method, path) for method, path in api.operations if "{" in path]
    assert len(with_name) == 8
    for method, path in with_name:
        before, _, after = path.partition("{")
        place = before + name + after.partition("}")[2]
        body: object = None if method in ("GET", "DELETE") else {}
        assert api.ask(method, place, body, at=path).status in (404, 422), (method, path)


def test_what_comes_twice_or_too_late_is_refused_as_the_description_says(api: Described) -> None:
    offers = api.ask("POST", "/quotes", {"energy_wh": 1_000}, at="/quotes").said["offers"]
    hold, at, key = {"offer_id": offers[0]["offer_id"]}, "/reservations", "one"
    held = api.ask("POST", at, hold, at=at, Idempotency_Key=key).said
    other = {**hold, "replaces": "x"}
    assert api.ask("POST", at, other, at=at, Idempotency_Key=key).status == 422
    api.desk.clock.now_s += 130
    confirm = f"/reservations/{held['reservation_id']}/confirm"
    assert api.ask("POST", confirm, at="/reservations/{reservation_id}/confirm").status == 410


def test_what_cannot_be_answered_yet_is_refused_as_the_description_says(tmp_path: Path) -> None:
    with api_desk(tmp_path) as desk:
        api = Described(desk, quota=1)
        assert api.ask("GET", "/power", at="/power").status == 503
        assert api.ask("GET", "/power", at="/power").status == 429
