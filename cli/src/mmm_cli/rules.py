"""The rules of the CRD between fields, evaluated here as the API server would.

They are written in CEL with a few functions that only Kubernetes has; those stand in `FUNCTIONS`, each total, since a
rule that cannot be evaluated counts as broken.
"""

import ipaddress
import itertools
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from mmm_operator.api.schema import VALIDATIONS, Schema
from mmm_operator.quantity import parse_quantity

if TYPE_CHECKING:
    import cel

# A rule over a change: it does not concern an object that is new.
BEFORE = "oldSelf"


def broken_rules(schema: Schema, value: Any) -> Iterator[str]:
    """For each rule of this part of the schema that `value` breaks: what to write instead."""
    for rule in schema.get(VALIDATIONS, ()):
        if BEFORE not in rule["rule"] and not holds(rule["rule"], value):
            yield str(rule["message"])


def holds(rule: str, value: Any) -> bool:
    """Whether the rule is true of `value`; a rule that cannot be evaluated is not, as for the API server."""
    from cel import Context  # here, as it brings a terminal program along, for which no other command should wait

    try:
        return program(rule).execute(Context({"self": value}, FUNCTIONS)) is True
    except (KeyError, TypeError, ValueError, RuntimeError):
        return False


@cache
def program(rule: str) -> "cel.Program":
    """The rule, parsed once."""
    from cel import compile as parse

    return parse(rule)


def is_quantity(text: object) -> bool:
    """Kubernetes' isQuantity()."""
    return parse_quantity(text) is not None


def compare(left: object, right: object) -> int:
    """Kubernetes' compareTo() of two quantities: below, at or above 0. What is no quantity is nothing."""
    one, other = parse_quantity(left) or 0, parse_quantity(right) or 0
    return (one > other) - (one < other)


def is_cidr(text: object) -> bool:
    """Kubernetes' isCIDR(): an address and the length of its network; bits of the host may be set."""
    try:
        ipaddress.ip_interface(str(text))
    except ValueError:
        return False
    return "/" in str(text)


def is_sorted(items: Any) -> bool:
    """Kubernetes' isSorted() of a list."""
    return all(one <= other for one, other in itertools.pairwise(items))


# A quantity stays the text that it is: CEL's own numbers could not hold all of them exactly.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "isQuantity": is_quantity,
    "quantity": str,
    "compareTo": compare,
    "isGreaterThan": lambda left, right: compare(left, right) > 0,
    "isCIDR": is_cidr,
    "isSorted": is_sorted,
}
