"""The server as stations meet it: handshake, adoption, one connection a station."""

from gateway.domain.events import StationBooted, StationConnected, StationDisconnected
from gateway.domain.ids import StationId
from tests.support.ocpp_hall import Hall, ask, in_hall, wait_until

BOOT = [2, "b1", "BootNotification", {"chargePointVendor": "V", "chargePointModel": "M"}]


def test_an_adopted_station_is_accepted_and_its_facts_are_posted() -> None:
    async def scene(hall: Hall) -> None:
        async with hall.connect("CP-01") as station:
            answer = await ask(station, BOOT)

            assert answer[:2] == [3, "b1"]
            assert answer[2]["status"] == "Accepted"
            assert hall.server.connected_stations() == {StationId("CP-01")}
        await wait_until(lambda: hall.facts_of(StationDisconnected))

        assert [type(fact) for fact in hall.facts] == [
            StationConnected,
            StationBooted,
            StationDisconnected,
        ]
        assert hall.server.connected_stations() == frozenset()

    in_hall(scene)


def test_an_unknown_station_waits_for_adoption_without_effect() -> None:
    async def scene(hall: Hall) -> None:
        async with hall.connect("stranger") as station:
            answer = await ask(station, BOOT)

            assert answer[2]["status"] == "Pending"
            (pending,) = hall.server.pending_stations()
            assert (pending.id, pending.vendor, pending.model) == ("stranger", "V", "M")
            refused = await ask(
                station,
                [
                    2,
                    "2",
                    "StatusNotification",
                    {"connectorId": 1, "errorCode": "NoError", "status": "Charging"},
                ],
            )
            assert refused[:3] == [4, "2", "SecurityError"]
        await wait_until(lambda: not hall.server.pending_stations())

        assert hall.facts == []

    in_hall(scene)
