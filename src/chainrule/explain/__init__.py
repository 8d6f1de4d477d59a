"""Derivations one can read, and the doctor for derivatives written by hand."""
