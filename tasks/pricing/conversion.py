"""Currency conversion by a table of dated rates.

A rate of 0.92 for USD to EUR means that 1 USD is 0.92 EUR on that day. The newest rate on or before the asked
day counts; a missing pair is read backwards, then by way of the common currency whose rates are newest.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from salesboost.faults import InputFault
from tasks.pricing.exact import exactly


@dataclass(frozen=True, slots=True)
class Conversion:
    """How amounts of one currency become amounts of another: times *multiply*, divided by *divide*.

    Attributes:
        on: The day of the rate; the older one when two rates were chained.
        path: The currencies passed, first to last.
    """

    multiply: Decimal
    divide: Decimal
    on: date
    path: tuple[str, ...]

    @exactly
    def __call__(self, amount: Decimal) -> Decimal:
        """Convert *amount* without rounding to the currency's digits."""
        return amount * self.multiply / self.divide

    @exactly
    def then(self, other: Conversion) -> Conversion:
        """Chain *other* after this one."""
        return Conversion(
            self.multiply * other.multiply,
            self.divide * other.divide,
            min(self.on, other.on),
            (*self.path, *other.path[1:]),
        )


@dataclass(slots=True)
class RateTable:
    """Exchange rates by pair and day."""

    _pairs: dict[tuple[str, str], list[tuple[date, Decimal]]] = field(
        default_factory=dict[tuple[str, str], list[tuple[date, Decimal]]]
    )

    @classmethod
    def of(cls, rows: Iterable[tuple[date, str, str, Decimal]]) -> RateTable:
        """Build a table of (day, from, to, rate) rows; a later row replaces an earlier one of its day."""
        table = cls()
        for on, source, target, rate in rows:
            known = table._pairs.setdefault((source, target), [])
            known[:] = [entry for entry in known if entry[0] != on]
            insort(known, (on, rate))
        return table

    def conversion(self, source: str, target: str, on: date) -> Conversion:
        """Return how to convert *source* to *target* with the rates known on the day *on*.

        Raises:
            InputFault: No rate leads from one to the other on or before that day.
        """
        direct = self._pair(source, target, on)
        if direct is not None:
            return direct
        chained = [
            first.then(second)
            for via in sorted(self._codes() - {source, target})
            if (first := self._pair(source, via, on)) and (second := self._pair(via, target, on))
        ]
        if chained:
            return max(chained, key=lambda conversion: conversion.on)
        raise InputFault(
            f"no exchange rate from {source} to {target} on or before {on.isoformat()}: "
            f"the rate table holds {self._contents()}; give prices in {target}, or another as_of"
        )

    def _pair(self, source: str, target: str, on: date) -> Conversion | None:
        if source == target:
            return Conversion(Decimal(1), Decimal(1), on, (source,))
        for pair, inverse in (((source, target), False), ((target, source), True)):
            known = self._pairs.get(pair, [])
            place = bisect_right(known, on, key=lambda entry: entry[0])
            if place:
                day, rate = known[place - 1]
                up, down = (Decimal(1), rate) if inverse else (rate, Decimal(1))
                return Conversion(up, down, day, (source, target))
        return None

    def _codes(self) -> set[str]:
        return {code for pair in self._pairs for code in pair}

    def _contents(self) -> str:
        days = [day for known in self._pairs.values() for day, _ in known]
        if not days:
            return "no rates"
        return f"{', '.join(sorted(self._codes()))} from {min(days).isoformat()} on"
