"""Ports made real for everything that is not a device: clock, storage, metrics."""
