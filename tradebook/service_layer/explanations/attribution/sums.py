"""The sums of an attribution by group and currency, and those of the book that they are compared with."""

from __future__ import annotations

from typing import Final

from attrs import define, field

from tradebook.domain.attribution import Holders
from tradebook.domain.errors import MissingRate
from tradebook.domain.group_books import Sums, merge
from tradebook.domain.portfolio import Rates

_NOTHING: Final = Sums()


@define
class AttributedSums:
    """The sums of an attribution, in the base currency where there are rates.

    Attributes:
        base_currency: of the account.
        rates: into it; None where amounts stay in their own currencies.
        held: by those who hold something together, and by currency.
        book: the book's own, by currency.
    """

    base_currency: str
    rates: Rates | None
    held: dict[tuple[Holders, str], Sums] = field(factory=dict)
    book: dict[str, Sums] = field(factory=dict)

    def add(self, holders: Holders, currency: str, sums: Sums) -> None:
        """Add sums of those who hold something together; sums that are all 0 make no row."""
        if sums != _NOTHING:
            counted, added = self._converted(currency, sums)
            merge(self.held, (holders, counted), added)

    def add_to_book(self, currency: str, sums: Sums) -> None:
        """Add the book's own sums."""
        if sums != _NOTHING:
            counted, added = self._converted(currency, sums)
            merge(self.book, counted, added)

    def add_costs(self, costs: dict[tuple[Holders, str], Sums]) -> None:
        """Add costs, which are used up; what is free or unpriced needs no currency of its own.

        Raises:
            MissingRate: a cost is in a currency that is neither the base currency nor that of any row.
        """
        known = {currency for _, currency in self.held}
        usual = next(iter(known)) if len(known) == 1 else self.base_currency
        while costs:
            (holders, currency), sums = costs.popitem()
            if self.rates is not None or currency in known:
                self.add(holders, currency, sums)
            elif not sums.cost:
                self.add(holders, usual, sums)
            elif currency == self.base_currency:
                self.add(holders, currency, sums)
            else:
                raise MissingRate(currency, self.base_currency)

    def _converted(self, currency: str, sums: Sums) -> tuple[str, Sums]:
        rates = self.rates
        if rates is None or currency == self.base_currency:
            return currency, sums
        return self.base_currency, sums.converted(lambda amount: rates.convert(amount, currency))
