"""Fine-tune two small judges on human preferences: `python tests/real/judges.py --out FOLDER`.

From `tiny-llama-7m-chat` and the comparisons of `hh_rlhf`, which NASHFLOW_MODELS and NASHFLOW_DATA hold, come a pair
preference model, FOLDER/pair_preference, and a Bradley-Terry reward model, FOLDER/reward_model. FOLDER/judges.json says
how often they agree with the humans on comparisons that they were not trained on, and how often the length alone does.
Judges that this script made of the same data and model are kept.
"""

import argparse
import gzip
import json
import os
import random
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nashflow.components.benchmarks.intervals import mean_interval
from nashflow.components.core.digests import digest_json, sha256_file
from nashflow.components.models.dialogues import Dialogues
from nashflow.components.models.folders import load_causal_lm, load_tokenizer, save_policy
from nashflow.components.models.padding import padded
from nashflow.components.oracles import pair_preference
from nashflow.components.oracles.base import Query
from nashflow.components.oracles.settings import ModelOracle, PairPreference, RewardModel
from nashflow.components.storage.records import Message

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

POLICY = "tiny-llama-7m-chat"
COMPARISONS = "hh_rlhf/harmless-base-test.jsonl.gz"
JUDGES: dict[str, type[ModelOracle]] = {"pair_preference": PairPreference, "reward_model": RewardModel}
ROLES = {"Human": "user", "Assistant": "assistant"}
HELD_OUT = 0.2
SEED = 0
BATCH = 16

Ids = list[int]
Sides = tuple[Ids, Ids]
"""What a judge reads of one comparison: the pair in both orders (chosen first, rejected first), or each response."""
Loss = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]


@dataclass(frozen=True)
class Comparison:
    """A dialogue and two answers to it; a human chose one."""

    messages: list[Message]
    chosen: str
    rejected: str


@dataclass(frozen=True)
class Fit:
    """How a judge is trained."""

    learning_rate: float
    epochs: int
    longest: int
    """Comparisons with a longer side, in tokens, are left out of training."""


FITS = {"pair_preference": Fit(3e-4, 2, 384), "reward_model": Fit(2e-4, 1, 384)}


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


def encode(judge: str, tokenizer: "PreTrainedTokenizerBase", comparison: Comparison) -> Sides:
    """The two sides as the judge's oracle reads them."""
    answers, dialogues = (comparison.chosen, comparison.rejected), Dialogues(tokenizer)
    if judge == "pair_preference":
        first, second = (
            pair_preference.encode(dialogues, comparison.messages, *order) for order in (answers, answers[::-1])
        )
        return first, second
    chosen, rejected = (
        dialogues.whole([*comparison.messages, Message(role="assistant", content=answer)]) for answer in answers
    )
    return chosen, rejected


def train(judge: str, folder: Path, examples: Sequence[Sides], fit: Fit) -> "PreTrainedModel":
    """The judge, fine-tuned from the policy in `folder`: AdamW, a linear decay."""
    import torch

    torch.manual_seed(SEED)
    model, score, loss = _start(judge, folder)
    examples = [sides for sides in examples if max(map(len, sides)) <= fit.longest]
    plan = [batch for epoch in range(fit.epochs) for batch in batches(examples, epoch)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=fit.learning_rate)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=len(plan))
    fast = torch.cpu.get_capabilities().get("avx512_bf16", False)
    for batch in plan:
        with torch.autocast("cpu", torch.bfloat16, enabled=fast):
            scores = score([side for sides in batch for side in sides])
        loss(*scores.float().view(-1, 2).T).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    return model


def batches(examples: Sequence[Sides], epoch: int) -> Iterator[list[Sides]]:
    """One pass over the examples in a random order of batches; a batch's examples are of similar length."""
    shuffled = random.Random(epoch).sample(range(len(examples)), len(examples))
    order = sorted(shuffled, key=lambda index: max(map(len, examples[index])))
    starts = list(range(0, len(order), BATCH))
    random.Random(epoch).shuffle(starts)
    for start in starts:
        yield [examples[index] for index in order[start : start + BATCH]]


