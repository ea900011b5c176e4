"""Kubernetes quantities as numbers: "500m", "1Gi", 2."""

import re
from decimal import Decimal

_QUANTITY = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))([eE][+-]?[0-9]{1,3}|[numkMGTPE]|[KMGTPE]i)?")
_BINARY = {f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", start=1)}
_DECIMAL = {unit: Decimal(1000) ** power for power, unit in enumerate("kMGTPE", start=1)}
_SMALL = {"m": Decimal("1e-3"), "u": Decimal("1e-6"), "n": Decimal("1e-9")}
_FACTORS = {**_BINARY, **_DECIMAL, **_SMALL}


def parse_quantity(value: object) -> Decimal | None:
    """The number that a quantity stands for; None when `value` is no quantity."""
    match = None if isinstance(value, bool) else _QUANTITY.fullmatch(str(value))
    if match is None:
        return None
    number, suffix = match.groups(default="")
    return Decimal(number) * _FACTORS[suffix] if suffix in _FACTORS else Decimal(number + suffix)


def times(quantity: object, factor: int) -> str:
    """So many times a quantity, in its own unit; raises ValueError where it is none."""
    match = _QUANTITY.fullmatch(str(quantity))
    if match is None:
        raise ValueError(f"{quantity} is no quantity")
    number, suffix = match.groups(default="")
    return f"{factor * Decimal(number):f}{suffix}"
