"""The queue: items are handled one after the other, never one within another."""

import pytest

from exavrrp.queues import Queue


def test_items_put_while_one_is_handled_wait_for_its_end() -> None:
    done: list[str] = []

    def deal(item: str) -> None:
        done.append(f"{item} begins, busy: {queue.busy}")
        if len(item) < 2:
            queue.put(item + "a")
            queue.put(item + "b")
        done.append(f"{item} ends")

    queue = Queue(deal)
    queue.put("x")
    assert done == [
        "x begins, busy: True",
        "x ends",
        "xa begins, busy: True",
        "xa ends",
        "xb begins, busy: True",
        "xb ends",
    ]
    assert not queue.busy


def test_after_an_error_the_rest_follows_with_the_next() -> None:
    done: list[int] = []

    def deal(item: int) -> None:
        if item == 0:
            queue.put(1)
            raise ZeroDivisionError
        done.append(item)

    queue = Queue(deal)
    with pytest.raises(ZeroDivisionError):
        queue.put(0)
    assert (done, queue.busy) == ([], False)
    queue.put(2)
    assert done == [1, 2]
