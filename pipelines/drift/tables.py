"""The figures of a page on drift, as cells for a terminal and for the page."""

from collections.abc import Iterator, Sequence

from .report import Drift, Row

HEADINGS = ("run", "ended", "outcome", "decided", "win rate [95 %]", "prompts", "length", "change [95 %]", "bits", "p")
EXPLAINED = (
    "win rate: against the first champion, on held-out prompts that both have answered, by the newest run's judge; "
    "change: of the prompts' mean length in characters, from the first run's; bits: how far the prompts' bytes are "
    "from the first run's (Jensen-Shannon), above what two samples of one source have; p: how often chance alone is as "
    "far"
)
JUDGE_HEADINGS = ("day", "judge", "pairs", "decides otherwise [95 %]", "probability moved by")
JUDGE_EXPLAINED = "the pairs are the first run's own comparisons with its reference, asked again"


def cells(drift: Drift) -> Iterator[list[str]]:
    """A row of cells for each run, under `HEADINGS`."""
    for row in drift.rows:
        fired, shift = row.fired, row.prompts
        won = row.win_rate
        shown = f"{won.value:.3f} [{won.low:.3f}, {won.high:.3f}]" if won else "–"
        name = fired.store.uri.rpartition("/")[2]
        head = [name, fired.day, fired.ended.outcome, fired.became or "–", shown]
        if shift is None:
            yield [*head, *"–––––"]
            continue
        yield [
            *head,
            str(shift.prompts),
            f"{shift.characters:.0f}",
            f"{shift.longer_by:+.1f} [{shift.longer_low:+.1f}, {shift.longer_high:+.1f}]",
            f"{shift.excess:.3f}",
            f"{shift.p_value:.3f}",
        ]


def judge_cells(drift: Drift) -> list[list[str]]:
    """A row of cells for each day on which the judge was asked, under `JUDGE_HEADINGS`."""
    return [
        [
            each.day,
            each.oracle,
            str(each.pairs),
            f"{each.changed:.3f} [{each.changed_low:.3f}, {each.changed_high:.3f}]",
            f"{each.moved:.4f}",
        ]
        for each in drift.judge
    ]


def findings(drift: Drift) -> list[str]:
    """What the figures say, in sentences."""
    said = [*_of_policies(drift.rows), *_of_prompts(drift)]
    if drift.judge and drift.judge[-1].changed_low > 0:
        now = drift.judge[-1]
        said.append(f"The judge decides otherwise than it did on {now.changed:.0%} of the same pairs.")
    elif drift.judge:
        said.append("The judge says of the same pairs what it said.")
    return said


def _of_policies(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        name = row.fired.store.uri.rpartition("/")[2]
        if row.fired.became or row.fired.ended.outcome != "succeeded":
            became, why = row.fired.became or row.fired.ended.outcome, row.fired.reason.rstrip(".")
            said = why if why.lower().startswith(became) else f"{became}: {why}" if why else became
            yield f"{name}: {said}."
        if row.win_rate and row.win_rate.high < 0.5:
            yield f"{name}: its policy is worse than the first champion (win rate {row.win_rate.value:.3f})."


def _of_prompts(drift: Drift) -> Iterator[str]:
    for row in drift.rows:
        if row.prompts and row.prompts.shifted:
            yield (
                f"{row.fired.store.uri.rpartition('/')[2]}: its prompts are other ones than the first run's "
                f"(p = {row.prompts.p_value:.3f})."
            )
