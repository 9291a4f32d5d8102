"""What occupants say of their vehicle, by a link that is its session's own and ends with it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from gateway.adapters.session_key import session_key
from gateway.api.app import PREFIX
from gateway.api.problems import TYPE_PREFIX
from gateway.domain.access import Access, Role
from gateway.domain.events import ConnectorMetered, TransactionEnded, TransactionStarted
from gateway.domain.ids import ConnectorRef, StationId, TransactionId
from gateway.domain.needs import Criticality
from gateway.domain.sessions import Statement
from gateway.planning.answers import NotDurableError
from gateway.services.session_desk import SessionDesk
from gateway.services.visits import Visits
from tests.support.api_desk import BEGINS_AT, Desk, api_desk
from tests.support.paper_ledger import PaperLedger
from tests.support.virtual_time import VirtualClock, run_virtual

FIRST, SECOND = (ConnectorRef(StationId(f"CP-0{n}"), 1) for n in (1, 2))
CARD = "card"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with api_desk(tmp_path) as running:
        yield running


def started(
    connector: ConnectorRef = FIRST, transaction: str = "17", *, id_token: str = CARD
) -> TransactionStarted:
    return TransactionStarted(
        at_s=0.0,
        connector=connector,
        transaction=TransactionId(transaction),
        id_token=id_token,
    )


def ended(connector: ConnectorRef = FIRST, transaction: str = "17") -> TransactionEnded:
    return TransactionEnded(at_s=0.0, connector=connector, transaction=TransactionId(transaction))


def listed(desk: Desk) -> list[dict[str, Any]]:
    reply = desk.ask("GET", "/sessions", token=desk.token("desk", Role.OPERATOR))
    found: list[dict[str, Any]] = reply.said["sessions"]
    return found


def followed(session: dict[str, Any]) -> tuple[str, str]:
    """Return the path of a session's link, and the word in it."""
    link = urlsplit(session["link"])
    return link.path.removeprefix(PREFIX), parse_qs(link.query)["token"][0]


def test_an_occupant_says_when_the_vehicle_leaves_and_what_it_needs(desk: Desk) -> None:
    desk.hear(started())
    desk.hear(ConnectorMetered(at_s=0.0, connector=FIRST, energy_wh=1_000.0))
    desk.hear(ConnectorMetered(at_s=0.0, connector=FIRST, energy_wh=4_000.0))
    (session,) = listed(desk)
    assert (session["connector"], session["id_token"]) == ("CP-01/1", "card")
    assert (session["delivered_wh"], session["wants_wh"]) == (3_000, None)
    path, word = followed(session)

    need = {"depart_at": desk.at(2), "energy_wh": 10_000}
    said = desk.ask("PUT", f"{path}/need?token={word}", need)
    assert said.status == 200
    assert (said.said["wants_wh"], said.said["depart_at"]) == (10_000, "2026-01-05T10:00:00Z")
    assert (said.said["id_token"], said.said["link"]) == (None, None)
    # As a bearer token it is worth as much.
    assert desk.ask("GET", path, token=word).said == said.said
    (known,) = desk.visits.sessions()
    assert known.said == Statement(departs_at_s=BEGINS_AT.timestamp() + 7_200, energy_wh=13_000.0)
    battery = {"now_pct": 50, "target_pct": 80, "battery_wh": 60_000}
    again = desk.ask("PUT", f"{path}/need", {"soc": battery}, token=word)
    assert (again.said["wants_wh"], again.said["depart_at"]) == (18_000, None)


def test_a_link_is_worth_as_much_beside_a_token_that_is_worth_less(desk: Desk) -> None:
    desk.hear(started())
    path, word = followed(listed(desk)[0])
    viewer, operator = desk.token("screen", Role.VIEWER), desk.token("desk", Role.OPERATOR)

    said = desk.ask("PUT", f"{path}/need?token={word}", {"energy_wh": 5_000}, token=viewer)
    assert (said.status, said.said["link"]) == (200, None)
    assert desk.ask("GET", f"{path}?token={word}", token="a word of nobody's").status == 200
    assert desk.ask("GET", f"{path}?token={word}", token=operator).said["link"] is not None
    assert desk.ask("GET", path, token=viewer).status == 403
    assert desk.ask("GET", f"{path}?token={word}x", token=viewer).status == 403


def test_a_link_is_for_its_session_alone_and_ends_with_it(desk: Desk) -> None:
    desk.hear(started())
    desk.hear(started(SECOND, "18"))
    first, second = sorted(listed(desk), key=lambda s: str(s["connector"]))
    (path, word), (other, _) = followed(first), followed(second)

    for wrong_path, wrong in (
        (other, word),
        (path, word[:-1]),
        (path, ""),
        (path, "hs_" + "A" * 32),
    ):
        refused = desk.ask("PUT", f"{wrong_path}/need?token={wrong}", {})
        assert (refused.status, refused.said["type"]) == (401, TYPE_PREFIX + "unauthorized")
        assert refused.said["detail"].startswith("this link opens nothing: it is for one vehicle's")
    for elsewhere in ("/sessions", "/site", "/reservations", "/plan"):
        assert desk.ask("GET", elsewhere, token=word).status == 401
        assert desk.ask("GET", f"{elsewhere}?token={word}").status == 401
    desk.hear(ended())
    assert desk.ask("GET", path, token=word).status == 401
    # The next vehicle at the same connector is another session.
    desk.hear(started(transaction="19"))
    assert desk.ask("GET", path, token=word).status == 401
    assert followed(next(s for s in listed(desk) if s["connector"] == "CP-01/1"))[0] != path


