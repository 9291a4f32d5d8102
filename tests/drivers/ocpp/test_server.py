"""The server as stations meet it: handshake, adoption, one connection a station."""

import asyncio
import base64
import json
import os
import random
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus
from websockets.frames import CloseCode
from websockets.typing import Subprotocol

from drivers.ocpp.handshake import MAX_FAILURES_A_MINUTE, Doorkeeper, read_station
from drivers.ocpp.server import MAX_PENDING_STATIONS, CannotListenError, OcppServer
from drivers.ocpp.versions import SUPPORTED
from gateway.adapters.clock import SystemClock
from gateway.domain.charging import OcppVersion
from gateway.domain.events import StationBooted, StationConnected, StationDisconnected
from gateway.domain.ids import StationId
from tests.support.ocpp_hall import PATIENCE_S, Hall, ask, in_hall, wait_until

NOBODY = 65_534
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


def test_an_adopted_station_must_know_its_key() -> None:
    async def scene(hall: Hall) -> None:
        for key in (b"secret key of CP-01", b"secret key of CP-01".hex().encode()):
            async with hall.connect("CP-01", key=key) as station:
                assert (await ask(station, BOOT))[0] == 3
        for wrong in (None, b"", b"wrong", b"secret key of CP-01x"):
            with pytest.raises(InvalidStatus) as caught:
                async with hall.connect("CP-01", key=wrong):
                    pass
            assert caught.value.response.status_code == 401

    in_hall(scene, credentials={"CP-01": b"secret key of CP-01"})


def test_a_key_configured_in_hexadecimal_may_come_as_bytes() -> None:
    async def scene(hall: Hall) -> None:
        for key in (
            b"00112233445566778899aabbccddeeff",
            bytes.fromhex("00112233445566778899aabbccddeeff"),
        ):
            async with hall.connect("CP-01", key=key) as station:
                assert (await ask(station, BOOT))[0] == 3

    in_hall(scene, credentials={"CP-01": b"00112233445566778899aabbccddeeff"})


@pytest.mark.parametrize("said", [b"CP-02:two", b"CP-02:one", b":one", b"cp-01:one"])
def test_neither_another_key_nor_the_key_under_another_name_opens(said: bytes) -> None:
    async def scene(hall: Hall) -> None:
        pair = base64.b64encode(said).decode()
        with pytest.raises(InvalidStatus) as caught:
            async with connect(
                f"ws://127.0.0.1:{hall.port}/CP-01",
                subprotocols=[Subprotocol("ocpp1.6")],
                additional_headers={"Authorization": f"Basic {pair}"},
                proxy=None,
            ):
                pass
        assert caught.value.response.status_code == 401

    in_hall(scene, credentials={"CP-01": b"one", "CP-02": b"two"})


