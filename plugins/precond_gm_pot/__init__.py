"""Couplings solved by POT."""
