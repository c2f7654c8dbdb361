"""Rates in human terms: ``"10/minute"``, ``"5/day per phone_number"``.

A rate is an immutable value that parses from and prints to its text form.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_PERIODS: Final = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_ALIASES: Final = {"s": "second", "sec": "second", "min": "minute", "m": "minute", "h": "hour", "d": "day"}
_RATE: Final = re.compile(r"\s*(\d+)\s*/\s*(?:(\d+)\s*)?([a-z]+?)s?\s*", re.ASCII)
_KEY: Final = re.compile(r"(.+?)\s+per\s+([A-Za-z_][\w.:-]*)\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rate:
    """So many starts in so long.

    Attributes:
        count: Starts, 1 to 1,000,000.
        seconds: Length of the period in seconds.
    """

    count: int
    seconds: int

    @classmethod
    def parse(cls, text: str, *, name: str = "limit") -> Rate:
        """Parse ``COUNT/PERIOD`` such as ``20/hour`` or ``100/15 minutes``.

        Raises:
            ValueError: *text* has another form, or a count or period of zero. The message names *name*.
        """
        match = _RATE.fullmatch(text.lower())
        unit = match and (_ALIASES.get(match[3], match[3]))
        if not match or unit not in _PERIODS:
            raise ValueError(f"{name} must be COUNT/PERIOD such as 20/hour or 10/minute, got {text!r}")
        count, periods = int(match[1]), int(match[2] or 1)
        if not 1 <= count <= 1_000_000 or not 1 <= periods <= 366:
            raise ValueError(f"{name} must count 1 to 1000000 in 1 to 366 periods, got {text!r}")
        return cls(count, periods * _PERIODS[unit])

    @property
    def interval_us(self) -> int:
        """Microseconds between two starts at the steady rate, rounded up so that the rate is never passed."""
        return -(-self.seconds * 1_000_000 // self.count)

    def __str__(self) -> str:
        for unit, seconds in reversed(_PERIODS.items()):
            if self.seconds % seconds == 0:
                periods = self.seconds // seconds
                return f"{self.count}/{unit}" if periods == 1 else f"{self.count}/{periods} {unit}s"
        raise AssertionError(self.seconds)


@dataclass(frozen=True, slots=True)
class KeyedRate:
    """A rate for each value of a key: a role, a tenant, a provider account, an argument of the payload.

    Attributes:
        rate: The rate each value has to itself.
        key: ``tenant``, ``role``, ``provider:NAME`` (one bucket shared by all tools that name it), or the
            dotted name of a payload field.
    """

    rate: Rate
    key: str

    @classmethod
    def parse(cls, text: str) -> KeyedRate:
        """Parse ``RATE per KEY`` such as ``5/day per phone_number``.

        Raises:
            ValueError: *text* has another form.
        """
        match = _KEY.fullmatch(text)
        if not match:
            raise ValueError(f"a limit key must be RATE per KEY such as '5/day per phone_number', got {text!r}")
        return cls(Rate.parse(match[1], name=f"limit key {match[2]}"), match[2])

    def __str__(self) -> str:
        return f"{self.rate} per {self.key}"