@pytest.mark.parametrize(("station", "status"), [("CP-01", 401), ("CP-02", 101)])
def test_credentials_said_twice_are_none(
    station: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    pair = base64.b64encode(b"CP-01:one").decode()

    async def scene(hall: Hall) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", hall.port)
        writer.write(
            f"GET /{station} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Protocol: ocpp1.6\r\n"
            f"Authorization: Basic {pair}\r\nAuthorization: Basic {pair}\r\n\r\n".encode()
        )
        assert (await reader.readline()).split()[1] == str(status).encode()
        writer.transport.abort()

    in_hall(scene, credentials={"CP-01": b"one", "CP-02": None})
    assert not [record for record in caplog.records if record.exc_info]


def test_who_keeps_guessing_a_short_key_is_not_listened_to(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scene(hall: Hall) -> None:
        statuses = []
        for n in range(MAX_FAILURES_A_MINUTE + 2):
            with pytest.raises(InvalidStatus) as caught:
                async with hall.connect("CP-01", key=f"guess {n}".encode()):
                    pass
            statuses.append(caught.value.response.status_code)
        # The right key no longer helps, so a guess cannot be told from a hit.
        with pytest.raises(InvalidStatus):
            async with hall.connect("CP-01", key=b"key"):
                pass
        async with hall.connect("CP-02", key=b"key") as other:
            assert (await ask(other, BOOT))[0] == 3

        assert statuses == [401] * MAX_FAILURES_A_MINUTE + [429] * 2

    in_hall(scene, credentials={"CP-01": b"key", "CP-02": b"key"})
    assert "CP-01 from 127.0.0.1: wrong credentials" in caplog.text


def test_who_guesses_shuts_out_nobody_who_knows_a_key_that_cannot_be_guessed() -> None:
    station, key = StationId("CP-01"), b"0123456789abcdef"
    door = Doorkeeper({station: key})

    def statuses(said: bytes, *, begins_s: float) -> list[int | None]:
        pair = f"Basic {base64.b64encode(b'CP-01:' + said).decode()}"
        turned = [
            door.turn_away(station, peer="192.0.2.1", authorization=pair, now_s=begins_s + n)
            for n in range(7)
        ]
        return [None if each is None else each.status for each in turned]

    assert statuses(b"guess", begins_s=0.0) == [401] * 5 + [429] * 2
    assert statuses(key, begins_s=7.0) == [None] * 7
    # The rest of the guesses is as slow as ever.
    assert statuses(b"0123456789abcdee", begins_s=14.0) == [401] * 5 + [429] * 2


def test_who_sends_no_credentials_is_told_so(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(hall: Hall) -> None:
        with pytest.raises(InvalidStatus):
            async with hall.connect("CP-01"):
                pass

    in_hall(scene, credentials={"CP-01": b"key"})
    assert "CP-01 from 127.0.0.1: no credentials" in caplog.text


@pytest.mark.parametrize(
    ("path", "station"),
    [
        ("/CP-01", "CP-01"),
        ("/CP%2001", "CP 01"),
        ("/CP-01?x=1", "CP-01"),
        ("/", None),
        ("/ocpp/CP-01", None),
        ("/CP%00", None),
        ("/%ff", None),
        ("/" + "x" * 49, None),
        ("CP-01", "CP-01"),
    ],
)
def test_the_path_names_the_station(path: str, station: str | None) -> None:
    assert read_station(path) == station


@pytest.mark.parametrize("offered", [[], ["ocpp1.5"], ["ocpp0.1"]])
def test_no_version_in_common_is_a_clear_refusal(
    offered: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(hall: Hall) -> None:
        with pytest.raises(InvalidStatus) as caught:
            async with connect(
                f"ws://127.0.0.1:{hall.port}/CP-01",
                subprotocols=[Subprotocol(name) for name in offered] or None,
                proxy=None,
            ):
                pass
        response = caught.value.response
        assert response.status_code == 400
        assert b"subprotocol" in bytes(response.body or b"")

    in_hall(scene)
    assert "CP-01 from 127.0.0.1 offers no version" in caplog.text


def test_of_several_versions_the_server_s_order_counts() -> None:
    async def scene(hall: Hall) -> None:
        async with connect(
            f"ws://127.0.0.1:{hall.port}/CP-01",
            subprotocols=[Subprotocol(name) for name in ("ocpp0.1", "ocpp1.6", *SUPPORTED)],
            proxy=None,
        ) as station:
            assert station.subprotocol == next(iter(SUPPORTED)).value

    in_hall(scene)


@pytest.mark.parametrize("version", SUPPORTED)
def test_compression_is_negotiated_by_2_0_1_only_and_if_offered(version: OcppVersion) -> None:
    async def scene(hall: Hall) -> None:
        async with hall.connect("CP-01", version=version, compression="deflate") as station:
            is_compressed = "Sec-WebSocket-Extensions" in response_headers(station)
            assert is_compressed == (version is OcppVersion.V201)
        async with hall.connect("CP-01", version=version, compression=None) as station:
            assert "Sec-WebSocket-Extensions" not in response_headers(station)

    in_hall(scene)


def response_headers(connection: ClientConnection) -> Headers:
    assert connection.response is not None
    return connection.response.headers


def test_the_newest_connection_of_a_station_wins() -> None:
    async def scene(hall: Hall) -> None:
        async with hall.connect("CP-01") as old:
            await ask(old, BOOT)
            async with hall.connect("CP-01") as new:
                await old.wait_closed()
                assert (await ask(new, [2, "n", "Heartbeat", {}]))[0] == 3
                await asyncio.sleep(0.1)
                # The end of the old one has not taken the place of the new.
                assert hall.server.connected_stations() == {StationId("CP-01")}
        await wait_until(lambda: not hall.server.connected_stations())

        kinds = [type(f) for f in hall.facts if not isinstance(f, StationBooted)]
        assert kinds == [StationConnected, StationDisconnected] * 2

    in_hall(scene)


def test_strangers_are_few() -> None:
    async def scene(hall: Hall) -> None:
        async with AsyncExitStack() as stack:
            for n in range(MAX_PENDING_STATIONS):
                await stack.enter_async_context(hall.connect(f"stranger-{n}"))
            await wait_until(lambda: len(hall.server.pending_stations()) == MAX_PENDING_STATIONS)
            with pytest.raises(InvalidStatus) as caught:
                async with hall.connect("one-more"):
                    pass
            assert caught.value.response.status_code == 503
            async with hall.connect("CP-01") as station:  # There is always room for our own.
                assert (await ask(station, BOOT))[2]["status"] == "Accepted"
            async with hall.connect("stranger-0") as again:  # And for one who comes back.
                assert (await ask(again, BOOT))[2]["status"] == "Pending"

    in_hall(scene)


def test_a_station_adopted_while_it_waits_is_accepted_when_it_comes_back() -> None:
    async def scene(hall: Hall) -> None:
        credentials: dict[StationId, bytes | None] = {}
        hall.server._door = Doorkeeper(credentials)  # As if the configuration had changed.
        async with hall.connect("CP-09") as station:
            assert (await ask(station, BOOT))[2]["status"] == "Pending"
            credentials[StationId("CP-09")] = None
            await station.send(json.dumps(BOOT))
            await station.wait_closed()
            assert station.close_code == CloseCode.SERVICE_RESTART
        async with hall.connect("CP-09") as station:
            assert (await ask(station, BOOT))[2]["status"] == "Accepted"

    in_hall(scene)


def test_a_port_in_use_is_said_clearly() -> None:
    async def scene(hall: Hall) -> None:
        second = OcppServer(
            host="127.0.0.1",
            port=hall.port,
            credentials={},
            clock=SystemClock(),
            post=hall.facts.append,
            rng=random.Random(1),
        )
        with pytest.raises(CannotListenError, match=f"127.0.0.1:{hall.port}.*another program"):
            await second.run()
        hall.stop()
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(run_once_free(second))
            assert await second.wait_listening() == hall.port
            serving.cancel()

    in_hall(scene)


async def run_once_free(server: OcppServer) -> None:
    """Run a server as soon as nobody else has its port."""
    while True:
        with suppress(CannotListenError):
            await server.run()
        await asyncio.sleep(0.05)


def test_a_port_that_is_not_permitted_is_said_clearly() -> None:
    async def run() -> None:
        server = server_at("127.0.0.1", 9)
        with pytest.raises(CannotListenError, match="port above 1023"), as_nobody():
            await server.run()

    asyncio.run(run())


def server_at(host: str, port: int) -> OcppServer:
    return OcppServer(
        host=host,
        port=port,
        credentials={},
        clock=SystemClock(),
        post=lambda _: None,
        rng=random.Random(1),
    )


@contextmanager
def as_nobody() -> Iterator[None]:
    """Be a user that may have no port below 1024, where this one may have any."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


def test_an_address_that_is_not_ours_is_said_clearly() -> None:
    async def run() -> None:
        server = server_at("192.0.2.1", 0)
        with pytest.raises(CannotListenError, match=r"192\.0\.2\.1:0.*of this machine"):
            await server.run()

    asyncio.run(run())


def test_a_stopped_server_says_it_goes_away() -> None:
    async def scene(hall: Hall) -> None:
        async with hall.connect("CP-01") as station:
            await ask(station, BOOT)
            hall.stop()
            await station.wait_closed()

        assert station.close_code == CloseCode.GOING_AWAY
        await wait_until(lambda: hall.facts_of(StationDisconnected))

    in_hall(scene)
