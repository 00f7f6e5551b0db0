"""The doctor: looks at a database and the book in it, and says what to mend."""

from __future__ import annotations

from tradebook.operations.doctor.examination import Diagnosis, examine
from tradebook.operations.doctor.findings import Finding, Level

__all__ = ["Diagnosis", "Finding", "Level", "examine"]