def _start(judge: str, folder: Path) -> tuple["PreTrainedModel", Callable[[list[Ids]], "torch.Tensor"], Loss]:
    """The untrained judge, the score that it gives each sequence, and the loss of two sides' scores."""
    import torch
    from torch.nn.functional import softplus
    from transformers import AutoModelForSequenceClassification

    if judge == "pair_preference":
        answers = list(pair_preference.answer_tokens(load_tokenizer(folder)))
        model = load_causal_lm(folder).cpu().train()

        def preference(sequences: list[Ids]) -> "torch.Tensor":
            ids, mask = padded(sequences, "left", model.device)
            place = {"attention_mask": mask, "position_ids": (mask.cumsum(-1) - 1).clamp(min=0)}
            logits = model(input_ids=ids, **place, logits_to_keep=1, use_cache=False).logits[:, -1]
            a, b = logits[:, answers].unbind(-1)
            margins: torch.Tensor = a - b
            return margins

        return model, preference, lambda first, second: (softplus(-first) + softplus(second)).mean() / 2
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, dtype=torch.float32)

    def reward(sequences: list[Ids]) -> "torch.Tensor":
        ids, mask = padded(sequences, "right", model.device, model.config.pad_token_id)
        rewards: torch.Tensor = model(input_ids=ids, attention_mask=mask, use_cache=False).logits.squeeze(-1)
        return rewards

    return model, reward, lambda chosen, rejected: softplus(rejected - chosen).mean()


def accuracy(hits: Sequence[float]) -> dict[str, float]:
    """The mean of right (1), undecided (½) and wrong (0) answers, with its 95 % interval."""
    low, high = mean_interval(hits)
    return {"accuracy": sum(hits) / len(hits), "low": float(low), "high": float(high), "n": len(hits)}


def of_judge(oracle: ModelOracle, held_out: Sequence[Comparison]) -> dict[str, float]:
    """How often the oracle itself agrees with the humans."""
    verdicts = oracle.load().compare([Query(each.messages, each.chosen, each.rejected) for each in held_out])
    figures = accuracy([_hit(verdict.probability - 0.5) for verdict in verdicts])
    return {**figures, "abstained": sum(verdict.abstained for verdict in verdicts)}


def of_length(training: Sequence[Comparison], held_out: Sequence[Comparison]) -> dict[str, float]:
    """How often the humans' choice is the longer answer, or the shorter one if that is better in training."""
    longer = sum(_hit(len(each.chosen) - len(each.rejected)) for each in training) / len(training)
    sign = 1 if longer >= 0.5 else -1
    figures = accuracy([_hit(sign * (len(each.chosen) - len(each.rejected))) for each in held_out])
    return {**figures, "longer_wins": sign == 1}


def _hit(margin: float) -> float:
    return 0.5 if margin == 0 else float(margin > 0)


def make(data: Path, models: Path, out: Path) -> dict[str, Any]:
    """Make the judges, unless they are there as they would be made now; what judges.json holds."""
    policy, known = models / POLICY, out / "judges.json"
    training, held_out = split(read_comparisons(data / COMPARISONS))
    tokenizer = load_tokenizer(policy)
    examples = {judge: [encode(judge, tokenizer, each) for each in training] for judge in JUDGES}
    made_from = digest_json([sha256_file(Path(__file__)), PairPreference(model=str(policy)).digest(), examples])
    if known.is_file() and (figures := json.loads(known.read_text()))["made_from"] == made_from:
        return dict(figures)
    figures = {"made_from": made_from, "length": of_length(training, held_out)}
    for judge, oracle in JUDGES.items():
        started = time.monotonic()
        save_policy(train(judge, policy, examples[judge], FITS[judge]), policy, out / judge, "float32")
        seconds = round(time.monotonic() - started, 1)
        figures[judge] = {**of_judge(oracle(model=str(out / judge)), held_out), "seconds": seconds}
    known.write_text(json.dumps(figures, indent=1) + "\n")
    return figures


def main() -> None:
    """Make the judges and say how good they are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the folder that holds the judges")
    out = parser.parse_args().out
    unset = [name for name in ("NASHFLOW_DATA", "NASHFLOW_MODELS") if name not in os.environ]
    if unset:
        sys.exit(f"{unset[0]} is not set: README.md beside this script says what it holds")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin stall each other where cores are shared
    figures = make(Path(os.environ["NASHFLOW_DATA"]), Path(os.environ["NASHFLOW_MODELS"]), out)
    for name in (*JUDGES, "length"):
        each = figures[name]
        interval = f"{each['accuracy']:.3f}, 95 % [{each['low']:.3f}, {each['high']:.3f}], n = {each['n']}"
        print(f"{name:<16} agrees with humans on held-out comparisons: {interval}")


if __name__ == "__main__":
    main()
