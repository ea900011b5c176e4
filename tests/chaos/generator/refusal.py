"""Whether a refusal tells people what to write."""

from collections.abc import Collection

# What the API server itself says about types and bounds; each names the value that it would take.
PLAIN = (
    *("must be of type", "should be greater than", "should be less than", "Required value", "Unsupported value"),
    *("Too long", "Too many", "Duplicate value", "should be at least", "should be at most", "may not be more than"),
    *("may not be longer than", "must have at most", "should have at least", "unknown field", "must not be greater"),
)


def complaint(message: str, field: str, rules: Collection[str]) -> str | None:
    """What is wrong with the API server's answer to a mistake in `field`; None if it helps."""
    if "should match" in message:
        return f"shows a regular expression: {message[:300]}"
    if f"spec.{field.partition('.')[0]}" not in message and "spec" not in message:
        return f"does not name spec.{field}: {message[:300]}"
    if not any(rule in message for rule in (*rules, *PLAIN)):
        return f"does not say what to write: {message[:300]}"
    return None
