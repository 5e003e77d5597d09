"""What ``exavrrp watch`` shows: the lines of its screen, from answers and keys."""

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from exavrrp.cli import style
from exavrrp.cli.board import CELLS, KEYS, Board, Tone
from exavrrp.cli.overview import heading, routers
from tests.ports import Rig, check, given_active, given_backup, router
from tests.test_status import answer
from tests.test_why import both, journal

NOON = datetime(2027, 1, 15, 12, tzinfo=UTC)


def texts(board: Board, height: int = 24) -> list[str]:
    """The lines; each screen is as long and as wide as it has to be."""
    lines = board.lines(height)
    assert len(lines) == height
    assert max(len(line.text) for line in lines) <= style.WIDTH
    assert lines[-1].text == KEYS
    return [line.text for line in lines]


def shown(rig: Rig, *keys: str) -> list[str]:
    board = Board()
    board.take(answer(rig), journal(rig), anew=True)
    for key in keys:
        board.press(key)
    return texts(board)


def strips(board: Board) -> dict[str, str]:
    """Interface → its cells."""
    return {line[:4]: line[style.WIDTH - CELLS :].lstrip() for line in texts(board) if line.startswith("eth")}


def test_the_node_is_shown_as_status_prints_it() -> None:
    rig = both(given_backup(heard=None), 3)
    seen = answer(rig)
    above = [*heading(seen), "", *routers(seen)]
    assert shown(rig)[: len(above)] == above


def test_a_cell_says_whether_an_advert_is_missing() -> None:
    rig, board = given_backup(heard=None), Board()

    def look() -> None:
        board.take(answer(rig), (), anew=False)

    look()
    assert strips(board) == {}, "no Active"
    both(rig, 3)
    look()
    rig.hear(250, interface=1).after(1.0)
    rig.hear(250, interface=1)
    look()
    assert strips(board) == {"eth0": "..", "eth1": ".x"}
    rig.hear(250, interface=2).after(0.5)
    look()
    assert strips(board) == {"eth0": "...", "eth1": ".xx"}, "the gap before the last copy"
    rig.hear(250, interface=1).hear(250, interface=2)
    look()
    assert strips(board) == {"eth0": "....", "eth1": ".xx."}
    for _ in range(8):
        rig.hear(250, interface=1).after(1.0)
    look()
    assert strips(board) == {"eth0": ".....", "eth1": ".xx.x"}
    for _ in range(2 * CELLS):
        look()
    assert strips(board)["eth1"] == "x" * CELLS


def test_an_active_says_that_it_hears_nobody() -> None:
    assert "web is Active: Backups send nothing that it could hear" in shown(given_active())
    assert "web: no advert of an Active arrives" in shown(given_backup(heard=None))


@pytest.mark.parametrize(
    ("key", "title"),
    [("w", "WHY web"), ("s", "STATUS web"), ("e", "EVENTS"), ("p", "PATHS all: "), ("?", "PATHS web: ")],
)
def test_a_key_chooses_what_is_shown_below(key: str, title: str) -> None:
    rig = both(given_backup(heard=None), 3)
    assert any(line.startswith(title) for line in shown(rig, "w", "escape", key))


def test_every_router_can_be_selected_however_many_there_are() -> None:
    rig = given_active(*(router(number) for number in range(1, 51)))
    board = Board()
    board.take(answer(rig), journal(rig), anew=True)
    names = []
    for _ in range(50):
        (selected,) = [line.text for line in board.lines(24) if line.tone is Tone.SELECTED]
        names.append(selected.split()[0])
        texts(board)
        board.press("down")
    assert names == [one.name for one in answer(rig).routers]
    board.press("up")
    board.press("w")
    assert any(line.startswith("WHY web50") for line in texts(board))
    few = answer(given_active())
    board.take(few, (), anew=False)
    assert any(line.startswith("WHY web") for line in texts(board)), "what was selected is gone"


def test_many_problems_leave_room_for_events() -> None:
    rig = given_active(*(router(number, checks=["disk"]) for number in range(1, 9)), check("disk", weight=-10))
    seen = answer(rig)
    seen = replace(seen, routers=tuple(replace(one, remarks=("something",) * 5) for one in seen.routers))
    board = Board()
    board.take(seen, journal(rig), anew=True)
    lines = texts(board)
    assert any("more lines: exavrrp status" in line for line in lines)
    assert "EVENTS" in lines


@pytest.mark.parametrize("height", range(1, 60))
def test_a_screen_of_any_height_is_filled(height: int) -> None:
    rig = both(given_backup(router(), router(2), heard=None), 3)
    board = Board()
    assert texts(board, height)[:-1] == [""] * (height - 1)
    board.take(answer(rig), journal(rig), anew=True)
    for key in ("p", "e", "w", "s", "escape"):
        board.press(key)
        texts(board, height)
    board.lose("no agent listens at /run/exavrrp/control.sock", NOON)
    texts(board, height)


def test_what_is_old_is_called_so_until_another_agent_answers() -> None:
    rig = both(given_backup(heard=None), 3)
    board = Board()
    board.take(answer(rig), journal(rig), anew=True)
    for second in (0, 1):
        board.lose("no agent listens at x", NOON.replace(second=second))
    lines = board.lines(24)
    assert lines[0].text == "no agent answers since 12:00:00; asking again: no agent listens at x"
    assert Tone.PLAIN not in {line.tone for line in lines if line.text}
    assert strips(board) == {"eth0": ".  ", "eth1": ".  "}
    board.take(answer(rig), journal(rig), anew=True)
    board.press("e")
    assert texts(board) == shown(rig, "e"), "no entry twice"
