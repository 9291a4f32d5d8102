"""The plan of the next two days: pure functions; numpy and HiGHS, no I/O, no clock."""
