"""The API over real sockets: what is asked is answered, and what is wrong is told with what to do."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.api.app import PREFIX, SLOWLY_S
from gateway.api.calls import MAX_BODY_BYTES
from gateway.api.problems import KINDS, TYPE_PREFIX
from gateway.domain.access import Role
from gateway.domain.events import TransactionEnded, TransactionStarted
from gateway.domain.ids import ConnectorRef, StationId, TransactionId
from gateway.domain.limits import Authority, Constraint
from gateway.domain.needs import Criticality
from gateway.planning.absence import Away
from gateway.planning.standing_plan import StandingPlan
from tests.support.api_desk import BEGINS_AT, MAX_CONNECTIONS, Desk, Reply, api_desk
from tests.support.small_site import CARPARK


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with api_desk(tmp_path) as running:
        yield running


def quote(desk: Desk, token: str, **more: Any) -> Any:
    wanted = {"arrive_at": desk.at(1), "depart_at": desk.at(3), "energy_wh": 20_000, **more}
    reply = desk.ask("POST", "/quotes", wanted, token=token)
    assert reply.status == 200, reply
    return reply.said


def problem(reply: Reply, kind: str) -> str:
    """Return what a problem document says, having seen that it is one of this kind."""
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.said["type"] == TYPE_PREFIX + kind
    assert reply.said["status"] == reply.status == KINDS[kind].status
    detail: str = reply.said["detail"]
    return detail


def test_a_quote_is_held_confirmed_seen_and_given_up(desk: Desk) -> None:
    token = desk.token("vans")
    said = quote(desk, token)
    assert (said["answer"], said["reason"][:20]) == ("yes", "Yes: 20.0 kWh on CP-")
    offer = said["offers"][0]
    assert offer["profile"][0] == {"start_at": "2026-01-05T09:00:00Z", "power_w": 22_080}
    assert offer["profile"][-1]["power_w"] == 0

    held = desk.ask("POST", "/reservations", {"offer_id": offer["offer_id"]}, token=token)
    assert (held.status, held.said["state"]) == (201, "held")
    assert held.said["hold_expires_at"] == "2026-01-05T08:02:00Z"
    path = f"/reservations/{held.said['reservation_id']}"
    confirmed = desk.ask("POST", f"{path}/confirm", token=token)
    assert (confirmed.status, confirmed.said["state"]) == (200, "confirmed")
    assert confirmed.said["hold_expires_at"] is None
    assert desk.ask("GET", path, token=token).said == confirmed.said
    assert desk.ask("GET", "/reservations", token=token).said == {"reservations": [confirmed.said]}
    assert desk.ask("DELETE", path, token=token).said["state"] == "cancelled"


def test_what_no_longer_fits_comes_with_a_fresh_quote(desk: Desk) -> None:
    vans, drones = desk.token("vans"), desk.token("drones")
    offers = [quote(desk, t, connector="CP-01/1")["offers"][0]["offer_id"] for t in (vans, drones)]
    assert desk.ask("POST", "/reservations", {"offer_id": offers[0]}, token=vans).status == 201

    refused = desk.ask("POST", "/reservations", {"offer_id": offers[1]}, token=drones)
    assert "hold an offer of the fresh quote inside" in problem(refused, "no-longer-fits")
    fresh = refused.said["quote"]["offers"][0]["offer_id"]
    assert desk.ask("POST", "/reservations", {"offer_id": fresh}, token=drones).status == 201


def test_while_it_is_not_known_which_time_it_is_nothing_is_promised(desk: Desk) -> None:
    token, wanted = desk.token("vans"), {"energy_wh": 5_000, "depart_at": desk.at(3)}
    offer = {"offer_id": quote(desk, token)["offers"][0]["offer_id"]}
    held = desk.ask("POST", "/reservations", offer, token=token).said["reservation_id"]
    desk.doubt_s = 271.2
    for path, body in (
        ("/quotes", wanted),
        ("/reservations", offer),
        (f"/reservations/{held}/confirm", None),
    ):
        refused = desk.ask("POST", path, body, token=token)
        assert "ask again in 272 s" in problem(refused, "time-not-known")
        assert refused.headers["retry-after"] == "272"
    many = desk.ask("POST", "/quotes/batch", {"needs": [wanted]}, token=token)
    assert many.said["quotes"][0]["problem"]["type"] == TYPE_PREFIX + "time-not-known"


def test_an_envelope_of_one_s_own_is_held(desk: Desk) -> None:
    envelope = {
        "connector": "CP-02/1",
        "profile": [
            {"start_at": desk.at(1), "power_w": 11_040},
            {"start_at": desk.at(2), "power_w": 0},
        ],
        "end_at": desk.at(3),
    }
    token = desk.token("vans")
    held = desk.ask("POST", "/reservations", {"envelope": envelope}, token=token)

    # An hour at 11,040 W, less the 11 s of its start.
    assert (held.status, held.said["energy_wh"]) == (201, 11_006)
    assert held.said["end_at"] == "2026-01-05T11:00:00Z"


def test_a_repeated_key_is_the_same_answer_and_another_body_is_refused(desk: Desk) -> None:
    token, key = desk.token("vans"), {"Idempotency-Key": "one"}
    offers = [quote(desk, token, arrive_at=desk.at(h))["offers"][0]["offer_id"] for h in (1, 1.5)]
    first, again = (
        desk.ask("POST", "/reservations", {"offer_id": offers[0]}, token=token, headers=key)
        for _ in range(2)
    )
    assert (first.status, first.said) == (again.status, again.said)

    other = desk.ask("POST", "/reservations", {"offer_id": offers[1]}, token=token, headers=key)
    assert "give each request a key of its own" in problem(other, "key-reused")
    assert len(desk.ask("GET", "/reservations", token=token).said["reservations"]) == 1
    said = {"offer_id": offers[1]}
    for bad, told in (("", "give it a word of yours, or leave"), ("k" * 129, "use a shorter one")):
        sent = {"Idempotency-Key": bad}
        refused = desk.ask("POST", "/reservations", said, token=token, headers=sent)
        assert told in problem(refused, "invalid-header")


def test_a_whole_number_may_be_sent_with_a_point(desk: Desk) -> None:
    # To JSON Schema, which the description is made of, 30.0 is an integer.
    wanted = b'{"energy_wh": 3e4, "phases": 3.0, "soc": null, "max_power_w": 11040.0}'
    said = desk.ask("POST", "/quotes", wanted, token=desk.token("vans")).said
    assert said["offers"][0]["energy_wh"] == 30_000
    limit = {"circuit": "carpark", "limit_ma": 63_000.0}
    operator = desk.token("desk", Role.OPERATOR)
    assert desk.ask("POST", "/limits/preview", limit, token=operator).status == 200


HOURS = range(-3, 100)
BATTERY = {"now_pct": 20, "target_pct": 80, "battery_wh": 60_000}


@pytest.mark.parametrize(
    ("wanted", "kind", "advice"),
    [
        ({"arrive_at": 3, "depart_at": 1}, "departure-before-arrival", "after arrive_at"),
        ({"arrive_at": -3, "depart_at": -1}, "window-in-the-past", "from now on"),
        ({"depart_at": -1}, "window-in-the-past", "over already: give one from now on"),
        ({"arrive_at": 1, "depart_at": 90}, "window-too-far", "ends before"),
        ({"energy_wh": -5}, "invalid-body", "/energy_wh: takes more than 0"),
        ({"energy_wh": "30"}, "invalid-body", "/energy_wh: takes a whole number"),
        ({"energy": 30}, "invalid-body", "/energy: there is no such field; known are arrive_at"),
        ({"energy_wh": 30.5}, "invalid-body", "/energy_wh: takes a whole number"),
        ({"energy_wh": True}, "invalid-body", "/energy_wh: takes a whole number"),
        (
            {"energy_wh": 5, "min_energy_wh": 6},
            "invalid-body",
            "/min_energy_wh: is above energy_wh",
        ),
        (
            {"soc": BATTERY, "min_energy_wh": 36_001},
            "invalid-body",
            "/min_energy_wh: is above the 36000 Wh that are missing",
        ),
        ({"confidence": 90}, "invalid-body", "/confidence: takes less than 1"),
        ({"soc": BATTERY | {"now": 2}}, "invalid-body", "are now_pct, target_pct, battery_wh"),
        ({"soc": {"now_pct": 101}}, "invalid-body", "/soc/now_pct: takes 100 or less"),
        ({"soc": {"now_pct": 20}}, "invalid-body", "/soc/target_pct: is missing"),
        ({"soc": 20}, "invalid-body", "/soc: takes an object"),
        ({"objective": "soon"}, "invalid-body", "/objective: takes 'fastest', 'most_energy' or"),
        (
            {"soc": {}, "phases": 4},
            "invalid-body",
            "/soc/battery_wh: is missing; and 1 more in errors",
        ),
        ({"reference": ""}, "invalid-body", "/reference: is empty"),
        ({"reference": "x" * 129}, "invalid-body", "/reference: takes 128 characters at most"),
        ({"fixed": "yes"}, "invalid-body", "/fixed: takes true or false"),
        ({"connector": "CP-11/1"}, "unknown-connector", "did you mean CP-01/1?"),
        ({"connector": "dock"}, "unknown-connector", "name one as STATION/NUMBER"),
        ({"circuit": "carpork", "energy_wh": 1}, "unknown-circuit", "did you mean carpark?"),
        ({"circuit": "carpark", "connector": "CP-01/1"}, "invalid-body", "not both"),
        ({"circuit": "carpark", "energy_wh": 1, "soc": BATTERY}, "invalid-body", "give no soc"),
        ({"circuit": "carpark", "energy_wh": 1, "id_token": "4A"}, "invalid-body", "no id_token"),
        ({"max_power_w": 3_000}, "power-too-low", "4140 W: allow more, or fewer phases"),
        (
            {"soc": {"now_pct": 90, "target_pct": 80, "battery_wh": 60_000}},
            "nothing-wanted",
            "a higher target",
        ),
        ({"criticality": "critical"}, "not-allowed", "may claim high at most"),
        ({"arrive_at": "soon"}, "invalid-body", "/arrive_at: takes an instant with its zone"),
        ({"arrive_at": "1767607200"}, "invalid-body", "/arrive_at: takes an instant with its zone"),
        ({"arrive_at": 1767607200}, "invalid-body", "/arrive_at: takes an instant with its zone"),
        ({"arrive_at": "2026-01-05T10:00:00"}, "invalid-body", "with its zone, such as 2026"),
        ({"depart_at": "2026-01-05"}, "invalid-body", "/depart_at: takes an instant with its zone"),
        ({"depart_at": "2026-02-30T10:00:00Z"}, "invalid-body", "takes an instant with its zone"),
        ({"max_power_w": 10**400}, "invalid-body", "/max_power_w: takes 100000000 or less"),
        ({"depart_at": "9999-12-31T23:59:59-23:59"}, "invalid-body", "years 1990 to 2200"),
        ({"arrive_slack_s": 7_000, "arrive_at": 1, "depart_at": 2}, "departure-before-arrival", ""),
    ],
)
def test_a_need_that_cannot_be_answered_is_told_with_what_to_do(
    desk: Desk, wanted: dict[str, Any], kind: str, advice: str
) -> None:
    token = desk.token("vans", criticality=Criticality.HIGH)
    body = {
        name: desk.at(value) if name.endswith("_at") and value in HOURS else value
        for name, value in wanted.items()
    }

    assert advice in problem(desk.ask("POST", "/quotes", body, token=token), kind)


@pytest.mark.parametrize(
    ("wanted", "kind", "advice"),
    [
        ({"connector": "CP-11/1"}, "unknown-connector", "did you mean CP-01/1?"),
        ({"start_at": -2, "end_at": -1}, "window-in-the-past", "from now on"),
        ({"start_at": 2, "end_at": 1}, "parts-out-of-order", "in order"),
        ({"start_at": 1, "end_at": 90}, "window-too-far", "ends before"),
        ({"power_w": -11_040}, "invalid-body", "/power_w: takes 0 or more"),
        ({"power_w": 0}, "nothing-wanted", "give at least one part a power"),
        ({"power_w": 90_000}, "not-possible-there", "gives 4140 to 22080 W or nothing"),
        ({"power_w": 10**400}, "invalid-body", "/power_w"),
        ({"end_at": "9999-12-31T23:59:59-23:59"}, "invalid-body", "years 1990 to 2200"),
        ({"start_at": "0001-01-01T00:00:00+23:59"}, "invalid-body", "years 1990 to 2200"),
    ],
)
def test_an_envelope_that_cannot_be_held_is_told_with_what_to_do(
    desk: Desk, wanted: dict[str, Any], kind: str, advice: str
) -> None:
    said = {"connector": "CP-01/1", "start_at": 1, "end_at": 2, "power_w": 11_040, **wanted}
    start_at, end_at = (
        at if isinstance(at, str) else desk.at(at) for at in (said["start_at"], said["end_at"])
    )
    step = {"start_at": start_at, "power_w": said["power_w"]}
    envelope = {
        "connector": said["connector"],
        "profile": [step],
        "end_at": end_at,
    }
    token = desk.token("vans")
    refused = desk.ask("POST", "/reservations", {"envelope": envelope}, token=token)

    assert advice in problem(refused, kind)
    assert desk.ask("GET", "/reservations", token=token).said["reservations"] == []


def test_a_mistake_of_our_own_is_told_as_a_problem_too(desk: Desk) -> None:
    desk.decide()
    desk.plan = cast("StandingPlan", object())
    token = desk.token("people", Role.OPERATOR)

    assert "the daemon's log says what" in problem(
        desk.ask("GET", "/plan", token=token), "unexpected"
    )


def test_a_key_is_of_one_request_whatever_it_does(desk: Desk) -> None:
    token, key = desk.token("vans"), {"Idempotency-Key": "one"}
    offer = {"offer_id": quote(desk, token)["offers"][0]["offer_id"]}
    held = desk.ask("POST", "/reservations", offer, token=token, headers=key).said
    path = f"/reservations/{held['reservation_id']}"
    for method, of_path in (("POST", f"{path}/confirm"), ("DELETE", path)):
        refused = desk.ask(method, of_path, token=token, headers=key)
        assert "give each request a key of its own" in problem(refused, "key-reused")
    assert desk.ask("GET", path, token=token).said["state"] == "held"


def test_one_that_asks_as_fast_as_it_can_is_refused_and_nobody_else_is(desk: Desk) -> None:
    eager, other = desk.token("eager", quota=60), desk.token("patient")
    body = b" " * MAX_BODY_BYTES + b"{}"  # It would be refused, if it were read.
    kinds = {
        desk.ask("POST", "/quotes", body, token=eager).said["type"].removeprefix(TYPE_PREFIX)
        for _ in range(14)
    }
    assert kinds == {"body-too-large", "too-many-requests"}
    assert quote(desk, other)["answer"] == "yes"
    # Who floods waits for each refusal; so a flood costs the daemon little.
    assert len(desk.clock.slept_s) == 4
    refused = desk.ask("POST", "/quotes", body, token=eager)
    assert "ask again in 1 s" in problem(refused, "too-many-requests")


def test_a_small_quota_is_not_exceeded_at_once(desk: Desk) -> None:
    token = desk.token("slow", quota=5)
    codes = [desk.ask("GET", "/site", token=token).status for _ in range(7)]
    assert codes == [200] * 5 + [429] * 2


@pytest.mark.parametrize("path", ["/quotes", "/nothing"])
def test_nobody_known_waits_as_long_for_each_refusal_on_a_connection_of_its_own(
    desk: Desk, path: str
) -> None:
    desk.token("vans")
    for asked_count in (1, 2):
        refused = desk.ask("POST", path, b" " * 32_000, token="hr_nobody_x")
        problem(refused, "unauthorized" if path == "/quotes" else "not-found")
        assert desk.clock.slept_s == [SLOWLY_S] * asked_count
        assert refused.headers["connection"] == "close"


def test_what_is_no_request_is_told_with_what_to_do(desk: Desk) -> None:
    token = desk.token("vans")

    assert "JSON" in problem(
        desk.ask("POST", "/quotes", b'{"energy_wh": ', token=token), "malformed-json"
    )
    problem(desk.ask("POST", "/quotes", b"[1, 2]", token=token), "invalid-body")
    problem(desk.ask("POST", "/quotes", b"\xff\xfe", token=token), "malformed-json")
    problem(desk.ask("POST", "/quotes", b"[" * 20_000, token=token), "malformed-json")
    text = {"Content-Type": "text/plain"}
    problem(desk.ask("POST", "/quotes", b"{}", token=token, headers=text), "not-json")
    assert "openapi.json" in problem(desk.ask("GET", "/nothing", token=token), "not-found")
    assert "takes" in problem(desk.ask("PUT", "/quotes", {}, token=token), "method-not-allowed")
    described = desk.ask("POST", "/openapi.json", {}, token=token)
    assert "takes GET, HEAD, not POST" in problem(described, "method-not-allowed")
    large = b" " * (MAX_BODY_BYTES + 1)
    problem(desk.ask("POST", "/quotes", large, token=token), "body-too-large")


def test_a_body_that_has_no_end_is_cut_off(desk: Desk) -> None:
    token = desk.token("vans")
    with socket.create_connection(("127.0.0.1", desk.port), timeout=20) as asking:
        head = (
            f"POST {PREFIX}/quotes HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
            "Transfer-Encoding: chunked\r\n\r\n"
        )
        asking.sendall(head.encode())
        part = b"4000\r\n" + b" " * 0x4000 + b"\r\n"
        for _ in range(MAX_BODY_BYTES // 0x4000 + 1):
            asking.sendall(part)
        assert asking.recv(64).startswith(b"HTTP/1.1 413")


def test_expired_holds_offers_and_what_is_not_there_say_what_to_do(desk: Desk) -> None:
    token = desk.token("vans")
    offer = quote(desk, token)["offers"][0]["offer_id"]
    held = desk.ask("POST", "/reservations", {"offer_id": offer}, token=token).said
    desk.clock.now_s += 121
    path = f"/reservations/{held['reservation_id']}/confirm"
    assert "ask for a fresh quote" in problem(desk.ask("POST", path, token=token), "hold-expired")
    desk.clock.now_s += 300
    gone = desk.ask("POST", "/reservations", {"offer_id": offer}, token=token)
    assert "ask for a fresh quote" in problem(gone, "unknown-offer")
    nothing = desk.ask("GET", "/reservations/none", token=token)
    assert "lists those there are" in problem(nothing, "unknown-reservation")
    cancelled = desk.ask("DELETE", f"/reservations/{held['reservation_id']}", token=token)
    assert "is expired: it takes no room any more" in problem(cancelled, "wrong-state")


def test_what_was_given_up_is_not_confirmed_and_a_fresh_quote_is_asked_for(desk: Desk) -> None:
    token = desk.token("vans")
    offer = quote(desk, token)["offers"][0]["offer_id"]
    held = desk.ask("POST", "/reservations", {"offer_id": offer}, token=token).said
    path = f"/reservations/{held['reservation_id']}"
    assert desk.ask("DELETE", path, token=token).status == 200

    refused = desk.ask("POST", f"{path}/confirm", token=token)

    assert "is cancelled: for another ask for a fresh quote" in problem(refused, "wrong-state")


def test_who_asks_must_be_known_and_allowed(desk: Desk) -> None:
    token = desk.token("screen", Role.VIEWER)
    for wrong in (None, "", token[:-1], f"{token}x", token.replace("hr_", "hx_"), "hr_00_x"):
        refused = desk.ask("GET", "/site", token=wrong)
        assert "headroom token" in problem(refused, "unauthorized")
        assert refused.headers["www-authenticate"] == 'Bearer realm="headroom"'

    assert desk.ask("GET", "/site", token=token).status == 200
    assert "another token" in problem(desk.ask("POST", "/quotes", {}, token=token), "not-allowed")
    replaced = desk.token("screen", Role.VIEWER)
    problem(desk.ask("GET", "/site", token=token), "unauthorized")
    assert desk.ask("GET", "/site", token=replaced).status == 200


def test_who_asks_too_often_is_told_before_the_body_is_read(desk: Desk) -> None:
    token, other = desk.token("eager", quota=60), desk.token("patient")
    answers = [desk.ask("POST", "/quotes", {"energy_wh": 1}, token=token) for _ in range(12)]
    assert [reply.status for reply in answers] == [200] * 10 + [429] * 2
    assert "ask again in 1 s" in problem(answers[-1], "too-many-requests")
    assert answers[-1].headers["retry-after"] == "1"

    with socket.create_connection(("127.0.0.1", desk.port), timeout=20) as asking:
        # No body ever comes: it is not waited for.
        head = (
            f"POST {PREFIX}/quotes HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
            "Content-Length: 60000\r\n\r\n"
        )
        asking.sendall(head.encode())
        assert asking.recv(64).startswith(b"HTTP/1.1 429")
    assert desk.ask("GET", "/site", token=other).status == 200
    desk.clock.now_s += 1
    assert desk.ask("GET", "/site", token=token).status == 200


def test_readings_limits_and_headroom_are_told(desk: Desk) -> None:
    token = desk.token("screen", Role.VIEWER)
    for path in ("/power", "/connectors", "/connectors/CP-01/1/why"):
        problem(desk.ask("GET", path, token=token), "not-ready")
    desk.decide()

    power = desk.ask("GET", "/power", token=token).said
    assert power["circuits"][0]["phases"][0]["current_ma"] == 20_000
    connectors = desk.ask("GET", "/connectors", token=token).said["connectors"]
    assert [c["connector"] for c in connectors] == ["CP-01/1", "CP-02/1", "CP-03/1"]
    for name in ("CP-02/1", "CP-02", "CP-02%2F1"):
        assert desk.ask("GET", f"/connectors/{name}/why", token=token).said == connectors[1]
    assert "CP-03/1" in problem(desk.ask("GET", "/connectors/no/why", token=token), "not-found")
    site = desk.ask("GET", "/site", token=token).said
    assert (site["name"], site["timezone"]) == ("Small", "Europe/London")


def test_an_impossible_target_is_answered_with_the_best_there_is_and_never_with_nothing(
    desk: Desk,
) -> None:
    said = quote(desk, desk.token("vans"), connector="CP-01/1", energy_wh=900_000)
    (best, *_) = said["offers"]

    assert said["answer"] == "partly"
    assert "not all of the 900.0 kWh" in said["reason"]
    assert 0 < best["energy_wh"] < 900_000
    assert best["profile"]


def test_headroom_is_what_a_quote_would_be_told(desk: Desk) -> None:
    token = desk.token("vans")
    held = quote(desk, token, connector="CP-01/1")["offers"][0]
    desk.ask("POST", "/reservations", {"offer_id": held["offer_id"]}, token=token)
    free = desk.ask("GET", "/headroom", token=token).said
    profile = {c["connector"]: c["profile"] for c in free["connectors"]}

    assert {"start_at": "2026-01-05T09:00:00Z", "power_w": 0} in profile["CP-01/1"]
    left = {row["from_at"]: row["left_ma"] for row in free["circuits"][0]["phases"][0]["left"]}
    assert left["2026-01-05T09:00:00Z"] == 40_000 - 32_000


def test_headroom_knows_which_connectors_nobody_can_use_now(desk: Desk) -> None:
    token = desk.token("vans")
    came = ConnectorRef(StationId("CP-01"), 1)
    desk.hear(TransactionStarted(at_s=0.0, connector=came, transaction=TransactionId("1")))
    now_s = BEGINS_AT.timestamp()
    gone = Away(what="station CP-02", how="out of reach", since_at_s=now_s, began_at_s=now_s)
    desk.loop.call_soon_threadsafe(desk.booking.miss, {"CP-02/1": gone})
    free = desk.ask("GET", "/headroom", token=token).said
    first, second, third = (connector["profile"] for connector in free["connectors"])

    assert [step["power_w"] for step in first] == [0, 22_080, 0]
    assert [profile[1]["start_at"] for profile in (first, second)] == [
        "2026-01-05T09:00:00Z",
        "2026-01-05T08:20:00Z",
    ]
    assert third[0] == {"start_at": "2026-01-05T08:00:00Z", "power_w": 22_080}


def test_a_reservation_says_whose_leaving_it_needs_as_it_is_now(desk: Desk) -> None:
    token = desk.token("vans")
    offer = quote(desk, token, connector="CP-01/1", id_token="van-7")["offers"][0]["offer_id"]
    held = desk.ask("POST", "/reservations", {"offer_id": offer}, token=token).said
    path = f"/reservations/{held['reservation_id']}"
    assert held["waits_for"] == ""
    came = TransactionStarted(
        at_s=0.0,
        connector=ConnectorRef(StationId("CP-01"), 1),
        transaction=TransactionId("1"),
        id_token="walk-up",
    )
    desk.hear(came)
    now = desk.ask("GET", path, token=token).said
    assert now["waits_for"] == "CP-01/1 is occupied now, it is taken to be free from 09:00"
    desk.hear(TransactionEnded(at_s=0.0, connector=came.connector, transaction=came.transaction))
    assert desk.ask("GET", path, token=token).said["waits_for"] == ""
    desk.hear(replace(came, transaction=TransactionId("2"), id_token="VAN-7"))
    assert desk.ask("GET", path, token=token).said["waits_for"] == ""


def test_one_connection_too_many_is_told_as_a_problem(tmp_path: Path) -> None:
    with api_desk(tmp_path) as desk, ExitStack() as closing:
        for _ in range(MAX_CONNECTIONS):
            closing.enter_context(socket.create_connection(("127.0.0.1", desk.port)))
        answer = desk.ask("GET", "/site")

    assert (answer.status, answer.said["type"]) == (503, f"{TYPE_PREFIX}too-many-connections")
    assert answer.headers["content-type"] == "application/problem+json"
    assert "try again" in answer.said["detail"]


def test_whose_promise_is_at_risk_is_told_to_its_holder_and_to_operators(desk: Desk) -> None:
    holders = {"drones": Criticality.CRITICAL, "vans": Criticality.NORMAL}
    tokens = {name: desk.token(name, criticality=most) for name, most in holders.items()}
    operator = desk.token("night desk", Role.OPERATOR)

    def listed(token: str, query: str = "") -> list[Any]:
        return desk.ask("GET", f"/reservations{query}", token=token).said["reservations"]  # type: ignore[no-any-return]

    def holders_of(token: str, query: str) -> list[str]:
        return [view["holder"] for view in listed(token, query)]

    for at, (name, token) in enumerate(tokens.items(), start=1):
        wanted = {"connector": f"CP-0{at}/1", "max_power_w": 11_040, "criticality": holders[name]}
        offer = quote(desk, token, **wanted)["offers"][0]
        held = desk.ask("POST", "/reservations", {"offer_id": offer["offer_id"]}, token=token).said
        # Nobody has looked yet.
        assert (held["holder"], held["confidence_now"], held["at_risk"]) == (name, None, False)
    desk.review()
    assert {(v["confidence_now"], v["at_risk"], v["why"]) for v in listed(operator)} == {
        (1.0, False, "")
    }
    lowered = Constraint(
        subject=CARPARK, limit_ma=(76_000,) * 3, authority=Authority.SITE, source="calendar"
    )
    desk.loop.call_soon_threadsafe(desk.booking.limit, (lowered,))
    desk.review()

    (risk,) = listed(operator, "?at_risk=true")
    assert (risk["holder"], risk["at_risk"], risk["confidence_now"]) == ("vans", True, None)
    assert "circuit carpark may leave it only 5.0 A on L1 from 09:00" in risk["why"]
    assert holders_of(operator, "?at_risk=false") == ["drones"]
    assert holders_of(tokens["vans"], "?at_risk=true") == ["vans"]
    # What is somebody else's is nobody's business.
    assert holders_of(tokens["drones"], "?at_risk=true") == []
    assert holders_of(tokens["drones"], "") == ["drones"]
    told = desk.events(operator, 3, **{"Last-Event-ID": "0"})
    assert [(kind, said["holder"]) for _, kind, said in told] == [
        ("reservation", "drones"),
        ("reservation", "vans"),
        ("reservation-at-risk", "vans"),
    ]
    assert told[-1][2]["data"]["why"] == risk["why"]
    wrong = desk.ask("GET", "/reservations?at_risk=perhaps", token=operator)
    assert "say one, or leave it out" in problem(wrong, "invalid-query")


def described(desk: Desk) -> dict[str, Any]:
    reply = desk.ask("GET", "/openapi.json")
    assert reply.status == 200
    said: dict[str, Any] = reply.said
    return said


def test_the_description_is_had_by_anybody_and_slowly(desk: Desk) -> None:
    for asked_count in (1, 2):
        reply = desk.ask("GET", "/openapi.json")
        assert reply.status == 200
        assert desk.clock.slept_s == [SLOWLY_S] * asked_count
        assert reply.headers["connection"] == "close"


def test_the_description_names_every_path_and_no_other(desk: Desk) -> None:
    said = described(desk)
    methods = {(path, method) for path, of_path in said["paths"].items() for method in of_path}

    assert len(methods) == 22
    for path, method in methods:
        filled = path.removeprefix(PREFIX).replace("{connector}", "X/1").replace("{event_id}", "x")
        filled = filled.replace("{reservation_id}", "x").replace("{session_id}", "x")
        # It is there: who asks is looked at, and nobody is known.
        problem(desk.ask(method.upper(), filled), "unauthorized")
    undescribed = [("GET", "/quotes"), ("DELETE", "/site"), ("POST", "/connectors")]
    assert {desk.ask(method, path).status for method, path in undescribed} == {405}


def test_what_a_limit_would_break_is_told_before_it_is_set(desk: Desk) -> None:
    vans, operator = desk.token("vans"), desk.token("night desk", Role.OPERATOR)
    offer = quote(desk, vans, connector="CP-01/1", reference="order 12")["offers"][0]
    held = desk.ask("POST", "/reservations", {"offer_id": offer["offer_id"]}, token=vans).said

    def breaks(limit_ma: int) -> Any:
        body = {"circuit": "carpark", "limit_ma": limit_ma}
        reply = desk.ask("POST", "/limits/preview", body, token=operator)
        assert reply.status == 200
        return reply.said["breaks"]

    assert breaks(90_000) == []
    (broken,) = breaks(65_000)
    assert broken["reservation_id"] == held["reservation_id"]
    assert (broken["holder"], broken["reference"]) == ("vans", "order 12")
    # What base will draw is not known yet; that nothing is left for anybody is.
    assert (broken["confidence"], broken["promised_confidence"]) == (None, 1.0)
    assert breaks(0)[0]["confidence"] == 0.0
    assert 0 < broken["can_wh"] < broken["energy_wh"] == 20_000
    assert desk.booking.book.room.left_ma.min() >= 0
    wrong = {"circuit": "carpork", "limit_ma": 1}
    refused = desk.ask("POST", "/limits/preview", wrong, token=operator)
    assert "did you mean carpark?" in problem(refused, "unknown-circuit")
    problem(desk.ask("POST", "/limits/preview", wrong, token=vans), "not-allowed")
