"""Scores that papers report, with the judges that gave them: under another judge, a score does not compare."""

from collections.abc import Mapping
from typing import NamedTuple


class Published(NamedTuple):
    """A column of a paper's table."""

    figure: str
    """The figure of the benchmark that it reports, without the names of benchmark and judge."""
    title: str
    judge: str
    """Empty where there is none, because rules or log-probabilities decide."""
    source: str
    scores: Mapping[str, float]
    """By the policy that was measured."""


_SOURCE = "arXiv 2407.00617 v2"
_FROM_SFT = (
    "LLaMA-3-8B-SFT",
    "iterative DPO, reward model",
    "iterative DPO, preference model",
    "SPPO, preference model",
    "INPO without KL, reward model",
    "INPO without KL, preference model",
    "INPO, reward model",
    "INPO, preference model",
)
_FROM_INSTRUCT = (
    "Llama-3-8B-Instruct",
    "iterative DPO from Instruct",
    "SPPO from Instruct",
    "INPO from Instruct",
)
_POLICIES = _FROM_SFT + _FROM_INSTRUCT


def _column(figure: str, title: str, judge: str, *scores: float) -> Published:
    return Published(figure, title, judge, _SOURCE, dict(zip(_POLICIES, scores, strict=True)))


ALPACA_EVAL_2 = _column(
    *("lc_win_rate", "AlpacaEval 2, length-controlled win rate in %", "gpt-4-1106-preview"),
    *(16.0, 28.3, 28.5, 32.8, 35.4, 41.6, 37.6, 42.6),
    *(24.8, 35.4, 39.2, 41.8),
)
ARENA_HARD = _column(
    *("score", "Arena-Hard v0.1, win rate in %", "gpt-4-1106-preview"),
    *(10.2, 24.2, 29.6, 29.2, 33.6, 36.5, 34.7, 37.8),
    *(21.2, 37.1, 37.9, 42.5),
)
MT_BENCH = _column(
    *("score", "MT-Bench, mean grade of 10", "GPT-4"),
    *(7.52, 8.22, 8.29, 8.26, 8.10, 8.31, 8.27, 8.43),
    *(7.97, 8.35, 8.42, 8.43),
)
ACADEMIC = Published(
    "mean",
    "mean of IFEval, GPQA, MMLU, HellaSwag, TruthfulQA and GSM8K in %",
    "",
    _SOURCE,
    {
        "LLaMA-3-8B-SFT": 55.5,
        "iterative DPO, preference model": 58.8,
        "SPPO, preference model": 59.5,
        "INPO, preference model": 60.0,
        "Llama-3-8B-Instruct": 57.8,
        "iterative DPO from Instruct": 57.2,
        "SPPO from Instruct": 57.5,
        "INPO from Instruct": 57.9,
    },
)
