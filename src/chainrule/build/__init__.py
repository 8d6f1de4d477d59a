"""From Python to a graph."""
