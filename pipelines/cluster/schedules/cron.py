"""Cron expressions of recurring runs: KFP's six fields, seconds first, checked as its parser does, and in words."""

import re
from datetime import datetime

import croniter
from cron_descriptor import Options, get_description

from nashflow.components.core.errors import UserError

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# Lowest and highest value, and the names of values.
_FIELDS: dict[str, tuple[int, int, dict[str, int]]] = {
    "seconds": (0, 59, {}),
    "minutes": (0, 59, {}),
    "hours": (0, 23, {}),
    "day of the month": (1, 31, {}),
    "month": (1, 12, {name: number for number, name in enumerate(_MONTHS, start=1)}),
    "day of the week": (0, 6, {name: number for number, name in enumerate(_DAYS)}),
}
_RANGE = re.compile(r"(?P<low>[*?]|\w+)(-(?P<high>\w+))?(/(?P<step>\d+))?")


def check_cron(cron: str) -> str:
    """The expression with single spaces, if KFP takes it and it means what it says.

    KFP's parser takes five fields too, but reads seconds in the first and leaves out the day of the week.

    Raises:
        UserError: not six fields, or a field that KFP refuses; a time that never comes.
    """
    fields = cron.split()
    if len(fields) != len(_FIELDS):
        offer = f"write '0 {' '.join(fields)}'" if len(fields) == 5 else "such as '0 0 3 * * 1'"
        raise UserError(f"cron '{cron}': {len(fields)} fields, but KFP's cron has six, seconds first: {offer}")
    for field, (name, (lowest, highest, names)) in zip(fields, _FIELDS.items(), strict=True):
        for part in field.split(","):
            if mistake := _mistake(part, lowest, highest, names):
                raise UserError(f"cron '{cron}': {name} {part!r}: {mistake}")
    checked = " ".join(fields)
    next_firings(checked, datetime(2000, 1, 1), 1)
    return checked


def _mistake(part: str, lowest: int, highest: int, names: dict[str, int]) -> str:
    """The mistake in one part of a field; empty if there is none."""
    allowed = f"{lowest} to {highest}" + (f" or {', '.join(names)}" if names else "")
    match = _RANGE.fullmatch(part)
    if not match:
        return f"give {allowed}, a range such as {lowest}-{highest}, steps such as */2, or *"
    values = [names.get(text.lower(), text) for text in (match["low"], match["high"]) if text and text not in "*?"]
    if not all(isinstance(value, int) or (value.isascii() and value.isdigit()) for value in values):
        return f"give {allowed}"
    numbers = [int(value) for value in values]
    if not all(lowest <= number <= highest for number in numbers):
        return f"give {allowed}" + ("; Sunday is 0" if names and 7 in numbers else "")
    if numbers != sorted(numbers):
        return "a range begins with its lower end"
    return "steps begin with 1" if match["step"] and not int(match["step"]) else ""


def cron_in_words(cron: str) -> str:
    """A checked expression in words; KFP's clock is UTC unless its administrator has set another."""
    options = Options()
    options.use_24hour_time_format = True
    return f"{get_description(cron.lower(), options)} (UTC)"


def next_firings(cron: str, now: datetime, count: int = 5) -> list[datetime]:
    """The next times after `now` at which KFP fires a checked expression.

    Raises:
        UserError: there is none.
    """
    fields = dict(zip(_FIELDS, cron.split(), strict=True))
    days, weekdays = fields["day of the month"], fields["day of the week"]
    # Two days given mean either; for KFP's parser a star is no day given, with steps too.
    either = not any(part[0] in "*?" for part in (*days.split(","), *weekdays.split(",")))
    plain = {name: _plain(field, *_FIELDS[name]) for name, field in fields.items()}
    if either and "*" in (plain["day of the month"], plain["day of the week"]):
        plain["day of the month"] = plain["day of the week"] = "*"
    try:
        times = croniter.croniter(" ".join(plain.values()), now, second_at_beginning=True, day_or=either)
        return [times.get_next(datetime) for _ in range(count)]
    except croniter.CroniterBadDateError:
        raise UserError(f"cron '{cron}': no such date ever comes") from None


def _plain(field: str, lowest: int, highest: int, names: dict[str, int]) -> str:
    """A checked field as a list of numbers, or * for all: croniter reads some ranges in a way of its own."""
    values: set[int] = set()
    for part in field.lower().split(","):
        span, _, step = part.partition("/")
        low, _, high = ("*" if span == "?" else span).partition("-")
        if low == "*":
            first, last = lowest, highest
        else:
            first = names[low] if low in names else int(low)
            # A single number with steps begins there.
            last = (names[high] if high in names else int(high)) if high else highest if step else first
        values.update(range(first, last + 1, int(step or 1)))
    return "*" if len(values) == highest - lowest + 1 else ",".join(map(str, sorted(values)))
