"""The labelled pairs that a judge is fitted to, and those that it is measured on."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from ...core.digests import digest_json_list
from ...core.errors import UserError
from ...core.seeds import derive_seed
from ...prompts.compared import read_compared
from ...prompts.settings import PromptSource
from .fitting import Pair


@dataclass(frozen=True)
class Labelled:
    """Labelled pairs, in two parts that share no dialogue."""

    training: Sequence[Pair]
    held_out: Sequence[Pair]
    said: str
    """What was read, and what was left out."""

    @cached_property
    def digest(self) -> str:
        """Identity of both parts."""
        return digest_json_list(list(pair) for part in (self.training, self.held_out) for pair in part)


def opening(pair: Pair) -> str:
    """The first message that is not the system's: dialogues that open alike may go on alike."""
    return next(message["content"] for message in pair.messages if message["role"] != "system")


def read_labelled(source: PromptSource, held_out: float, seed: int) -> Labelled:
    """The pairs of a source of which one answer is better; those of a share `held_out` of the openings are held out.

    Raises:
        UserError: as `read_compared`; or one of the parts would be empty.
    """
    compared, counts = read_compared(source)
    pairs = []
    for each in compared:
        for first, second, label in each.pairs():
            if label in (0.0, 1.0):
                texts = [each.answers[index].text for index in (first, second)]
                pairs.append(Pair(each.messages, *(texts if label else reversed(texts))))
    openings = sorted({opening(pair) for pair in pairs}, key=lambda text: derive_seed(seed, "held out", text))
    chosen = set(openings[: round(held_out * len(openings))])
    sides: tuple[list[Pair], list[Pair]] = ([], [])
    for pair in pairs:
        sides[opening(pair) in chosen].append(pair)
    if not all(sides):
        raise UserError(
            f"{source.named}: {len(pairs)} pairs of {len(openings)} dialogues, of which a share of {held_out} is held "
            "out, leave none to train or none to measure on: add pairs, or set held_out nearer to 0.5"
        )
    return Labelled(*sides, str(counts))
