"""Where a response ends: at a stop token, or where a stop text is complete."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from ..core.errors import UserError
from ..models.dialogues import Dialogues
from .sampler import Sampled

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Stop:
    """What ends a response."""

    ids: tuple[int, ...]
    texts: tuple[str, ...] = ()

    @classmethod
    def of(cls, dialogues: Dialogues, further: Sequence[str | int]) -> "Stop":
        """A policy's own stop tokens, and further tokens, by id or by name, and texts.

        Raises:
            UserError: the policy has no stop token, or no token of a further id.
        """
        tokenizer, texts = dialogues.tokenizer, [each for each in further if isinstance(each, str)]
        named = {text: token for text, token in tokenizer.get_added_vocab().items() if text in texts}
        ids = {each for each in further if isinstance(each, int)}
        if unknown := sorted(each for each in ids if not 0 <= each < len(tokenizer)):
            raise UserError(f"rollout.stop: the tokenizer in {tokenizer.name_or_path} has no token {unknown[0]}")
        return cls(
            tuple(sorted({*dialogues.stop_ids, *ids, *named.values()})),
            tuple(text for text in texts if text not in named),
        )

    def response(self, tokenizer: "PreTrainedTokenizerBase", ids: Sequence[int]) -> Sampled:
        """The response that begins with `ids`, up to its end if that is among them.

        Its text is without the stop token or text.
        """
        end = next((index + 1 for index, token in enumerate(ids) if token in self.ids), None)
        kept, body = list(ids[:end]), list(ids if end is None else ids[: end - 1])
        text = decoded(tokenizer, body)
        if found := [stop for stop in self.texts if stop in text]:
            end = bisect_left(range(len(body)), True, key=lambda count: self._within(decoded(tokenizer, body[:count])))
            kept, text = body[:end], text[: min(text.index(stop) for stop in found)]
        return Sampled(ids=kept, finish="length" if end is None else "stop", text=text)

    def texts_met(self, tokenizer: "PreTrainedTokenizerBase", ids: "torch.Tensor") -> list[bool]:
        """Whether a stop text is complete at the end of each row of token ids."""
        longest = max(len(text.encode()) for text in self.texts)  # a token has a byte at least
        return [self._within(decoded(tokenizer, row)) for row in ids[:, -longest - 1 :].tolist()]

    def _within(self, text: str) -> bool:
        return any(stop in text for stop in self.texts)


def decoded(tokenizer: "PreTrainedTokenizerBase", ids: list[int]) -> str:
    """The text of tokens, special ones by their names: nothing that a policy says is hidden from its judges."""
    return cast(str, tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))
