"""What Headroom is told about its site: site.yaml, read strictly and translated to the domain."""

from gateway.settings.loading import load_site, load_text, read_site
from gateway.settings.mistakes import Mistake, MistakesError, Place, SettingsRefusedError
from gateway.settings.schema import schema_text
from gateway.settings.site_settings import (
    HookSettings,
    ListenAddress,
    Listeners,
    ProofRefusedError,
    SerialBus,
    Settings,
    StopInput,
    TcpBus,
    TripOutput,
)

__all__ = [
    "HookSettings",
    "ListenAddress",
    "Listeners",
    "Mistake",
    "MistakesError",
    "Place",
    "ProofRefusedError",
    "SerialBus",
    "Settings",
    "SettingsRefusedError",
    "StopInput",
    "TcpBus",
    "TripOutput",
    "load_site",
    "load_text",
    "read_site",
    "schema_text",
]
