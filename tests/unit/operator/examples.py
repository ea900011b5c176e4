"""How many worlds a property test looks at."""

import os

from hypothesis import HealthCheck, Phase, settings

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
# A failure is told as it was found, where one world takes too long to look for a smaller one.
WITHOUT_SHRINKING = (Phase.explicit, Phase.generate)


def examples(count: int, phases: tuple[Phase, ...] = tuple(Phase)) -> settings:
    """So many; the same ones each time, unless there is time for more."""
    return settings(
        max_examples=50 * count if LONG else count,
        derandomize=not LONG,
        database=None,
        deadline=None,
        print_blob=LONG,
        phases=phases,
        suppress_health_check=list(HealthCheck),
    )
