"""Figures of performance, as pure functions on sequences of numbers."""
