"""Cron expressions: what KFP takes, what it would misread, what they mean."""

from datetime import UTC, datetime

import hypothesis.strategies as st
import pytest
from hypothesis import given

from nashflow.components.core.errors import UserError
from nashflow.pipelines.cluster.schedules.cron import check_cron, cron_in_words, next_firings

NOW = datetime(2026, 8, 21, 12, 0, tzinfo=UTC)  # a Friday


def refusal(cron: str) -> str:
    with pytest.raises(UserError) as caught:
        check_cron(cron)
    return str(caught.value)


def test_five_fields_are_offered_as_six() -> None:
    assert refusal("0 3 * * 1") == (
        "cron '0 3 * * 1': 5 fields, but KFP's cron has six, seconds first: write '0 0 3 * * 1'"
    )


@pytest.mark.parametrize("cron", ["", "@every 1h", "0 0 3 * *  * 2026"])
def test_other_numbers_of_fields_get_an_example(cron: str) -> None:
    assert refusal(cron).endswith("seconds first: such as '0 0 3 * * 1'")


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("60 0 3 * * 1", "seconds '60': give 0 to 59"),
        ("0 60 3 * * 1", "minutes '60': give 0 to 59"),
        ("0 0 24 * * 1", "hours '24': give 0 to 23"),
        ("0 0 3 0 * 1", "day of the month '0': give 1 to 31"),
        ("0 0 3 L * *", "day of the month 'L': give 1 to 31"),
        ("0 0 3 * 13 1", "month '13': give 1 to 12 or jan, feb,"),
        ("0 0 3 * * 7", "day of the week '7': give 0 to 6 or sun, mon, tue, wed, thu, fri, sat; Sunday is 0"),
        ("0 0 3 * * 1#2", "day of the week '1#2': give 0 to 6 or sun"),
        ("0 0 3 * * fri-mon", "day of the week 'fri-mon': a range begins with its lower end"),
        ("0 */0 3 * * 1", "minutes '*/0': steps begin with 1"),
        ("0 5, 3 * * 1", "minutes '': give 0 to 59"),
        ("0 0 3 30 2 ?", "no such date ever comes"),
    ],
)
def test_what_kfp_refuses_is_refused_here(cron: str, words: str) -> None:
    assert words in refusal(cron)


@pytest.mark.parametrize(
    ("cron", "words", "first", "third"),
    [
        ("0 0 3 * * 1", "At 03:00, only on Monday (UTC)", "2026-08-24 03:00:00", "2026-09-07 03:00:00"),
        ("30 */15 * * * ?", None, "2026-08-21 12:00:30", "2026-08-21 12:30:30"),
        ("0 0 9 ? JAN-Mar mon,FRI", None, "2027-01-01 09:00:00", "2027-01-08 09:00:00"),
        ("0 0 3 1 * 1", None, "2026-08-24 03:00:00", "2026-09-01 03:00:00"),
        # Every other day of the month that is a Monday: a star with steps is no day given.
        ("0 0 3 */2 * 1", None, "2026-08-31 03:00:00", "2026-09-21 03:00:00"),
        ("0 0 0 29 2 *", None, "2028-02-29 00:00:00", "2036-02-29 00:00:00"),
    ],
)
def test_the_next_firings(cron: str, words: str | None, first: str, third: str) -> None:
    times = next_firings(check_cron(cron), NOW)
    assert [f"{times[i]:%Y-%m-%d %H:%M:%S}" for i in (0, 2)] == [first, third]
    assert len(times) == 5
    assert cron_in_words(cron) == words or words is None


def test_spaces_do_not_matter() -> None:
    assert check_cron("  0  0 3 *   * 1 ") == "0 0 3 * * 1"


PART = st.tuples(st.integers(0, 5), st.integers(0, 5), st.sampled_from(["", "/1", "/2"]))


@given(st.lists(PART, min_size=1, max_size=3), st.lists(PART, min_size=1, max_size=3))
def test_firings_are_the_days_and_weekdays_that_were_given(days: list[tuple], weekdays: list[tuple]) -> None:
    """The second way to the same times: every minute of a year is asked whether it is one."""

    def values(parts: list[tuple], offset: int) -> set[int]:
        return {
            value + offset
            for low, more, step in parts
            for value in range(low, min(low + more, 6) + 1, int(step[1:] or 1))
        }

    def text(parts: list[tuple], offset: int) -> str:
        return ",".join(f"{low + offset}-{min(low + more, 6) + offset}{step}" for low, more, step in parts)

    cron = check_cron(f"0 0 0 {text(days, 1)} * {text(weekdays, 0)}")
    for time in next_firings(cron, NOW, 3):
        weekday = (time.weekday() + 1) % 7
        assert time.day in values(days, 1) or weekday in values(weekdays, 0)
