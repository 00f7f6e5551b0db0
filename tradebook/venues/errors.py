"""The error of a file that cannot be imported."""

from tradebook.domain.errors import TradebookError


class ImportRefused(TradebookError):
    """A file, or a row of it, cannot be imported; nothing was booked."""


class CellRefused(Exception):
    """A value of a row is refused; its arguments are the column's name, the text, and the reason."""
