"""The program representation: data only."""
