"""What sways a judge beside the answers' quality: their order and their length; and whether it contradicts itself."""

from collections import defaultdict

from ..oracles.conduct import position_decides
from .pairs import Array, Flags, Indices, ahead


def flips(forward: Array, backward: Array) -> float | None:
    """The share of pairs for which the judge decides for the other answer when it sees the two in the other order.

    Both are probabilities that the first answer is better, shape (n,), seen in one order and in the other. 0 for a
    judge that reads one answer at a time; None without pairs.
    """
    return _mean(position_decides(forward, backward))


def shown_first(forward: Array, backward: Array) -> float | None:
    """The share of sights, two a pair, in which the judge decides for the answer that it is shown first.

    1/2 without a bias, 1 for a judge that always says A. No decision is half of one.
    """
    return _mean((ahead(forward - 0.5) + 1 - ahead(backward - 0.5)) / 2)


def for_longer(longer: Array, decision: Array) -> float | None:
    """The share of decisions for the answer with more characters, shape (n,).

    Pairs of equal length are left out, and so are those without a decision. With labels instead of a judge's decisions
    it is the share of the labels that are for the longer answer.
    """
    towards_longer = (longer - 0.5) * (decision - 0.5)
    return _mean(towards_longer[towards_longer != 0] > 0)


def cyclic(entry: Indices, first: Indices, second: Indices, decision: Array) -> tuple[int, int]:
    """How many triples of answers to a prompt the judge decides in a circle (a over b, b over c, c over a), and how
    many it has compared all three pairs of.

    Pairs are answers `first` and `second` of an entry, shape (n,). A triple with a tie is no circle.
    """
    ahead_of: dict[int, dict[tuple[int, int], float]] = defaultdict(dict)
    for number, one, other, value in zip(
        entry.tolist(), first.tolist(), second.tolist(), decision.tolist(), strict=True
    ):
        ahead_of[number] |= {(one, other): value, (other, one): 1 - value}
    circles = triples = 0
    for known in ahead_of.values():
        answers = sorted({answer for pair in known for answer in pair})
        for at, a in enumerate(answers):
            for place, b in enumerate(answers[at + 1 :], at + 1):
                for c in answers[place + 1 :]:
                    sides = [known.get(pair) for pair in ((a, b), (b, c), (c, a))]
                    triples += None not in sides
                    circles += sides in ([1, 1, 1], [0, 0, 0])
    return circles, triples


def _mean(values: Array | Flags) -> float | None:
    return float(values.mean()) if len(values) else None
