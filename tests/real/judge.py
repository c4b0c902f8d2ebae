"""A reward model fine-tuned on human preferences: `python -m tests.real.judge MODEL FOLDER`.

It is made of the lower layers of the language model in the folder MODEL, with the comparisons of `hh_rlhf` that
NASHFLOW_DATA holds. Of a dialogue, it reads the last question and the answer. FOLDER/figures.json says how often it
agrees with the humans on comparisons that it was not trained on, and how often the baseline does, for which the longer
answer wins. A judge that this script made of the same model and comparisons is kept.
"""

import argparse
import gzip
import json
import os
import random
import re
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nashflow.components.benchmarks.intervals import mean_interval
from nashflow.components.core.digests import sha256_file
from nashflow.components.models.dialogues import Dialogues
from nashflow.components.models.folders import load_tokenizer, save_policy
from nashflow.components.models.padding import padded
from nashflow.components.oracles.base import Query
from nashflow.components.oracles.reward_model.settings import RewardModel
from nashflow.components.storage.records import Message

if TYPE_CHECKING:
    from transformers import PreTrainedModel

COMPARISONS = "hh_rlhf/harmless-base-test.jsonl.gz"
ROLES = {"Human": "user", "Assistant": "assistant"}
HELD_OUT = 0.2
SEED = 0
LAYERS = 6
LEARNING_RATE = 1e-4
LONGEST = 160
"""Comparisons with a longer side, in tokens, are left out of training."""
BATCH = 16

Ids = list[int]


@dataclass(frozen=True)
class Comparison:
    """A dialogue and two answers to its last message; a human chose one."""

    messages: list[Message]
    chosen: str
    rejected: str

    @property
    def question(self) -> list[Message]:
        """The last message."""
        return self.messages[-1:]


def parse(dialogue: str) -> list[Message]:
    """The turns of `\\n\\nHuman: …\\n\\nAssistant: …`."""
    _, *turns = re.split(r"\n\n(Human|Assistant):", dialogue)
    return [{"role": ROLES[who], "content": text.strip()} for who, text in zip(turns[::2], turns[1::2], strict=True)]


def read_comparisons(path: Path) -> list[Comparison]:
    """The file's comparisons, but for the few whose two sides answer different dialogues."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        pairs = [tuple(parse(json.loads(line)[side]) for side in ("chosen", "rejected")) for line in lines]
    return [
        Comparison(chosen[:-1], chosen[-1]["content"], rejected[-1]["content"])
        for chosen, rejected in pairs
        if chosen[:-1] == rejected[:-1]
    ]


def split(comparisons: Sequence[Comparison], seed: int = SEED) -> tuple[list[Comparison], list[Comparison]]:
    """Training and held-out comparisons. Dialogues that open alike, and may go on alike, are on the same side."""
    openings = sorted({comparison.messages[0]["content"] for comparison in comparisons})
    held_out = set(random.Random(seed).sample(openings, round(HELD_OUT * len(openings))))
    sides: tuple[list[Comparison], list[Comparison]] = ([], [])
    for comparison in comparisons:
        sides[comparison.messages[0]["content"] in held_out].append(comparison)
    return sides


def encode(dialogues: Dialogues, comparison: Comparison) -> list[Ids]:
    """The chosen and the rejected answer, each after the question, as the oracle reads them."""
    return [
        dialogues.whole([*comparison.question, {"role": "assistant", "content": answer}])
        for answer in (comparison.chosen, comparison.rejected)
    ]


def train(folder: Path, examples: Sequence[list[Ids]]) -> "PreTrainedModel":
    """The judge: the Bradley-Terry loss, AdamW, one epoch, a linear decay after a tenth of it."""
    import torch
    from torch.nn.functional import softplus
    from torch.optim.lr_scheduler import LambdaLR
    from transformers import AutoModelForSequenceClassification
    from transformers.utils import logging

    logging.set_verbosity_error()  # of the upper layers, which are left out
    torch.manual_seed(SEED)
    model: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=1, num_hidden_layers=LAYERS, dtype=torch.float32
    )
    plan = list(batches([sides for sides in examples if max(map(len, sides)) <= LONGEST]))
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    schedule = LambdaLR(optimizer, lambda step: min((step + 1) / (0.1 * len(plan)), 1 - step / len(plan)))
    fast = torch.cpu.get_capabilities().get("avx512_bf16", False)
    for number, batch in enumerate(plan, 1):
        ids, mask = padded([ids for sides in batch for ids in sides], "right", model.device, model.config.pad_token_id)
        with torch.autocast("cpu", torch.bfloat16, enabled=fast):
            rewards = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        chosen, rejected = rewards.float().view(-1, 2).T
        loss = softplus(rejected - chosen).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        if number % 10 == 0:
            print(f"judge: {number}/{len(plan)} updates, loss {loss.item():.3f}", flush=True)
    return model


def batches(examples: Sequence[list[Ids]]) -> Iterator[list[list[Ids]]]:
    """The examples in a random order of batches; a batch's examples are of similar length."""
    order = sorted(range(len(examples)), key=lambda index: max(map(len, examples[index])))
    starts = list(range(0, len(order), BATCH))
    random.Random(SEED).shuffle(starts)
    for start in starts:
        yield [examples[index] for index in order[start : start + BATCH]]


