"""Which policies of a run stay, by the recipe's `run.keep`, and which float32 weights beside them."""

from collections.abc import Iterator

from ..methods.base import Method
from ..methods.phases import Phase, PolicyRef

ALL = "all"
KEEP = r"^(all|last [1-9]\d*|every [1-9]\d*)$"
"""The values of `run.keep`."""


def policy_stays(method: Method, keep: str, policy: PolicyRef, done: int, last: int) -> bool:
    """Whether a policy stays once iteration `done` of `last` is done.

    Besides those that `keep` names: the reference, those of iteration `done`, and those that a later phase samples,
    regresses on or starts from.
    """
    word, _, number = keep.partition(" ")
    count = int(number or 1)
    chosen = {ALL: True, "last": policy.iteration > done - count, "every": policy.iteration % count == 0}[word]
    return chosen or policy.iteration in (0, done) or any(policy in _read_by(p) for p in _later(method, done, last))


def master_stays(method: Method, policy: PolicyRef, done: int, last: int) -> bool:
    """Whether a policy's float32 weights stay once iteration `done` of `last` is done: if a later training starts from
    them."""
    return policy.iteration > done or any(phase.start_from == policy for phase in _later(method, done, last))


def _later(method: Method, done: int, last: int) -> Iterator[Phase]:
    """The phases after an iteration; those of one more than there are, because a run may be extended."""
    for iteration in range(done + 1, max(last, done) + 2):
        yield from method.phases(iteration)


def _read_by(phase: Phase) -> set[PolicyRef]:
    return {phase.start_from, *phase.anchors, *(policy for sampling in phase.samples for policy in sampling.policies)}
