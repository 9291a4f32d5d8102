"""The decision taken every second: who may draw how much, and why."""
