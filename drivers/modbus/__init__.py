"""Meters over Modbus, by TCP or by a serial line."""
