"""How findings become the conditions that are stored."""

from mmm_operator.api.conditions import ConditionStatus, ConditionType, Finding, Reason, merge_conditions


def test_times_move_only_when_the_status_flips() -> None:
    first = merge_conditions((), [finding("False", Reason.STARTING)], 1, "t1")
    second = merge_conditions(first, [finding("False", Reason.SCALING, "other")], 2, "t2")
    third = merge_conditions(second, [finding("True", Reason.READY)], 2, "t3")
    assert [c.last_transition_time for c in (*first, *second, *third)] == ["t1", "t1", "t3"]
    assert [(c.reason, c.observed_generation) for c in (*first, *second, *third)] == [
        ("Starting", 1),
        ("Scaling", 2),
        ("Ready", 2),
    ]


def test_what_is_not_found_any_more_is_dropped() -> None:
    first = merge_conditions((), [finding("False", Reason.STARTING)], 1, "t1")
    assert merge_conditions(first, [], 1, "t2") == ()


def finding(status: ConditionStatus, reason: Reason, message: str = "") -> Finding:
    return Finding(type=ConditionType.READY, status=status, reason=reason, message=message)
