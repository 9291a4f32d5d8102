"""Every message a 1.6 station may send gets a valid answer, and the page says which."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ocpp.v16 import call

from drivers.ocpp.schemas import is_valid
from drivers.ocpp.v16 import ANSWERED_WITHOUT_EFFECT, SUPPORT
from drivers.ocpp.v16_messages import PAYLOAD_TYPES
from gateway.domain.charging import OcppVersion
from tests.support.ocpp16_station import station16
from tests.support.ocpp_hall import Hall, in_hall

PAGE = Path(__file__).parents[3] / "docs" / "ocpp-1.6.md"
AT = "2026-01-01T00:00:00Z"

# 1.6 edition 2 §4, and the security white paper edition 3: what a charge point initiates.
FROM_STATION: dict[str, Any] = {
    "Authorize": call.Authorize(id_tag="T"),
    "BootNotification": call.BootNotification(charge_point_model="M", charge_point_vendor="V"),
    "DataTransfer": call.DataTransfer(vendor_id="V"),
    "DiagnosticsStatusNotification": call.DiagnosticsStatusNotification(status="Idle"),
    "FirmwareStatusNotification": call.FirmwareStatusNotification(status="Installed"),
    "Heartbeat": call.Heartbeat(),
    "LogStatusNotification": call.LogStatusNotification(status="Idle", request_id=1),
    "MeterValues": call.MeterValues(
        connector_id=1, meter_value=[{"timestamp": AT, "sampledValue": [{"value": "1"}]}]
    ),
    "SecurityEventNotification": call.SecurityEventNotification(
        type="X", timestamp=AT, tech_info="Y"
    ),
    "SignCertificate": call.SignCertificate(csr="X"),
    "SignedFirmwareStatusNotification": call.SignedFirmwareStatusNotification(
        status="Idle", request_id=1
    ),
    "StartTransaction": call.StartTransaction(
        connector_id=1, id_tag="T", meter_start=0, timestamp=AT
    ),
    "StatusNotification": call.StatusNotification(
        connector_id=1, error_code="NoError", status="Available"
    ),
    "StopTransaction": call.StopTransaction(transaction_id=1, meter_stop=1, timestamp=AT),
}


def documented_answers() -> dict[str, Any]:
    section = PAGE.read_text(encoding="utf-8").split("## Answered without effect")[1]
    section = section.split("\n## ")[0]
    return {
        name: json.loads(answer)
        for name, answer in re.findall(r"^\| `(\w+)` \| `(\{.*?\})` \|", section, re.MULTILINE)
    }


@pytest.mark.parametrize("action", FROM_STATION)
def test_every_message_of_a_station_gets_a_valid_answer(action: str) -> None:
    async def scene(hall: Hall) -> None:
        async with station16(hall) as station:
            # The library checks the answer against its schema, and raises on a CALLERROR.
            await station.call(FROM_STATION[action], suppress=False)

    in_hall(scene)


def test_no_message_is_forgotten() -> None:
    assert SUPPORT.from_station == set(FROM_STATION)
    assert set(PAYLOAD_TYPES).isdisjoint(ANSWERED_WITHOUT_EFFECT)


def test_the_page_lists_what_is_answered_without_effect() -> None:
    assert documented_answers() == dict(ANSWERED_WITHOUT_EFFECT)


@pytest.mark.parametrize("action", ANSWERED_WITHOUT_EFFECT)
def test_an_answer_without_effect_is_valid_and_has_none(action: str) -> None:
    assert is_valid(OcppVersion.V16, action, ANSWERED_WITHOUT_EFFECT[action], is_answer=True)

    async def scene(hall: Hall) -> None:
        async with station16(hall) as station:
            before = list(hall.facts)
            await station.call(FROM_STATION[action], suppress=False)
            assert hall.facts == before

    in_hall(scene, boot_patience_s=1_000)
