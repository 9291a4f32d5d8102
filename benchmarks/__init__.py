"""The figures the README states, each measured by one module here and printed as JSON."""
