"""Which tests CI runs with a commit, where it does not run all (``--one-in``)."""

from tests.commit import one_in

KINDS = {
    f"{kind}[{number}]": kind for kind, count in {"a": 1, "b": 2, "c": 4, "d": 30}.items() for number in range(count)
}
"""Tests, each with its kind: 1, 2, 4 and 30 that are alike."""


def test_of_each_kind_one_in_so_many_is_run_and_at_least_one() -> None:
    for first in range(12):
        chosen = one_in(3, KINDS, first)
        counts = {kind: sum(KINDS[name] == kind for name in chosen) for kind in "abcd"}
        assert counts.pop("c") in (1, 2)
        assert counts == {"a": 1, "b": 1, "d": 10}


def test_with_other_commits_others_are_run_and_none_is_left_out() -> None:
    assert set().union(*(one_in(3, KINDS, first) for first in range(6))) == set(KINDS)


def test_kinds_that_follow_each_other_do_not_run_the_same_part() -> None:
    kinds = {f"{test}[{version}]": test for test in "abcd" for version in (4, 5)}
    assert one_in(2, kinds, 0) == {"a[4]", "b[5]", "c[4]", "d[5]"}
    assert one_in(2, kinds, 1) == {"a[5]", "b[4]", "c[5]", "d[4]"}