def test_an_operator_speaks_for_any_session_and_others_for_none(desk: Desk) -> None:
    desk.hear(started())
    (session,) = listed(desk)
    path, word = followed(session)
    need = {"energy_wh": 5_000, "criticality": "critical"}
    critical = desk.token("night desk", Role.OPERATOR, criticality=Criticality.CRITICAL)
    assert desk.ask("PUT", f"{path}/need", need, token=critical).said["criticality"] == "critical"
    for token in (word, desk.token("day desk", Role.OPERATOR)):
        refused = desk.ask("PUT", f"{path}/need", need, token=token)
        assert (refused.status, refused.said["type"]) == (403, TYPE_PREFIX + "not-allowed")
    vans = desk.token("vans")
    assert desk.ask("PUT", f"{path}/need", {}, token=vans).status == 403
    assert desk.ask("GET", "/sessions", token=vans).status == 403
    nothing = desk.ask("PUT", "/sessions/none/need", {}, token=critical)
    assert (nothing.status, nothing.said["type"]) == (404, TYPE_PREFIX + "unknown-session")


@pytest.mark.parametrize(
    ("said", "others"),
    [
        ("critical", ["high", "opportunistic"]),
        ("normal", ["high", "opportunistic"]),
        ("opportunistic", ["normal"]),
    ],
)
def test_what_an_operator_said_it_matters_stays_whatever_the_occupant_says(
    desk: Desk, said: str, others: list[str]
) -> None:
    desk.hear(started())
    path, word = followed(listed(desk)[0])
    night = desk.token("night desk", Role.OPERATOR, criticality=Criticality.CRITICAL)
    day = desk.token("day desk", Role.OPERATOR)
    said_so, needs = {"criticality": said}, f"{path}/need"
    desk.ask("PUT", needs, said_so, token=night)

    for by in (word, day):
        left = desk.ask("PUT", needs, {"energy_wh": 8_000}, token=by).said
        assert (left["criticality"], left["wants_wh"]) == (said, 8_000)
    for other in others:
        refused = desk.ask("PUT", needs, {"criticality": other}, token=word)
        assert refused.status == 403
        assert "leave criticality out" in refused.said["detail"]
    assert desk.ask("GET", path, token=word).said["criticality"] == said
    # Another operator may say otherwise, up to what the token may claim.
    now = desk.ask("PUT", needs, {"criticality": "opportunistic"}, token=day)
    assert now.said["criticality"] == "opportunistic"


def test_what_an_occupant_said_it_matters_stays_until_it_is_said_otherwise(desk: Desk) -> None:
    desk.hear(started())
    path, word = followed(listed(desk)[0])

    def now_matters(need: dict[str, Any]) -> Any:
        return desk.ask("PUT", f"{path}/need", need, token=word).said["criticality"]

    assert now_matters({"energy_wh": 5_000}) == "normal"
    assert now_matters({"criticality": "opportunistic"}) == "opportunistic"
    assert now_matters({"energy_wh": 6_000}) == "opportunistic"
    assert now_matters({"criticality": "normal"}) == "normal"


@pytest.mark.parametrize(
    ("need", "kind"),
    [
        ({"depart_at": -1}, "window-in-the-past"),
        ({"depart_at": 24 * 15}, "window-too-far"),
        ({"energy_wh": -5}, "invalid-body"),
        ({"energy_wh": 5, "soc": {"now_pct": 1, "target_pct": 2, "battery_wh": 9}}, "invalid-body"),
        ({"departs": 5}, "invalid-body"),
        ({"reference": "order 1"}, "not-allowed"),
    ],
)
def test_what_cannot_be_is_told_with_what_to_do(
    desk: Desk, need: dict[str, Any], kind: str
) -> None:
    desk.hear(started())
    path, word = followed(listed(desk)[0])
    body = {k: desk.at(v) if k == "depart_at" else v for k, v in need.items()}
    reply = desk.ask("PUT", f"{path}/need?token={word}", body)

    assert reply.said["type"] == TYPE_PREFIX + kind
    assert desk.visits.sessions()[0].said == Statement()


def test_one_link_may_ask_only_so_often(desk: Desk) -> None:
    desk.hear(started())
    path, word = followed(listed(desk)[0])
    answers = [desk.ask("GET", path, token=word) for _ in range(12)]

    assert [answer.status for answer in answers] == [200] * 10 + [429] * 2
    assert answers[-1].said["detail"] == (
        "with this link one may ask 60 times a minute, 10 of them at once: ask again in 1 s"
    )


