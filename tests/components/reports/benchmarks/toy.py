"""A small benchmark's results, judged and graded."""

from typing import Any

from nashflow.components.benchmarks.base import Figure
from nashflow.components.benchmarks.canary import Canary
from nashflow.components.benchmarks.correlation import Correlation
from nashflow.components.benchmarks.published import ALPACA_EVAL_2
from nashflow.components.quality.kept import Kept
from nashflow.components.reports.benchmarks.cases import Case
from nashflow.components.reports.benchmarks.report import BenchmarkReport

RATE = "toy/win_rate/gpt"
FIGURES = (
    Figure(RATE, "win rate", meaning="against the baseline", interval=(f"{RATE}_low", f"{RATE}_high")),
    Figure(f"{RATE}_low"),
    Figure(f"{RATE}_high"),
)
HOSTILE = "<script>alert('it')</script> [bold]{{ 7 * 7 }}[/bold] " + "x" * 400


def case(at: int, **more: Any) -> Case:
    given = {
        "question": f"q{at}",
        "category": ("maths", "prose")[at % 2],
        "turns": (f"Why {at}?",),
        "answers": ("Because of it.",),
        "opponent": ("So.",),
        "tokens": 4,
        "verdicts": 2,
        **more,
    }
    return Case(**given)


def report(**more: Any) -> BenchmarkReport:
    """Twelve questions: of every three one is won, one tied and one lost."""
    cases = [case(at, value=value, forward=value, backward=value) for at, value in enumerate((0.9, 0.5, 0.2) * 4)]
    given = {
        "name": "toy",
        "judge": "llm_judge-12ab",
        "oracle": "reward_model-34cd",
        "figures": FIGURES,
        "values": {RATE: 0.53, f"{RATE}_low": 0.4, f"{RATE}_high": 0.66},
        "published": {RATE: ALPACA_EVAL_2},
        "categories": [
            {"category": name, "figure": "win_rate", "value": 0.5, "low": 0.3, "high": 0.7, "questions": 6}
            for name in ("maths", "prose")
        ],
        "cases": cases,
        "usage": {"calls": 24.0, "cost": 0.125},
        "quality": Kept("pairs.jsonl", {"accuracy": 0.71, "accuracy_low": 0.68, "accuracy_high": 0.74}),
        "correlation": Correlation(0.4, 0.1, 0.63, 12),
        "canary": Canary(0.02, 0.0, 0.1, 12),
        **more,
    }
    return BenchmarkReport(**given)
