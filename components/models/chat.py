"""From chat messages and texts to token ids, the same way in every step."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from ..core.errors import UserError
from ..storage.records import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def prompt_ids(tokenizer: "PreTrainedTokenizerBase", messages: Sequence[Message]) -> list[int]:
    """The messages through the tokenizer's chat template, up to where the assistant's answer begins.

    They begin with exactly one BOS when the tokenizer has one, whether the template writes none, one or two. A BOS
    further inside is left alone: some templates open every turn with one, and a message may quote its text.

    Raises:
        UserError: the tokenizer has no chat template, or its template refuses the messages.
    """
    from jinja2 import TemplateError

    if not tokenizer.chat_template:
        raise UserError(
            f"the tokenizer in {tokenizer.name_or_path} has no chat template: add a chat_template.jinja to the folder"
        )
    try:
        ids = tokenizer.apply_chat_template(
            cast(list[dict[str, str]], list(messages)), tokenize=True, add_generation_prompt=True, return_dict=False
        )
    except TemplateError as error:
        raise UserError(f"the chat template in {tokenizer.name_or_path} refuses a prompt: {error}") from error
    return _with_one_bos(cast(list[int], ids), tokenizer.bos_token_id)


def response_ids(tokenizer: "PreTrainedTokenizerBase", text: str, eos: int) -> list[int]:
    """A given answer as the model would have sampled it: its tokens and the EOS `eos`.

    A special token's name that stands in the text is read as text.
    """
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
    return [*ids, eos]


def _with_one_bos(ids: list[int], bos: int | None) -> list[int]:
    if bos is None:
        return ids
    first = next((index for index, token in enumerate(ids) if token != bos), len(ids))
    return [bos, *ids[first:]]
