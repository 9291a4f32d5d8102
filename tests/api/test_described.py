"""The description against the running API: whatever is asked by it is answered as it says."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import quote as quoted

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from gateway.api.app import PREFIX
from gateway.api.calls import MAX_BODY_BYTES
from gateway.api.problems import TYPE_PREFIX
from gateway.domain.access import Role
from gateway.domain.events import TransactionStarted
from gateway.domain.ids import ConnectorRef, StationId, TransactionId
from gateway.domain.needs import Criticality
from tests.support.api_desk import BEGINS_AT, Desk, Reply, api_desk
from tests.support.schema_strategies import Schemas

DRAFT = "https://json-schema.org/draft/2020-12/schema"
METHODS = ("GET", "PUT", "POST", "DELETE", "PATCH")
NEAR = st.integers(-60, 50 * 60).map(lambda minutes: BEGINS_AT + timedelta(minutes=minutes))
OFFER, RESERVATION, SESSION = "the newest offer", "the newest reservation", "the session"
"""These stand for what is only known when it is asked."""

EXAMPLES = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),  # An API that has changed cannot be asked again.
    # One API serves all examples: what was promised in one stands in the next.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class Described:
    """A running API, what it says of itself, and a token for everything."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.said: dict[str, Any] = desk.ask("GET", "/openapi.json").said
        self.schemas = Schemas(
            self.said["components"],
            near=NEAR,
            names=("CP-01/1", "CP-02", "carpark", "card", *[OFFER] * 6),
        )
        self.newest = {
            OFFER: "none",
            RESERVATION: "none",
            SESSION: next(iter(desk.sessions.running())),
        }
        self.answered: Counter[tuple[str, str, int]] = Counter()
        self.token = desk.token("engineer", Role.ENGINEER, criticality=Criticality.CRITICAL)

    @property
    def operations(self) -> list[tuple[str, str]]:
        """Return the method and the path of everything but the endless stream, undoing last."""
        found = [
            (method.upper(), path.removeprefix(PREFIX))
            for path, of_path in self.said["paths"].items()
            for method in of_path
            if path != f"{PREFIX}/events"
        ]
        return sorted(found, key=lambda operation: operation[0] == "DELETE")

    def operation(self, method: str, path: str) -> dict[str, Any]:
        found: dict[str, Any] = self.said["paths"][PREFIX + path][method.lower()]
        return found

    def body_schema(self, method: str, path: str) -> dict[str, Any] | None:
        content = self.operation(method, path).get("requestBody", {}).get("content", {})
        schema: dict[str, Any] | None = content.get("application/json", {}).get("schema")
        return schema

    def validator(self, schema: dict[str, Any]) -> jsonschema_rs.Validator:
        whole = {**schema, "components": self.said["components"], "$schema": DRAFT}
        return jsonschema_rs.validator_for(whole)

    def check(self, method: str, path: str, reply: Reply) -> None:
        """See that an answer is one the description knows."""
        operation = self.operation(method, path)
        self.answered[method, path, reply.status] += 1
        answers = operation["responses"]
        assert str(reply.status) in answers, (method, path, reply)
        answer, media = answers[str(reply.status)], reply.headers["content-type"]
        assert media in answer["content"], (method, path, reply)
        self.validator(answer["content"][media]["schema"]).validate(reply.said)
        if media == "application/problem+json":
            assert f"`{reply.said['type']}`" in answer["description"]

    def places(self, path: str) -> st.SearchStrategy[str]:
        """Return paths: with names that are there, and with any others."""
        known = {
            "connector": ("CP-01/1", "CP-02", "CP-09/1"),
            "reservation_id": (RESERVATION, "none"),
            "session_id": (SESSION, "none"),
        }
        for name, names in known.items():
            if f"{{{name}}}" in path:
                # A dot alone is a step in a path to some, and an empty name is another path.
                others = st.text(min_size=1, max_size=20).filter(lambda s: s.strip("./"))
                filled = st.one_of(st.sampled_from(names), st.sampled_from(names), others)
                return filled.map(lambda text, name=name: path.replace(f"{{{name}}}", text))  # type: ignore[misc]
        return st.just(path)

    def ask(self, method: str, place: str, body: Any, *, query: str = "", **headers: str) -> Reply:
        """Return what is answered; what stands for the newest of a kind is put in first."""
        for alias, name in self.newest.items():
            place = place.replace(alias, name)
        raw = body
        if not isinstance(body, bytes | None):
            raw = json.dumps(body)
            for alias, name in self.newest.items():
                raw = raw.replace(alias, name)
            raw = raw.encode()
        path = "/".join(quoted(part, safe="") for part in place.split("/")) + query
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        reply = self.desk.ask(method, path, raw, token=self.token, headers=sent)
        if reply.status in (200, 201):
            offers = reply.said.get("offers") or [{"offer_id": self.newest[OFFER]}]
            self.newest[OFFER] = offers[0]["offer_id"]
            self.newest[RESERVATION] = reply.said.get("reservation_id", self.newest[RESERVATION])
        return reply


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Described]:
    with api_desk(tmp_path_factory.mktemp("state")) as desk:
        desk.decide()
        desk.hear(
            TransactionStarted(
                at_s=0.0,
                connector=ConnectorRef(StationId("CP-03"), 1),
                transaction=TransactionId("17"),
            )
        )
        yield Described(desk)


