"""How a policy is sampled: the recipe's `rollout` section."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from ..core.settings import SHAPES_GRAPH, Settings
from ..methods.phases import Phase
from ..models.folders import Dtype
from .engines import AnySamplingEngine, Transformers


class Thinking(Settings):
    """How the thoughts of a response are told from its answer."""

    close: str = Field(min_length=1)
    """The text that ends the thoughts. The policy is trained on the whole response. Judges, lengths and reports get
    what follows this text, without blanks at its beginning. A response that never comes to it counts as unfinished,
    like one that is cut at max_new_tokens, and its answer is empty."""

    def answer(self, text: str) -> str | None:
        """The answer in a response's text; None if its thoughts do not end."""
        _, found, answer = text.partition(self.close)
        return answer.lstrip() if found else None


class GenerationSettings(Settings):
    """The recipe's `rollout` section: how a policy is sampled."""

    engine: Annotated[AnySamplingEngine, SHAPES_GRAPH] = Transformers()
    """The engine that generates responses."""
    dtype: Dtype = "float32"
    """Precision of the sampling policy. In float64, sampled tokens do not depend on the batch; in float32 about one in
    ten thousand does, because of rounding."""
    top_p: float = Field(1.0, gt=0.0, le=1.0)
    """Nucleus sampling; 1 samples the policy itself, as the theory assumes."""
    max_new_tokens: int = Field(512, ge=1)
    """Longest response in tokens, including its EOS."""
    batch_size: int = Field(64, ge=1)
    """Sequences generated together."""
    stop: tuple[Annotated[str, Field(min_length=1)] | Annotated[int, Field(ge=0)], ...] = ()
    """What ends a response, besides the model's own tokens for it (of its generation settings, configuration, tokenizer
    and chat template): texts, or tokens by name or id."""
    thinking: Thinking | None = None
    """For policies that think before they answer: `{close: "</think>"}`."""

    def otherwise(self, phases: Iterable[Phase]) -> str:
        """What to say where the responses that the phases train on are no samples of the policy itself; else empty."""
        pairs = [sampling for phase in phases for sampling in phase.samples if sampling.role == "pair"]
        other = sorted({sampling.temperature for sampling in pairs if sampling.temperature != 1})
        said = [f"temperature {temperature:g}" for temperature in other]
        said += [f"top_p {self.top_p:g}"] if self.top_p < 1 else []
        said += ["a KV cache in fp8"] if not self.engine.exact else []
        if not said:
            return ""
        return f"responses are sampled with {' and '.join(said)}: they are not π_t's own, which the theory assumes"
