"""The service layer on SQLAlchemy: types, tables, repositories, the unit of work and its runner."""

from __future__ import annotations
