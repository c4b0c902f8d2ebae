"""Oracles and tournaments without a run."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple, TypedDict

import pyarrow as pa

from nashflow.components.core.errors import UserError
from nashflow.components.core.settings import Settings, nearest
from nashflow.components.methods.phases import Comparisons, Labels
from nashflow.components.methods.tournament import TOURNAMENTS
from nashflow.components.oracles.base import Oracle
from nashflow.components.oracles.oracle_settings import OracleSettings
from nashflow.components.oracles.referee import PromptSamples, Rules, Sample
from nashflow.components.oracles.rounds import judge
from nashflow.components.oracles.settings import AnyOracle
from nashflow.components.storage import records
from nashflow.components.storage.records import Message
from nashflow.components.storage.store import Store

from .joined import with_messages, with_texts

_TOKENS = ["prompt_ids", "chosen_ids", "rejected_ids"]


class _Answer(TypedDict):
    row_id: int
    sample: records.Int32
    text: str


_ANSWERS = records.Record("answers", _Answer)


class _Asked(Settings):
    oracle: AnyOracle


def open_oracle(settings: Mapping[str, Any], day: str = "", run_root: Store | None = None) -> Oracle:
    """The oracle that a recipe's section `oracle` describes, such as `{"kind": "reward_model", "model": folder}`.

    `day` is the ISO date that its chat template writes, if it does; empty: today's. Under `run_root` are the verdicts
    that it has given before, where it keeps them.

    Raises:
        UserError: there is no such oracle, or the folder holds none.
    """
    oracle = oracle_settings(settings)
    oracle.check()
    return oracle.dated(day or date.today().isoformat()).load(run_root)


def oracle_settings(settings: Mapping[str, Any]) -> OracleSettings:
    """The settings in a recipe's section `oracle`.

    Raises:
        UserError: there is no such oracle, or a wrong setting.
    """
    return _Asked.parse({"oracle": settings}, "open_oracle").oracle


class Played(NamedTuple):
    """The result of tournaments: all comparisons and the training pairs, as tables like those of a run."""

    comparisons: pa.Table
    pairs: pa.Table


def play(
    oracle: Oracle,
    dialogues: Sequence[Sequence[Message]],
    responses: Sequence[Sequence[str]],
    comparisons: Comparisons = "bracket",
    labels: Labels = "binary",
    seed: int = 0,
    margin: float = 0.0,
    seeding: Oracle | None = None,
    signature: str = "",
) -> Played:
    """Play a tournament among the responses to each dialogue, by the rules that a method's settings have.

    `row_id` numbers the dialogues, `first`, `second`, `chosen` and `rejected` the responses to one. `seed` is of the
    coins that are the sampled labels; pairs with |2p − 1| below `margin` are dropped, and so are those of one text.
    `seeding` is the cheap oracle that ranks the responses for `seeded`. `signature`, in the column `oracle` of the
    comparisons, says which oracle it was; that of a run is `RunRoot.signature`.

    Raises:
        UserError: the numbers of dialogues and of lists of responses differ, there is no such tournament, or `seeding`
            is missing or not for it.
        ValueError: a tournament cannot be played among so many.
    """
    if len(dialogues) != len(responses):
        raise UserError(f"{len(dialogues)} dialogues, but {len(responses)} lists of responses: give one for each")
    if comparisons not in TOURNAMENTS:
        raise UserError(f"comparisons {comparisons!r}: unknown{nearest(comparisons, TOURNAMENTS)}")
    if (seeding is not None) != (comparisons == "seeded"):
        raise UserError(f"comparisons {comparisons!r} with seeding {seeding!r}: seeded takes a seeding, and it alone")
    games = [
        PromptSamples(row_id, messages, [], [Sample(text, []) for text in texts])
        for row_id, (messages, texts) in enumerate(zip(dialogues, responses, strict=True))
    ]
    rules = Rules(labels, seed, drop_identical=True, margin=margin)
    judged = judge(games, comparisons, rules, oracle, signature, seeding)
    prompts = [{"row_id": game.row_id, "messages": game.messages, "given": []} for game in games]
    answers = [
        {"row_id": game.row_id, "sample": number, "text": sample.text}
        for game in games
        for number, sample in enumerate(game.samples)
    ]
    asked, said = records.table(prompts, records.PROMPTS), records.table(answers, _ANSWERS)
    met = with_messages(records.table(judged.comparisons, records.COMPARISONS), asked)
    made = with_messages(records.table(judged.pairs, records.PAIRS), asked)
    return Played(
        with_texts(met, said, ("first", "second")),
        with_texts(made.drop_columns(_TOKENS), said, ("chosen", "rejected")),
    )
