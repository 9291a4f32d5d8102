"""Decides how much current each charger of a building may take, and answers for it."""

from importlib.metadata import version

__version__ = version("headroom-gateway")
