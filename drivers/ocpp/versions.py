"""The OCPP versions spoken, the preferred one first."""

from collections.abc import Mapping
from typing import Final

from drivers.ocpp import v16, v201
from drivers.ocpp.adapter import VersionSupport
from gateway.domain.charging import OcppVersion

SUPPORTED: Final[Mapping[OcppVersion, VersionSupport]] = {
    OcppVersion.V201: v201.SUPPORT,
    OcppVersion.V16: v16.SUPPORT,
}
