"""Who may ask for what: each route by the least role it takes, and those a session's link opens."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from gateway.api.app import PREFIX
from gateway.domain.access import Role
from gateway.domain.events import TransactionStarted
from gateway.domain.ids import ConnectorRef, StationId, TransactionId
from tests.support.api_desk import Desk, api_desk

LEAST = {
    ("GET", "/site"): Role.VIEWER,
    ("GET", "/power"): Role.VIEWER,
    ("GET", "/headroom"): Role.VIEWER,
    ("GET", "/plan"): Role.VIEWER,
    ("GET", "/connectors"): Role.VIEWER,
    ("GET", "/connectors/{connector}/why"): Role.VIEWER,
    ("GET", "/calendar"): Role.VIEWER,
    ("GET", "/events"): Role.VIEWER,
    ("GET", "/reports/reliability"): Role.VIEWER,
    ("POST", "/quotes"): Role.VEHICLE_OPERATOR,
    ("POST", "/quotes/batch"): Role.VEHICLE_OPERATOR,
    ("GET", "/reservations"): Role.VEHICLE_OPERATOR,
    ("POST", "/reservations"): Role.VEHICLE_OPERATOR,
    ("GET", "/reservations/{reservation_id}"): Role.VEHICLE_OPERATOR,
    ("DELETE", "/reservations/{reservation_id}"): Role.VEHICLE_OPERATOR,
    ("POST", "/reservations/{reservation_id}/confirm"): Role.VEHICLE_OPERATOR,
    ("GET", "/sessions"): Role.OPERATOR,
    ("GET", "/sessions/{session_id}"): Role.OPERATOR,
    ("PUT", "/sessions/{session_id}/need"): Role.OPERATOR,
    ("POST", "/limits/preview"): Role.OPERATOR,
    ("PUT", "/calendar/{event_id}"): Role.OPERATOR,
    ("DELETE", "/calendar/{event_id}"): Role.OPERATOR,
}
OPENED_BY_A_LINK = {("GET", "/sessions/{session_id}"), ("PUT", "/sessions/{session_id}/need")}


class Doors:
    """A running API with a session, the word of its link, and a token of each role."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        desk.decide()
        desk.hear(
            TransactionStarted(
                at_s=0.0,
                connector=ConnectorRef(StationId("CP-01"), 1),
                transaction=TransactionId("17"),
                id_token="card",
            )
        )
        self.tokens = {role: desk.token(role, role) for role in Role}
        listed = desk.ask("GET", "/sessions", token=self.tokens[Role.OPERATOR])
        link = urlsplit(listed.said["sessions"][0]["link"])
        self.session_id = link.path.rpartition("/")[2]
        self.word = parse_qs(link.query)["token"][0]

    def answer(self, method: str, path: str, token: str) -> int:
        """Return the status of what is answered to a token."""
        filled = path.format(
            connector="CP-01/1",
            reservation_id="none",
            event_id="none",
            session_id=self.session_id,
        )
        connection = self.desk.connection()
        try:
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            connection.request(method, PREFIX + filled, b"{}", headers)
            return connection.getresponse().status  # A stream that is let in has no end.
        finally:
            connection.close()


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    with api_desk(tmp_path_factory.mktemp("state")) as desk:
        yield Doors(desk)


def test_every_route_is_in_the_table(tmp_path: Path) -> None:
    with api_desk(tmp_path) as desk:
        described = desk.ask("GET", "/openapi.json").said["paths"]

    assert LEAST.keys() == {
        (method.upper(), path.removeprefix(PREFIX))
        for path, of_path in described.items()
        for method in of_path
    }


@pytest.mark.parametrize(("method", "path"), LEAST)
def test_a_route_is_for_its_role_and_those_above_it_alone(
    doors: Doors, method: str, path: str
) -> None:
    refused = {role for role in Role if doors.answer(method, path, doors.tokens[role]) == 403}

    assert refused == {role for role in Role if not role.includes(LEAST[method, path])}


@pytest.mark.parametrize(("method", "path"), LEAST)
def test_a_link_opens_its_session_and_nothing_else(doors: Doors, method: str, path: str) -> None:
    is_opened = (method, path) in OPENED_BY_A_LINK

    assert doors.answer(method, path, doors.word) == (200 if is_opened else 401)
    assert doors.answer(method, path, "hr_nobody_x") == 401
