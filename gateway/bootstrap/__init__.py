"""The composition root: what was asked for becomes wired parts; the only importer of drivers."""

from gateway.bootstrap.daemon import Daemon
from gateway.bootstrap.modbus import UnusableRequestError, describe_buses, read_profile_once

__all__ = ["Daemon", "UnusableRequestError", "describe_buses", "read_profile_once"]
