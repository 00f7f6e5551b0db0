"""The doctor: checks of a database and of the book in it, each with what to do about what it finds."""

from __future__ import annotations

from tradebook.operations.doctor.checks import Finding, Level
from tradebook.operations.doctor.run import Diagnosis, examine

__all__ = ["Diagnosis", "Finding", "Level", "examine"]
