"""Measurements: speed against the plain way, and how often the gate errs."""
