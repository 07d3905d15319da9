"""Posting to a month while it is closed, and kill -9 in the middle of an entry."""

import random
import time
from datetime import date

import pytest

from tests.processes.office import wait_for

pytestmark = pytest.mark.processes

JANUARY, FIRST_OPEN = date(2026, 1, 15), date(2026, 2, 1)


def test_what_is_posted_while_a_month_closes_is_in_or_refused_and_never_lost(office):
    office.ask("open_books")

    choosing, counting, _ = office.together(
        "side_by_side",
        ("post", "Mutua", True),
        ("post", "Njeri", False),
        ("close", 0.3),
    )

    days = office.ask("posted_days")
    del days["first"]
    # Who chose the day is refused once the month is closed; what only happened then moves on.
    assert days == {reference: day for reference, day in [*choosing, *counting] if day}
    assert {day for _, day in choosing} <= {JANUARY, None}
    assert {day for _, day in counting} <= {JANUARY, FIRST_OPEN}
    assert (choosing[-1][1], counting[-1][1]) == (None, FIRST_OPEN)
    carried, moved = office.ask("carried_of_january")
    assert carried == moved
    assert office.ask("half_posted") == 0


def test_a_killed_poster_leaves_no_entry_half_posted(office):
    office.ask("open_books")
    chance, said = random.Random(6), office.folder / "entries.txt"
    said.touch()
    for _ in range(4):
        before = said.stat().st_size
        with said.open("ab") as file:
            poster = office.start_chore("keep_posting_entries", stdout=file)
        wait_for(
            lambda: said.stat().st_size > before,  # noqa: B023 - called at once
            "nothing was posted",
            every=0.01,
        )
        time.sleep(chance.uniform(0, 0.2))
        poster.kill()

    done = {f"kept:{number}" for number in said.read_text().split()}
    assert done <= office.ask("posted_days").keys()
    assert office.ask("half_posted") == 0