def key_of(operation: dict[str, Any]) -> st.SearchStrategy[dict[str, str]]:
    """Return headers an operation may be sent."""
    names = {parameter["name"] for parameter in operation["parameters"]}
    if "Idempotency-Key" not in names:
        return st.just({})
    keys = st.sampled_from(("one", "another", "", "k" * 200))
    return st.one_of(st.just({}), st.just({}), keys.map(lambda key: {"Idempotency_Key": key}))


def query_of(operation: dict[str, Any]) -> st.SearchStrategy[str]:
    """Return queries an operation may be asked with, and others; seldom any where all are refused."""
    names = [p["name"] for p in operation["parameters"] if p["in"] == "query"]
    if not names:
        return st.sampled_from(("", "", "", "", "", "", "", "?x=true"))
    said = st.tuples(st.sampled_from(names), st.sampled_from(("true", "false", "", "1")))
    return st.one_of(st.just(""), said.map(lambda pair: "?{}={}".format(*pair)))


def test_what_fits_the_description_is_answered_as_it_says(api: Described) -> None:
    @EXAMPLES
    @given(data=st.data())
    def answered(data: st.DataObject) -> None:
        # Holds of the example before have lapsed; there is one more, for whoever asks for it.
        api.desk.clock.now_s += 130
        assert api.ask("POST", "/quotes", {"energy_wh": 1_000}).said["offers"]
        held = api.ask("POST", "/reservations", {"offer_id": OFFER})
        api.check("POST", "/reservations", held)
        assert held.status == 201
        assert api.ask("POST", "/quotes", {"energy_wh": 1_000}).said["offers"]
        for method, path in api.operations:
            schema = api.body_schema(method, path)
            body = None if schema is None else data.draw(api.schemas.fitting(schema))
            headers = data.draw(key_of(api.operation(method, path)))
            query = data.draw(query_of(api.operation(method, path)))
            reply = api.ask(method, data.draw(api.places(path)), body, query=query, **headers)

            api.check(method, path, reply)
            # Two fields may contradict each other; nothing else is left to be wrong with the body,
            # or with one of many needs.
            if reply.said.get("type") == f"{TYPE_PREFIX}invalid-body":
                deepest = 4 if path == "/quotes/batch" else 2
                assert all(fault["pointer"].count("/") <= deepest for fault in reply.said["errors"])

    answered()

    # They were not idle.
    known = set(api.answered)
    assert ("POST", "/reservations", 201) in known
    assert ("POST", "/reservations", 404) in known
    assert ("POST", "/reservations/{reservation_id}/confirm", 200) in known
    assert ("PUT", "/sessions/{session_id}/need", 200) in known
    assert ("GET", "/reservations", 200) in known
    assert ("GET", "/reservations", 400) in known


def test_what_does_not_fit_the_description_is_refused_as_it_says(api: Described) -> None:
    @EXAMPLES
    @given(data=st.data())
    def refused(data: st.DataObject) -> None:
        for method, path in api.operations:
            schema = api.body_schema(method, path)
            if schema is None:
                continue
            body = data.draw(api.schemas.spoilt(schema))
            reply = api.ask(method, data.draw(api.places(path)), body)

            api.check(method, path, reply)
            if not api.validator(schema).is_valid(body):
                # What is wrong with the path is told first.
                assert reply.status in (404, 422), (method, path, body, reply)

    refused()

    assert ("POST", "/quotes/batch", 422) in set(api.answered)


@EXAMPLES
@given(body=st.binary(max_size=200), data=st.data())
def test_bytes_that_are_no_json_are_refused_as_the_description_says(
    api: Described, body: bytes, data: st.DataObject
) -> None:
    for method, path in api.operations:
        if api.body_schema(method, path) is not None:
            place = data.draw(api.places(path))
            reply = api.ask(method, place, body)

            api.check(method, path, reply)
            assert reply.status in (400, 404, 422) or json.loads(body) is not None


def test_a_body_that_is_too_large_is_refused_as_the_description_says(api: Described) -> None:
    for method, path in api.operations:
        reply = api.ask(method, path.replace("{", "").replace("}", ""), b" " * (MAX_BODY_BYTES + 1))
        assert reply.status == 413, (method, path)
        api.check(method, path, reply)


def test_without_a_token_and_by_another_method_nothing_is_answered(api: Described) -> None:
    for method, path in api.operations:
        filled = path.replace("{connector}", "CP-01/1").replace("{", "").replace("}", "")
        refused = api.desk.ask(method, filled)
        assert refused.status == 401
        api.check(method, path, refused)
        allowed = {m for m, p in api.operations if p == path}
        for other in set(METHODS) - allowed:
            reply = api.desk.ask(other, filled, token=api.token)
            assert reply.status == 405, (other, path)
            assert set(reply.headers["allow"].split(", ")) - {"HEAD"} == allowed
