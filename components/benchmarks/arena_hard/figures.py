"""The figures of both versions of Arena-Hard."""

from ..base import Figure, with_interval
from .scores import Score


def figures_against(baseline: str) -> tuple[Figure, ...]:
    """Those of a score against a baseline's answers."""
    return (
        *with_interval(
            "score",
            "score",
            error=True,
            unit="%",
            better="higher",
            digits=1,
            meaning=f"share of games won against {baseline}, significant verdicts counted three times",
            headline=True,
        ),
        Figure("official_low", unit="%", digits=1, meaning="lower end of the benchmark's own interval, of bootstraps"),
        Figure("official_high", unit="%", digits=1, meaning="its upper end"),
        Figure("wins", digits=0),
        Figure("losses", digits=0),
        Figure("ties", digits=0),
    )


def figures_of(score: Score) -> dict[str, float | None]:
    """Their values."""
    return {
        "score": score.score,
        "score_low": score.low,
        "score_high": score.high,
        "score_error": score.standard_error,
        "official_low": score.official_low,
        "official_high": score.official_high,
        "wins": score.wins,
        "losses": score.losses,
        "ties": score.ties,
    }
