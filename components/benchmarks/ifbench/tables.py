"""The constraints `custom:csv_…`: tables of three kinds."""

import csv
import io
import re

from ..checks import rule

CITY = ["ID", "Country", "City", "Year", "Count"]
PRODUCT = ["ProductID", "Category", "Brand", "Price", "Stock"]
STUDENT = ["StudentID", "Subject", "Grade", "Semester", "Score"]


def csv_city(answer: str) -> bool:
    """Comma-separated values: the header ID, Country, City, Year, Count, then seven rows of five columns."""
    rows = _rows(answer, ",")
    return len(rows) == 8 and rows[0] == CITY and _five_columns(rows)


def csv_special_character(answer: str) -> bool:
    """Comma-separated values: the header ProductID, Category, Brand, Price, Stock, then 14 rows, of which one has a
    field in double quotes with a special character; up to that row they have five columns."""
    if not _has_header(answer, PRODUCT, r",[ \t]*"):
        return False
    rows = _rows(_keeping_quotes(answer), ",")
    special = next((place for place, row in enumerate(rows[1:], 2) if any(map(_is_special, row))), 0)
    return len(rows) == 15 and special > 0 and _five_columns(rows[1:special])


def csv_quotes(answer: str) -> bool:
    """Tab-separated values: the header StudentID, Subject, Grade, Semester, Score, then three rows of five columns,
    and each field of them all in double quotes."""
    rows = _rows(_keeping_quotes(answer), "\t")
    quoted = all(re.fullmatch('".*"|"', field.strip(), re.DOTALL) for row in rows for field in row)
    return _has_header(answer, STUDENT, r"\t *") and len(rows) == 4 and _five_columns(rows) and quoted


def _rows(text: str, delimiter: str) -> list[list[str]]:
    """The rows of a table; none if it is not one."""
    try:
        return list(csv.reader(io.StringIO(text), delimiter=delimiter))
    except csv.Error:
        return []


def _keeping_quotes(text: str) -> str:
    """The text with its double quotes written so that a reader of tables leaves them in the fields."""
    return text.replace('"', '"""')


def _five_columns(rows: list[list[str]]) -> bool:
    return all(len(row) == 5 for row in rows)


def _has_header(text: str, names: list[str], separator: str) -> bool:
    """Whether the first line holds the names, each with or without double quotes."""
    return bool(re.fullmatch(separator.join(f'(?:{name}|"{name}")' for name in names), text.split("\n")[0].strip()))


def _is_special(field: str) -> bool:
    return bool(re.match(r'".*[^\d\w\s].*"', field))


TABLES = {
    "custom:csv_city": rule(csv_city),
    "custom:csv_special_character": rule(csv_special_character),
    "custom:csv_quotes": rule(csv_quotes),
}
