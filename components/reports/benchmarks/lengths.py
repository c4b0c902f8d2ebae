"""How long a policy's answers are, and those that they are compared with."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .cases import Case, column


@dataclass(frozen=True)
class Lengths:
    """Characters of a side's answers."""

    mean: float
    median: float
    longest: int


@dataclass(frozen=True)
class LengthStatistics:
    """Of the answers to all questions; those of several turns count together."""

    policy: Lengths
    opponent: Lengths | None
    """None where answers are graded by themselves."""
    longer: float | None
    """Share of the questions to which the policy's answer is the longer one."""
    tokens: float | None
    """Mean of the policy's answers."""
    cut: int
    """Answers of the policy that were cut at the most new tokens."""
    empty: int
    """Answers of the policy without text."""


def lengths_of(cases: Sequence[Case]) -> LengthStatistics:
    """The lengths of some cases, at least one."""
    compared = [case for case in cases if case.opponent]
    ours, theirs = column(compared, "length"), column(compared, "opponent_length")
    return LengthStatistics(
        policy=_lengths(cases, "length"),
        opponent=_lengths(compared, "opponent_length") if compared else None,
        longer=float((ours > theirs).mean()) if compared else None,
        tokens=None if math.isnan(tokens := float(column(cases, "tokens").mean())) else tokens,
        cut=sum(case.cut for case in cases),
        empty=sum(not any(answer.strip() for answer in case.answers) for case in cases),
    )


def _lengths(cases: Sequence[Case], name: str) -> Lengths:
    lengths = column(cases, name)
    return Lengths(float(lengths.mean()), float(np.median(lengths)), int(lengths.max()))
