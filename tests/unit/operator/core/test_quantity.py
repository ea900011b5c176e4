"""Quantities as Kubernetes writes them."""

from decimal import Decimal

import pytest

from mmm_operator.quantity import parse_quantity, times


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("1", "1"),
        (2, "2"),
        ("500m", "0.5"),
        ("0.5", "0.5"),
        (".5", "0.5"),
        ("1.", "1"),
        ("1k", "1000"),
        ("1Ki", "1024"),
        ("1.5Gi", "1610612736"),
        ("1e3", "1000"),
        ("1E3", "1000"),
        ("1E", "1e18"),
        ("2Ei", "2305843009213693952"),
        ("100n", "1e-7"),
        ("-1", "-1"),
    ],
)
def test_a_quantity_stands_for_a_number(written: object, number: str) -> None:
    assert parse_quantity(written) == Decimal(number)


@pytest.mark.parametrize(
    "text", ["", "1.2.3", ".", "..", "Gi", "1 Gi", "1gi", "one", "1e", "1e9999", "0x10", True, None, {}, "1Gi\n"]
)
def test_anything_else_is_no_quantity(text: object) -> None:
    assert parse_quantity(text) is None


@pytest.mark.parametrize("written", ["1.5Gi", "500m", "2", "1e3", ".5M"])
def test_a_quantity_can_be_multiplied(written: str) -> None:
    assert parse_quantity(times(written, 3)) == 3 * (parse_quantity(written) or 0)
