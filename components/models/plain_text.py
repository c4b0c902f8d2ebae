"""Texts that spell a tokenizer's special tokens, read as text; those that a template writes, as tokens."""

import json
import re
from collections.abc import Collection, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..core.errors import UserError

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

# Unicode's noncharacters, which no text holds: a quoted token's name, and a real token's.
_QUOTED, _REAL = "\ufdd0{}\ufdd1", "\ufdd2{}\ufdd3"
_NO_CHARACTER = re.compile("[\ufdd0-\ufdd3]")


class SpecialTokens:
    """The special tokens of a tokenizer, which only templates may write.

    A text that spells one is hidden while a template is rendered. What the template writes itself is then found by its
    spelling, and encoded by a copy of the tokenizer in which these tokens have other names.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", names: Collection[str]) -> None:
        """`names` are the tokens as they are spelled."""
        self._tokenizer, self._names = tokenizer, sorted(names, key=len, reverse=True)
        self.pattern = re.compile("|".join(map(re.escape, self._names)) or "(?!)")
        """Finds a special token in a text."""
        backend = getattr(tokenizer, "backend_tokenizer", None)
        added = tokenizer.added_tokens_decoder.values()
        normalized = any(token.normalized for token in added if token.content in names)
        self._normalizer = backend.normalizer if backend and normalized else None

    def spelled_in(self, text: str) -> bool:
        """Whether the tokenizer would find a special token in the text."""
        if self.pattern.search(text):
            return True
        return bool(self._normalizer and self.pattern.search(self._normalizer.normalize_str(text)))

    def hidden(self, text: str) -> str:
        """The text with other characters where it spells a special token.

        Raises:
            UserError: the text has such characters already.
        """
        if _NO_CHARACTER.search(text):
            raise UserError("a text holds U+FDD0 to U+FDD3, which Unicode says are no characters: remove them")
        return self.pattern.sub(lambda found: _QUOTED.format(self._names.index(found[0])), text)

    def encode_apart(self, rendered: str) -> list[int]:
        """Token ids of a rendered dialogue whose hidden texts are text.

        Raises:
            UserError: the tokenizer reads one of them as a special token nevertheless.
        """
        real = self.pattern.sub(lambda found: _REAL.format(self._names.index(found[0])), rendered)
        text = re.sub(_QUOTED.format(r"(\d+)"), lambda found: self._names[int(found[1])], real)
        renamed, ids_of = self._renamed
        ids = [ids_of.get(token, token) for token in renamed.encode(text, add_special_tokens=False).ids]
        if self._found(ids) != self._found(self._tokenizer.encode(rendered, add_special_tokens=False)):
            raise UserError(
                f"the tokenizer in {self._tokenizer.name_or_path} cannot read the name of a special token as text: "
                f"remove it from the text ({', '.join(sorted(set(self.pattern.findall(text))))})"
            )
        return ids

    def _found(self, ids: list[int]) -> list[int]:
        return [token for token in ids if token in self._ids]

    @cached_property
    def _ids(self) -> set[int]:
        """The ids of the tokens; not the one for unknown words, which any text may have."""
        added = self._tokenizer.added_tokens_decoder.items()
        known = {index for index, token in added if token.content in self._names}
        return known - {self._tokenizer.unk_token_id}

    @cached_property
    def _renamed(self) -> tuple["Tokenizer", dict[int, int]]:
        """The copy of the tokenizer, and the tokenizer's ids by the copy's, where they differ."""
        from tokenizers import Tokenizer

        names = {name: _REAL.format(index) for index, name in enumerate(self._names)}
        copy = Tokenizer.from_str(json.dumps(_renamed(json.loads(self._tokenizer.backend_tokenizer.to_str()), names)))
        vocabulary, added = copy.get_vocab(), self._tokenizer.added_tokens_decoder
        return copy, {vocabulary[names.get(str(token), str(token))]: index for index, token in added.items()}


def _renamed(definition: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """A tokenizer's definition with other names for some tokens, which no text has then; each keeps its id."""
    model = dict(definition["model"])
    if isinstance(model["vocab"], dict):
        model["vocab"] = {names.get(token, token): index for token, index in model["vocab"].items()}
    else:
        model["vocab"] = [[names.get(token, token), score] for token, score in model["vocab"]]
    if model.get("unk_token") in names:
        model["unk_token"] = names[model["unk_token"]]
    if "merges" in model:
        pairs = (merge.split(" ", 1) if isinstance(merge, str) else merge for merge in model["merges"])
        model["merges"] = [[left, right] for left, right in pairs if not {left, right, left + right} & names.keys()]
    added = [
        {**token, "content": names.get(token["content"], token["content"])} for token in definition["added_tokens"]
    ]
    unused = {"truncation": None, "padding": None, "post_processor": None}
    return {**definition, **unused, "model": model, "added_tokens": added}
