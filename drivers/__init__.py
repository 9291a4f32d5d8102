"""The outside world: one package for each protocol, deciding nothing."""
