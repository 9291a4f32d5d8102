"""The words and laws of the building: pure values, standard library only."""
