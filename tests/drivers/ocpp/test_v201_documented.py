"""Every message a 2.0.1 station may send gets a valid answer, and the page says which."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ocpp.v201 import call

from drivers.ocpp.schemas import actions, is_valid
from drivers.ocpp.v201 import ANSWERED_WITHOUT_EFFECT, SUPPORT
from drivers.ocpp.v201_messages import PAYLOAD_TYPES
from gateway.domain.charging import OcppVersion
from tests.support.ocpp201_station import station201
from tests.support.ocpp_hall import Hall, ask, in_hall

PAGE = Path(__file__).parents[3] / "docs" / "ocpp-2.0.1.md"
AT = "2026-01-01T00:00:00Z"
HASH = {
    "hashAlgorithm": "SHA256",
    "issuerNameHash": "0",
    "issuerKeyHash": "0",
    "serialNumber": "0",
    "responderURL": "http://localhost",
}
TOKEN = {"idToken": "T", "type": "ISO14443"}
SCHEDULE = {
    "id": 1,
    "chargingRateUnit": "A",
    "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 6.0}],
}
PROFILE = {
    "id": 1,
    "stackLevel": 0,
    "chargingProfilePurpose": "TxDefaultProfile",
    "chargingProfileKind": "Relative",
    "chargingSchedule": [SCHEDULE],
}
VALUES = [{"timestamp": AT, "sampledValue": [{"value": 1.0}]}]
EVENT = {
    "eventId": 1,
    "timestamp": AT,
    "trigger": "Alerting",
    "actualValue": "1",
    "eventNotificationType": "HardWiredNotification",
    "component": {"name": "Connector"},
    "variable": {"name": "Problem"},
}

# Part 2, "Messages": what a charging station initiates.
FROM_STATION: dict[str, Any] = {
    "Authorize": call.Authorize(id_token=TOKEN),
    "BootNotification": call.BootNotification(
        charging_station={"model": "M", "vendorName": "V"}, reason="PowerUp"
    ),
    "ClearedChargingLimit": call.ClearedChargingLimit(charging_limit_source="EMS"),
    "DataTransfer": call.DataTransfer(vendor_id="V"),
    "FirmwareStatusNotification": call.FirmwareStatusNotification(status="Installed"),
    "Get15118EVCertificate": call.Get15118EVCertificate(
        iso15118_schema_version="2", action="Install", exi_request="X"
    ),
    "GetCertificateStatus": call.GetCertificateStatus(ocsp_request_data=HASH),
    "Heartbeat": call.Heartbeat(),
    "LogStatusNotification": call.LogStatusNotification(status="Idle"),
    "MeterValues": call.MeterValues(evse_id=1, meter_value=VALUES),
    "NotifyChargingLimit": call.NotifyChargingLimit(
        charging_limit={"chargingLimitSource": "EMS"}, charging_schedule=[SCHEDULE]
    ),
    "NotifyCustomerInformation": call.NotifyCustomerInformation(
        data="X", seq_no=0, generated_at=AT, request_id=1
    ),
    "NotifyDisplayMessages": call.NotifyDisplayMessages(request_id=1),
    "NotifyEVChargingNeeds": call.NotifyEVChargingNeeds(
        charging_needs={"requestedEnergyTransfer": "AC_three_phase"}, evse_id=1
    ),
    "NotifyEVChargingSchedule": call.NotifyEVChargingSchedule(
        time_base=AT, charging_schedule=SCHEDULE, evse_id=1
    ),
    "NotifyEvent": call.NotifyEvent(generated_at=AT, seq_no=0, event_data=[EVENT]),
    "NotifyMonitoringReport": call.NotifyMonitoringReport(request_id=1, seq_no=0, generated_at=AT),
    "NotifyReport": call.NotifyReport(request_id=1, generated_at=AT, seq_no=0),
    "PublishFirmwareStatusNotification": call.PublishFirmwareStatusNotification(status="Idle"),
    "ReportChargingProfiles": call.ReportChargingProfiles(
        request_id=1, charging_limit_source="CSO", charging_profile=[PROFILE], evse_id=1
    ),
    "ReservationStatusUpdate": call.ReservationStatusUpdate(
        reservation_id=1, reservation_update_status="Expired"
    ),
    "SecurityEventNotification": call.SecurityEventNotification(type="X", timestamp=AT),
    "SignCertificate": call.SignCertificate(csr="X"),
    "StatusNotification": call.StatusNotification(
        timestamp=AT, connector_status="Available", evse_id=1, connector_id=1
    ),
    "TransactionEvent": call.TransactionEvent(
        event_type="Started",
        timestamp=AT,
        trigger_reason="Authorized",
        seq_no=0,
        transaction_info={"transactionId": "T1"},
        id_token=TOKEN,
        meter_value=VALUES,
    ),
}

# The same, of a central system. DataTransfer is for both.
FROM_CENTRAL_SYSTEM = frozenset(
    {
        *("CancelReservation", "CertificateSigned", "ChangeAvailability", "ClearCache"),
        *("ClearChargingProfile", "ClearDisplayMessage", "ClearVariableMonitoring"),
        *("CostUpdated", "CustomerInformation", "DeleteCertificate", "GetBaseReport"),
        *("GetChargingProfiles", "GetCompositeSchedule", "GetDisplayMessages"),
        *("GetInstalledCertificateIds", "GetLocalListVersion", "GetLog"),
        *("GetMonitoringReport", "GetReport", "GetTransactionStatus", "GetVariables"),
        *("InstallCertificate", "PublishFirmware", "RequestStartTransaction"),
        *("RequestStopTransaction", "ReserveNow", "Reset", "SendLocalList"),
        *("SetChargingProfile", "SetDisplayMessage", "SetMonitoringBase"),
        *("SetMonitoringLevel", "SetNetworkProfile", "SetVariableMonitoring"),
        *("SetVariables", "TriggerMessage", "UnlockConnector", "UnpublishFirmware"),
        "UpdateFirmware",
    }
)


def documented_answers() -> dict[str, Any]:
    section = PAGE.read_text(encoding="utf-8").split("## Answered without effect")[1]
    section = section.split("\n## ")[0]
    return {
        name: json.loads(answer)
        for name, answer in re.findall(r"^\| `(\w+)` \| `(\{.*?\})` \|", section, re.MULTILINE)
    }


def documented_effects() -> set[str]:
    section = PAGE.read_text(encoding="utf-8").split("## What has an effect")[1]
    section = section.split("\n## ")[0]
    return set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))


@pytest.mark.parametrize("action", FROM_STATION)
def test_every_message_of_a_station_gets_a_valid_answer(action: str) -> None:
    async def scene(hall: Hall) -> None:
        async with station201(hall) as station:
            # The library checks the answer against its schema, and raises on a CALLERROR.
            await station.call(FROM_STATION[action], suppress=False)

    in_hall(scene)


def test_every_message_of_the_version_is_a_stations_or_a_central_systems() -> None:
    assert set(FROM_STATION) | FROM_CENTRAL_SYSTEM == actions(OcppVersion.V201)
    assert not set(FROM_STATION) & FROM_CENTRAL_SYSTEM


def test_no_message_is_forgotten() -> None:
    assert SUPPORT.from_station == set(FROM_STATION)
    assert set(PAYLOAD_TYPES).isdisjoint(ANSWERED_WITHOUT_EFFECT)


def test_the_page_lists_what_is_answered_without_effect_and_what_with() -> None:
    assert documented_answers() == dict(ANSWERED_WITHOUT_EFFECT)
    assert documented_effects() == set(FROM_STATION) - set(ANSWERED_WITHOUT_EFFECT)


def test_a_message_of_a_central_system_is_known_and_not_supported() -> None:
    async def scene(hall: Hall) -> None:
        async with hall.connect("CP-01", version=OcppVersion.V201) as station:
            for action in sorted(FROM_CENTRAL_SYSTEM):
                answer = await ask(station, [2, action, action, {}])
                assert answer[:3] == [4, action, "NotSupported"]

    in_hall(scene, boot_patience_s=1_000)


@pytest.mark.parametrize("action", ANSWERED_WITHOUT_EFFECT)
def test_an_answer_without_effect_is_valid_and_has_none(action: str) -> None:
    assert is_valid(OcppVersion.V201, action, ANSWERED_WITHOUT_EFFECT[action], is_answer=True)

    async def scene(hall: Hall) -> None:
        async with station201(hall) as station:
            before = list(hall.facts)
            await station.call(FROM_STATION[action], suppress=False)
            assert hall.facts == before

    in_hall(scene, boot_patience_s=1_000)
