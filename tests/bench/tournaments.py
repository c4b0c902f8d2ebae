"""Who judges: a pair preference model that is asked whole rounds of tournaments, or one comparison at a time."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nashflow.components.models.folders import Dtype
from nashflow.components.oracles.base import Oracle, Query, Verdict
from nashflow.components.oracles.engines.base import OracleModel
from nashflow.components.oracles.engines.settings import AnyOracleEngine, TransformersEngine, VllmOracleEngine
from nashflow.components.oracles.engines.vllm_models import VllmLanguageModel
from nashflow.components.oracles.pair_preference.settings import PairPreference
from nashflow.components.oracles.referee import PromptSamples, Rules, Sample
from nashflow.components.oracles.rounds import judge
from nashflow.components.storage.records import Message

RESPONSES = 8
"""To each context; they play a bracket, of 11 comparisons, each in both orders."""


def _contexts(texts: Sequence[str], turn: int) -> list[PromptSamples]:
    """Others in every turn: an engine may keep what it has read."""
    made = []
    for row_id, text in enumerate(texts):
        words = text.split()
        words = words[turn:] + words[:turn]
        text = " ".join(words)
        samples = [Sample(" ".join(words[20 * k : 20 * k + 20]), [k]) for k in range(RESPONSES)]
        made.append(PromptSamples(row_id, [Message(role="user", content=text)], [0], samples))
    return made


class Rounds:
    """Whole rounds of all prompts at once, as the judging step asks them."""

    engine: AnyOracleEngine = TransformersEngine()

    def __init__(self, folder: Path) -> None:
        import torch

        torch.set_num_threads(1)  # as recipes have it
        settings = PairPreference(model=str(folder / "model"), engine=self.engine)
        self.oracle, self._texts, self._turn = settings.load(), json.loads((folder / "contexts.json").read_text()), 0

    def __call__(self) -> int:
        self._turn += 1
        contexts = _contexts(self._texts, self._turn)
        return len(judge(contexts, "bracket", Rules("binary", 0, True), self.oracle).comparisons)


class OneAtATime(Rounds):
    """One comparison after the other, each in both orders."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.oracle = Single(self.oracle)


class RoundsByVllm(Rounds):
    """The same on vLLM."""

    engine = VllmOracleEngine()


class OneAtATimeByVllm(OneAtATime):
    """The same on vLLM, whose prefix cache reads the context once, too."""

    engine = VllmOracleEngine()


class OneAtATimeAnew(OneAtATimeByVllm):
    """The same without the prefix cache: the context is read twice a comparison."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.oracle = Single(PairPreference(model=str(folder / "model"), engine=_Forgetful()).load())


class _Forgetful(VllmOracleEngine):
    def language_model(self, folder: Path, dtype: Dtype, batch_size: int, tokens: Sequence[int]) -> OracleModel:
        return _ForgetfulModel(folder, self, dtype, batch_size, tokens)


class _ForgetfulModel(VllmLanguageModel):
    def _further(self) -> dict[str, Any]:
        return {"enable_prefix_caching": False}


class Single(Oracle):
    """An oracle that asks another about one pair at a time."""

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle

    def judge(self, queries: Sequence[Query]) -> list[Verdict]:
        return [verdict for query in queries for verdict in self._oracle.judge([query])]
