"""Health: rise and fall, and a priority that can be read as a sum."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exavrrp.health import Assessment, CheckState, Contribution, Health, Initial, PrioritySpec, Verdict


def verdicts(state: CheckState, results: str) -> str:
    """The verdict after each result: ``+`` and ``-`` in, first letters out."""
    letters = ""
    for result in results:
        state = state.after(result == "+", "")
        letters += state.verdict.value[0]
    return letters


def test_the_first_result_decides_at_once() -> None:
    assert verdicts(CheckState(rise=3, fall=3), "+") == "p"
    assert verdicts(CheckState(rise=3, fall=3), "-") == "f"


def test_a_passing_check_fails_after_fall_bad_results_in_a_row() -> None:
    assert verdicts(CheckState(rise=2, fall=3), "+--+--+---+") == "ppppppppp" + "ff"


def test_a_failing_check_passes_after_rise_good_results_in_a_row() -> None:
    assert verdicts(CheckState(rise=2, fall=3), "-+-+-++-") == "ffffffpp"


def test_rise_and_fall_of_one_follow_every_result() -> None:
    assert verdicts(CheckState(rise=1, fall=1), "+-+--++") == "pfpffpp"


def test_the_last_detail_is_kept_whatever_the_verdict() -> None:
    state = CheckState(rise=2, fall=2).after(passed=True, detail="first")
    assert (state.verdict, state.detail) == (Verdict.PASSING, "first")
    state = state.after(passed=False, detail="second")
    assert (state.verdict, state.detail, state.against) == (Verdict.PASSING, "second", 1)
    state = state.after(passed=False, detail="third")
    assert (state.verdict, state.detail, state.against) == (Verdict.FAILING, "third", 0)
    assert state.after(passed=False, detail="fourth").detail == "fourth"


def test_a_check_is_changing_while_the_results_speak_against_its_verdict() -> None:
    def changing(state: CheckState, results: str) -> str:
        told = ""
        for result in results:
            state = state.after(result == "+", "")
            told += "!" if state.changing else "."
        return told

    assert changing(CheckState(rise=2, fall=3), "+++--+---+-++") == "...!!.!!.!.!."
    assert changing(CheckState(rise=1, fall=1), "+-+--++") == "......."
    assert changing(CheckState(rise=2, fall=2), "-+-") == ".!."
    assert changing(CheckState(rise=2, fall=3, initial=Initial.PASS), "---+") == "!!.!"


def health(base: int = 150, **weights: int) -> Health:
    """One router with checks that follow every result."""
    return Health({"web": PrioritySpec(base, weights)}, {name: CheckState(1, 1) for name in weights})


def told(one: Health, **results: bool) -> Assessment:
    for name, passed in results.items():
        one.result(name, passed=passed, detail=f"{name} said so")
    return one.judge("web")


def test_without_checks_the_priority_is_the_configured_one() -> None:
    assessment = health().judge("web")
    assert (assessment.priority, assessment.faults) == (150, ())
    assert assessment.explain() == "150"


def test_a_negative_weight_counts_while_the_check_fails() -> None:
    assert told(health(a=-50), a=True).explain() == "150"
    assessment = told(health(a=-50), a=False)
    assert (assessment.priority, assessment.explain()) == (100, "150 - 50 (a failing) = 100")


def test_a_positive_weight_counts_while_the_check_passes() -> None:
    assert told(health(a=20), a=False).explain() == "150"
    assessment = told(health(a=20), a=True)
    assert (assessment.priority, assessment.explain()) == (170, "150 + 20 (a passing) = 170")


def test_several_weights_add_up() -> None:
    assessment = told(health(a=-50, b=20, c=-7), a=False, b=True, c=True)
    assert (assessment.priority, assessment.explain()) == (120, "150 - 50 (a failing) + 20 (b passing) = 120")


def test_before_its_first_result_a_check_counts_as_failing() -> None:
    assessment = health(a=-50, b=20).judge("web")
    assert (assessment.priority, assessment.faults) == (100, ())
    assert assessment.explain() == "150 - 50 (a unknown) = 100"


def test_a_clamped_sum_is_marked_in_the_explanation() -> None:
    assert told(health(a=-253), a=False).explain() == "150 - 253 (a failing) = -103, clamped to 1"
    assert told(health(a=-253), a=False).priority == 1
    assert told(health(a=105), a=True).explain() == "150 + 105 (a passing) = 255, clamped to 254"
    assert told(health(a=105), a=True).priority == 254


def test_a_failing_check_of_weight_zero_is_a_fault() -> None:
    assessment = told(health(a=0, b=-50), a=False, b=False)
    assert [fault.check for fault in assessment.faults] == ["a"]
    assert assessment.priority == 100
    assert assessment.explain() == "fault: a failing (a said so)"
    assert told(health(a=0), a=True).explain() == "150"


def test_a_router_waits_for_the_first_result_of_a_check_of_weight_zero() -> None:
    one = health(a=0, b=0)
    assert one.judge("web").explain() == "fault: a unknown, b unknown"
    assert told(one, a=True).explain() == "fault: b unknown"
    assert told(one, b=True).faults == ()


def test_a_known_failure_differs_from_an_unknown_check() -> None:
    assert told(health(a=0, b=0), a=False).explain() == "fault: a failing (a said so), b unknown"


def test_the_owner_of_the_addresses_keeps_its_priority_but_not_through_a_fault() -> None:
    assert told(health(255, a=-50, b=20), a=False, b=True).explain() == "255"
    assert told(health(255, a=-50), a=False).priority == 255
    assert told(health(255, a=0), a=False).faults


def test_a_result_names_the_routers_that_it_changed() -> None:
    one = Health(
        {
            "six": PrioritySpec(100, {"web": -10, "disk": 0}),
            "four": PrioritySpec(100, {"web": 0}),
            "other": PrioritySpec(9, {"disk": 0}),
        },
        {"web": CheckState(rise=2, fall=2), "disk": CheckState(rise=1, fall=1), "idle": CheckState(rise=1, fall=1)},
    )
    assert one.result("web", passed=True) == ("six", "four")
    assert one.result("web", passed=True) == ()
    assert one.result("web", passed=False) == ()
    assert one.result("web", passed=False) == ("six", "four")
    assert one.result("disk", passed=False) == ("six", "other")  # from unknown to known
    assert one.result("disk", passed=True) == ("six", "other")
    assert one.result("idle", passed=True) == ()


def test_a_change_that_clamping_hides_changes_nothing() -> None:
    one = health(1, a=-50, b=-50)
    assert one.result("a", passed=True) == ()
    assert one.judge("web").priority == 1


@given(
    base=st.integers(1, 255),
    weights=st.dictionaries(st.sampled_from("abcde"), st.integers(-253, 253)),
    results=st.lists(st.tuples(st.sampled_from("abcde"), st.booleans()), max_size=30),
    rise=st.integers(1, 3),
    fall=st.integers(1, 3),
)
def test_the_priority_is_always_the_sum_that_explain_shows(
    base: int, weights: dict[str, int], results: list[tuple[str, bool]], rise: int, fall: int
) -> None:
    one = Health({"web": PrioritySpec(base, weights)}, {name: CheckState(rise, fall) for name in weights})
    for name, passed in results:
        if name not in weights:
            continue
        before = one.judge("web")
        changed = one.result(name, passed=passed)
        after = one.judge("web")
        if (before.priority, before.faults) != (after.priority, after.faults):
            # A new detail alone is no change.
            same = [(t.check, t.verdict) for t in before.faults] == [(t.check, t.verdict) for t in after.faults]
            assert changed == (() if same and before.priority == after.priority else ("web",))
        else:
            assert changed == ()
    assessment = one.judge("web")
    assert 1 <= assessment.priority <= 255
    assert (assessment.priority == 255) == (base == 255)
    failing = {name for name in weights if one.checks[name].verdict is not Verdict.PASSING}
    assert {fault.check for fault in assessment.faults} == {name for name in failing if weights[name] == 0}
    if base != 255:
        total = base + sum(weight for name, weight in weights.items() if (weight < 0) == (name in failing))
        assert assessment.priority == max(1, min(254, total))
        if not assessment.faults:
            shown = assessment.explain().rpartition("= ")[2]
            assert shown in {str(assessment.priority), f"{total}, clamped to {assessment.priority}"}


def test_a_term_reads_as_part_of_a_sum() -> None:
    assert str(Contribution("a", Verdict.PASSING, 7, fault=False, detail="")) == "+ 7 (a passing)"
    assert str(Contribution("a", Verdict.UNKNOWN, -7, fault=False, detail="")) == "- 7 (a unknown)"


@pytest.mark.parametrize(
    ("reverse", "initial", "results", "verdicts_"),
    [
        (False, Initial.FAIL, "-", "f"),
        (False, Initial.FAIL, "+", "p"),
        (False, Initial.WAIT, "-", "f"),
        (False, Initial.WAIT, "+", "p"),
        (False, Initial.PASS, "+--", "ppf"),
        (False, Initial.PASS, "--", "uf"),
        (True, Initial.FAIL, "-", "f"),
        (True, Initial.FAIL, "+", "p"),
        (True, Initial.PASS, "-", "f"),
        (True, Initial.PASS, "+++", "uup"),
    ],
)
def test_only_the_presumed_best_value_is_not_given_up_at_once(
    reverse: bool, initial: Initial, results: str, verdicts_: str
) -> None:
    assert verdicts(CheckState(rise=3, fall=2, initial=initial, reverse=reverse), results) == verdicts_


def of(weight: int, base: int = 150, **options: Any) -> Health:
    """One router with one check."""
    return Health({"web": PrioritySpec(base, {"a": weight})}, {"a": CheckState(rise=1, fall=1, **options)})


@pytest.mark.parametrize(
    ("weight", "passing", "failing"),
    [
        # As in keepalived, whose "reverse" changes the sign.
        (-50, "150", "150 + 50 (a failing) = 200"),
        (50, "150 - 50 (a passing) = 100", "150"),
        (0, "fault: a passing (a said so)", "150"),
    ],
)
def test_a_reversed_weight_counts_the_other_way_round(weight: int, passing: str, failing: str) -> None:
    assert told(of(weight, reverse=True), a=True).explain() == passing
    assert told(of(weight, reverse=True), a=False).explain() == failing


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("weight", [-50, 0, 50])
def test_before_its_first_result_a_check_has_its_presumed_value(weight: int, reverse: bool) -> None:
    bad, good = told(of(weight, reverse=reverse), a=reverse), told(of(weight, reverse=reverse), a=not reverse)
    for initial, same in ((Initial.FAIL, bad), (Initial.PASS, good)):
        assessment = of(weight, reverse=reverse, initial=initial).judge("web")
        assert (assessment.priority, len(assessment.faults)) == (same.priority, len(same.faults))
        assert assessment.waiting == ()


@pytest.mark.parametrize("weight", [-50, 0, 50])
def test_a_router_waits_for_a_check_without_a_presumed_value(weight: int) -> None:
    one = of(weight, initial=Initial.WAIT)
    assessment = one.judge("web")
    assert [term.check for term in assessment.waiting] == ["a"]
    assert (assessment.priority, assessment.faults) == (150, ())
    assert assessment.explain() == "150, waiting for a"
    assert one.result("a", passed=weight <= 0) == ("web",)
    assessment = one.judge("web")
    assert (assessment.priority, assessment.waiting, assessment.explain()) == (150, (), "150")


def test_what_is_awaited_follows_the_sum_but_a_fault_comes_first() -> None:
    one = health(a=-50, b=0, c=0)
    one.checks["c"] = replace(one.checks["c"], initial=Initial.WAIT)
    one.checks["b"] = replace(one.checks["b"], initial=Initial.PASS)
    assert one.judge("web").explain() == "150 - 50 (a unknown) = 100, waiting for c"
    assert told(one, b=False).explain() == "fault: b failing (b said so)"


def test_a_number_is_multiplied_with_the_weight() -> None:
    one = of(2, valued=True)
    assert one.result("a", passed=True, value=-30) == ("web",)
    assert one.judge("web").explain() == "150 - 60 (a passing) = 90"
    assert one.result("a", passed=True, value=7) == ("web",)
    assert one.judge("web").explain() == "150 + 14 (a passing) = 164"
    assert one.result("a", passed=True, value=7) == ()
    assert one.result("a", passed=False) == (), "what cannot be read changes nothing"
    assert one.judge("web").explain() == "150 + 14 (a failing) = 164"
    one.result("a", passed=True, value=0)
    assert one.judge("web").explain() == "150"


def test_a_number_is_multiplied_with_the_reversed_weight() -> None:
    one = of(2, valued=True, reverse=True)
    one.result("a", passed=True, value=30)
    assert one.judge("web").explain() == "150 - 60 (a passing) = 90"


@pytest.mark.parametrize("reverse", [False, True])
def test_a_number_with_weight_zero_decides_by_being_zero(reverse: bool) -> None:
    one = of(0, valued=True, reverse=reverse)
    assert one.judge("web").faults, "unknown"
    one.result("a", passed=True, value=0)
    assert bool(one.judge("web").faults) is reverse
    one.result("a", passed=True, value=-3)
    assert bool(one.judge("web").faults) is not reverse
    one.result("a", passed=False)
    assert one.judge("web").faults, "unreadable"
    presumed = of(0, valued=True, reverse=reverse, initial=Initial.PASS)
    assert not presumed.judge("web").faults


# Other routers and checks


def test_a_check_with_the_same_probe_keeps_its_state() -> None:
    health = Health({"web": PrioritySpec(150, {"a": -10})}, {"a": CheckState(rise=1, fall=3)})
    health.result("a", passed=True)
    health.result("a", passed=False, detail="once")
    health.take({"web": PrioritySpec(150, {"renamed": -20})}, {"renamed": CheckState(rise=1, fall=2)}, {"renamed": "a"})
    assert health.judge("web").explain() == "150"
    assert health.result("renamed", passed=False, detail="twice") == ("web",)
    assert health.judge("web").explain() == "150 - 20 (renamed failing) = 130"


def test_another_check_of_the_same_name_begins_anew() -> None:
    health = Health({"web": PrioritySpec(150, {"a": -10})}, {"a": CheckState(rise=1, fall=1)})
    health.result("a", passed=True)
    health.take({"dns": PrioritySpec(90, {"a": -10})}, {"a": CheckState(rise=1, fall=1)}, {"a": "never there"})
    assert health.judge("dns").explain() == "90 - 10 (a unknown) = 80"
    assert health.result("a", passed=True) == ("dns",)
