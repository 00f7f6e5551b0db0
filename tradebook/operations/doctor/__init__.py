"""The doctor: looks at a database and the book in it, and says what to mend."""

from __future__ import annotations

from tradebook.operations.doctor.checks import Finding, Level
from tradebook.operations.doctor.run import Diagnosis, examine

__all__ = ["Diagnosis", "Finding", "Level", "examine"]
