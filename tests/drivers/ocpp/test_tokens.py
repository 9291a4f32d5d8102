"""Which tokens may charge, in the words of both versions, over real sockets."""

from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.domain.charging import OcppVersion
from gateway.domain.events import TransactionStarted
from gateway.domain.tokens import KnownToken, TokenMode, TokenPolicy, TokenStatus
from tests.support.ocpp_hall import Hall, ask, in_hall

PAST, FUTURE = datetime(2020, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
LIST = TokenPolicy.of_list(
    (
        KnownToken(id="04A2B3C4", group="STAFF", good_until_at=FUTURE),
        KnownToken(id="plain"),
        KnownToken(id="old", good_until_at=PAST),
        KnownToken(id="lost", is_blocked=True, good_until_at=PAST),
    )
)
STATION = TokenPolicy(TokenMode.STATION)
UNTIL = "2200-01-01T00:00:00Z"


def said_16(token: str, policy: TokenPolicy | None) -> tuple[Any, Any, int]:
    """Return what 1.6 says to Authorize and StartTransaction, and how many transactions began."""
    heard: list[Any] = []

    async def scene(hall: Hall) -> None:
        start = {"connectorId": 1, "idTag": token, "meterStart": 0}
        async with hall.connect("CP-01") as station:
            asked = await ask(station, [2, "a", "Authorize", {"idTag": token}])
            begun = await ask(
                station,
                [2, "s", "StartTransaction", {**start, "timestamp": "2026-01-05T12:00:00Z"}],
            )
        assert begun[2]["transactionId"] > 0
        began = len(hall.facts_of(TransactionStarted))
        heard.append((asked[2]["idTagInfo"], begun[2]["idTagInfo"], began))

    in_hall(scene, tokens=policy)
    (result,) = heard
    return result  # type: ignore[no-any-return]


def said_201(token: str, policy: TokenPolicy | None) -> tuple[Any, Any, int]:
    """Return the same in 2.0.1, of Authorize and TransactionEvent."""
    heard: list[Any] = []

    async def scene(hall: Hall) -> None:
        wanted = {"idToken": {"idToken": token, "type": "ISO14443"}}
        event = {
            "eventType": "Started",
            "timestamp": "2026-01-05T12:00:00Z",
            "triggerReason": "Authorized",
            "seqNo": 0,
            "transactionInfo": {"transactionId": "T1"},
            "evse": {"id": 1},
            **wanted,
        }
        async with hall.connect("CP-01", version=OcppVersion.V201) as station:
            asked = await ask(station, [2, "a", "Authorize", wanted])
            begun = await ask(station, [2, "e", "TransactionEvent", event])
        began = len(hall.facts_of(TransactionStarted))
        heard.append((asked[2]["idTokenInfo"], begun[2]["idTokenInfo"], began))

    in_hall(scene, tokens=policy)
    (result,) = heard
    return result  # type: ignore[no-any-return]


GOOD_16 = {"status": "Accepted", "parentIdTag": "STAFF", "expiryDate": UNTIL}
GOOD_201 = {
    "status": "Accepted",
    "groupIdToken": {"idToken": "STAFF", "type": "Central"},
    "cacheExpiryDateTime": UNTIL,
}
OLD = "2020-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("token", "in_16", "in_201"),
    [
        ("04A2B3C4", GOOD_16, GOOD_201),
        ("04a2b3c4", GOOD_16, GOOD_201),  # Case does not matter.
        ("plain", {"status": "Accepted"}, {"status": "Accepted"}),
        (
            "old",
            {"status": "Expired", "expiryDate": OLD},
            {"status": "Expired", "cacheExpiryDateTime": OLD},
        ),
        (
            "lost",
            {"status": "Blocked", "expiryDate": OLD},
            {"status": "Blocked", "cacheExpiryDateTime": OLD},
        ),
        ("other", {"status": "Invalid"}, {"status": "Unknown"}),
    ],
)
def test_a_list_decides_and_says_why(token: str, in_16: object, in_201: object) -> None:
    # It may have begun without a connection: what runs is known and limited, whoever began it.
    assert said_16(token, LIST) == (in_16, in_16, 1)
    assert said_201(token, LIST) == (in_201, in_201, 1)


def test_without_a_policy_every_token_is_accepted() -> None:
    accepted = {"status": "Accepted"}

    assert said_16("any", None) == (accepted, accepted, 1)
    assert said_201("any", None) == (accepted, accepted, 1)


def test_what_a_station_decides_is_accepted_and_what_it_asks_is_not_known() -> None:
    accepted = {"status": "Accepted"}

    assert said_16("any", STATION) == ({"status": "Invalid"}, accepted, 1)
    assert said_201("any", STATION) == ({"status": "Unknown"}, accepted, 1)


def test_a_token_is_good_until_its_last_instant() -> None:
    policy = TokenPolicy.of_list((KnownToken(id="a", good_until_at=FUTURE),))

    def status(now_at: datetime) -> TokenStatus:
        return policy.judge("A", now_at=now_at, has_begun=False).status

    assert status(PAST) is TokenStatus.ACCEPTED
    assert status(FUTURE) is TokenStatus.EXPIRED
    assert policy.judge(None, now_at=PAST, has_begun=True).status is TokenStatus.UNKNOWN
