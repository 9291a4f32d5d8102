"""A simulated building: its meters, stations and vehicles, in memory and over real protocols."""