def test_a_reference_ties_a_vehicle_to_its_reservation(desk: Desk) -> None:
    vans, operator = desk.token("vans"), desk.token("night desk", Role.OPERATOR)
    wanted = {
        "depart_at": desk.at(2),
        "energy_wh": 5_000,
        "id_token": "van-7",
        "reference": "order 12",
        "connector": "CP-01/1",
    }
    quote = desk.ask("POST", "/quotes", wanted, token=vans).said
    held = desk.ask(
        "POST", "/reservations", {"offer_id": quote["offers"][0]["offer_id"]}, token=vans
    ).said
    path = f"/reservations/{held['reservation_id']}"
    desk.ask("POST", f"{path}/confirm", token=vans)
    desk.hear(started(id_token="borrowed"))
    assert desk.ask("GET", path, token=vans).said["state"] == "confirmed"
    session, _ = followed(listed(desk)[0])
    other = desk.ask("PUT", f"{session}/need", {"reference": "order 13"}, token=operator)
    assert (other.status, other.said["type"]) == (404, TYPE_PREFIX + "unknown-reservation")
    tied = desk.ask("PUT", f"{session}/need", {"reference": "order 12"}, token=operator)

    assert tied.status == 200
    assert desk.ask("GET", path, token=vans).said["state"] == "arrived"


def test_who_is_behind_an_occupied_connector_is_told_when_it_is_free(desk: Desk) -> None:
    desk.hear(started())
    path, word = followed(listed(desk)[0])
    desk.booking._around._leaves_at_s = desk.visits.leaves_at_s
    desk.ask("PUT", f"{path}/need?token={word}", {"depart_at": desk.at(3)})
    wanted = {
        "arrive_at": desk.at(1.5),
        "depart_at": desk.at(5),
        "energy_wh": 9_000,
        "connector": "CP-01/1",
    }
    vans = desk.token("vans")
    quote = desk.ask("POST", "/quotes", wanted, token=vans).said
    why = "CP-01/1 is occupied now, it is taken to be free from 11:00"
    behind = next(offer for offer in quote["offers"] if offer["connector"] == "CP-01/1")
    made = desk.ask("POST", "/reservations", {"offer_id": behind["offer_id"]}, token=vans).said

    assert why in quote["reason"]
    assert behind["start_at"] >= desk.at(3)
    assert made["waits_for"] == why
    kept = desk.ask("GET", f"/reservations/{made['reservation_id']}", token=vans).said
    assert kept["waits_for"] == why


def desk_of(visits: Visits, paper: PaperLedger | None, key: bytes) -> SessionDesk:
    return SessionDesk(
        visits,
        key=key,
        ledger=paper,
        remembered={} if paper is None else paper.memory.statements,
        on_said=lambda: None,
        tie=lambda _place, _reference: None,
    )


OPERATOR = Access(name="desk", role=Role.OPERATOR)
SAID = Statement(energy_wh=7_000.0)


def test_what_was_said_and_the_link_outlive_a_restart(tmp_path: Path) -> None:
    async def test() -> None:
        clock, paper = VirtualClock(), PaperLedger(asyncio.get_running_loop())
        visits = Visits(clock)
        visits.hear(started())
        first = desk_of(visits, paper, session_key(tmp_path))
        ((name, session),) = first.running().items()
        link = first.link_of(session)
        saying = asyncio.gather(first.say(name, SAID, OPERATOR))
        await asyncio.sleep(0)
        paper.commit()
        await saying

        visits = Visits(clock)
        again = desk_of(visits, paper, session_key(tmp_path))
        assert not again.opens(name, link)
        # Its station comes back.
        visits.hear(started())
        again.hear(started())
        assert again.opens(name, link)
        assert again.find(name).said == SAID
        # Another vehicle has come meanwhile: nothing was said of that.
        visits = Visits(clock)
        later = desk_of(visits, paper, session_key(tmp_path))
        visits.hear(started(transaction="20"))
        later.hear(started(transaction="20"))
        assert [s.said for s in later.running().values()] == [Statement()]

    run_virtual(test())


def test_what_the_ledger_does_not_take_is_not_said_to_last() -> None:
    async def test() -> None:
        paper = PaperLedger(asyncio.get_running_loop())
        visits = Visits(VirtualClock())
        visits.hear(started())
        desk = desk_of(visits, paper, b"k" * 32)
        (name,) = desk.running()
        with pytest.raises(NotDurableError):
            await desk.say(name, SAID, OPERATOR)

    run_virtual(test())


def test_links_of_another_key_open_nothing(tmp_path: Path) -> None:
    visits = Visits(VirtualClock())
    run_virtual(_hear(visits))
    first, second = (
        desk_of(visits, None, session_key(None)),
        desk_of(visits, None, session_key(None)),
    )
    ((name, session),) = first.running().items()

    assert name not in second.running()
    assert not second.opens(name, first.link_of(session))
    assert session_key(tmp_path) == session_key(tmp_path)
    assert (tmp_path / "session.key").stat().st_mode & 0o777 == 0o600


async def _hear(visits: Visits) -> None:
    visits.hear(started())
