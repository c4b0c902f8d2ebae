"""Generation by transformers, on CPU or one GPU."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..models.dialogues import Dialogues
from ..models.folders import Dtype, Load, load_causal_lm, load_tokenizer
from ..models.padding import padded
from ..models.positions import require_room
from .mixture import GeometricMixture
from .processors import FiniteLogits, processors
from .sampler import Sampled
from .stop import Stop


class TransformersSampler:
    """A policy opened for sampling with `model.generate`: KV cache, left padding and EOS are transformers'.

    Several policies, which share a tokenizer, are sampled as their token-level geometric mixture.
    """

    def __init__(self, policies: Mapping[Path, float], dtype: Dtype = "float32", load: Load = load_causal_lm):
        """Folders and their weights, which sum to one. Raises UserError as `check_model_folder`."""
        (folder, self._weight), *others = policies.items()
        self.model: Any = load(folder, dtype)
        self._others = [(load(other, dtype), weight) for other, weight in others]
        self.tokenizer = load_tokenizer(folder)

    def sample(
        self,
        prompts: Sequence[Sequence[int]],
        seeds: Sequence[int],
        *,
        temperature: float,
        top_p: float,
        max_new_tokens: int,
        batch_size: int,
        stop: Stop | None = None,
    ) -> Iterator[list[tuple[int, Sampled]]]:
        """As `Sampler.sample`; temperature 0 is greedy.

        Raises:
            UserError: a prompt and its response do not fit the model's positions (before anything is sampled).
            ValueError: not one seed for each prompt.
        """
        if len(prompts) != len(seeds):
            raise ValueError(f"{len(prompts)} prompts and {len(seeds)} seeds: each row needs its own")
        require_room(self.model.config, prompts, max_new_tokens)
        ends = stop or Stop.of(Dialogues(self.tokenizer), ())

        def micro_batch(start: int) -> list[tuple[int, Sampled]]:
            rows = slice(start, start + batch_size)
            found = self._generate(prompts[rows], seeds[rows], temperature, top_p, max_new_tokens, ends)
            return list(enumerate(found, start))

        return map(micro_batch, range(0, len(prompts), batch_size))

    def close(self) -> None:
        """Nothing to release: Python frees the models with their last reference."""

    def _generate(
        self,
        prompts: Sequence[Sequence[int]],
        seeds: Sequence[int],
        temperature: float,
        top_p: float,
        max_tokens: int,
        stop: Stop,
    ) -> list[Sampled]:
        ids, mask = padded(prompts, "left", self.model.device)
        width = ids.shape[1]
        chain = processors(seeds, width, temperature=temperature, top_p=top_p, max_new_tokens=max_tokens)
        if self._others:
            chain.insert(0, GeometricMixture(self._weight, self._others, prompts, mask))
        chain.insert(0, FiniteLogits(self.model, prompts))
        output = self.model.generate(
            input_ids=ids,
            attention_mask=mask,
            do_sample=False,
            max_new_tokens=max_tokens,
            eos_token_id=list(stop.ids),
            pad_token_id=stop.ids[0],
            logits_processor=chain,
            stopping_criteria=self._texts_met(stop, width),
        )
        return [stop.response(self.tokenizer, row) for row in output[:, width:].tolist()]

    def _texts_met(self, stop: Stop, width: int) -> Any:
        """Transformers' criterion for the rows whose response, after `width` tokens of prompt, holds a stop text."""
        import torch
        from transformers import StoppingCriteriaList

        def met(ids: torch.Tensor, scores: object) -> torch.Tensor:
            return torch.tensor(stop.texts_met(self.tokenizer, ids[:, width:]), device=ids.device)

        return StoppingCriteriaList([met] if stop.texts else [])