def accuracy(hits: Sequence[float]) -> dict[str, float]:
    """The mean of right (1), undecided (½) and wrong (0) answers, with its 95 % interval."""
    low, high = mean_interval(hits)
    return {"accuracy": sum(hits) / len(hits), "low": float(low), "high": float(high), "n": len(hits)}


def of_judge(folder: Path, held_out: Sequence[Comparison]) -> dict[str, float]:
    """How often the oracle in the folder agrees with the humans."""
    oracle = RewardModel(model=str(folder)).load()
    verdicts = oracle.compare([Query(each.question, each.chosen, each.rejected) for each in held_out])
    return accuracy([_hit(verdict.probability - 0.5) for verdict in verdicts])


def of_length(held_out: Sequence[Comparison]) -> dict[str, float]:
    """How often the humans chose the longer answer, in characters."""
    return accuracy([_hit(len(each.chosen) - len(each.rejected)) for each in held_out])


def _hit(margin: float) -> float:
    return 0.5 if margin == 0 else float(margin > 0)


def make(data: Path, source: Path, folder: Path) -> dict[str, Any]:
    """Make the judge, unless it is there as it would be made now; what figures.json holds."""
    known = folder / "figures.json"
    made_from = {"script": sha256_file(Path(__file__)), "comparisons": sha256_file(data / COMPARISONS)}
    made_from["model"] = RewardModel(model=str(source)).digest()
    if known.is_file() and (figures := json.loads(known.read_text()))["made_from"] == made_from:
        return dict(figures)
    training, held_out = split(read_comparisons(data / COMPARISONS))
    dialogues, started = Dialogues(load_tokenizer(source)), time.monotonic()
    save_policy(train(source, [encode(dialogues, each) for each in training]), source, folder, "float32")
    figures = {"made_from": made_from, "judge": of_judge(folder, held_out), "longer answer": of_length(held_out)}
    known.write_text(json.dumps({**figures, "seconds": round(time.monotonic() - started)}, indent=1) + "\n")
    return figures


def main() -> None:
    """Make the judge and say how good it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a language model's folder")
    parser.add_argument("folder", type=Path, help="the folder that will hold the judge")
    given = parser.parse_args()
    if "NASHFLOW_DATA" not in os.environ:
        sys.exit("NASHFLOW_DATA is not set: README.md beside this script says what it holds")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin stall each other where cores are shared
    figures = make(Path(os.environ["NASHFLOW_DATA"]), given.model, given.folder)
    for name in ("judge", "longer answer"):
        each = figures[name]
        interval = f"{each['accuracy']:.3f}, 95 % [{each['low']:.3f}, {each['high']:.3f}], n = {each['n']}"
        print(f"the {name:<13} agrees with the humans on held-out comparisons: {interval}")


if __name__ == "__main__":
    main()
