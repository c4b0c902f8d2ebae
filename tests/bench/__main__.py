"""`make bench`: rates of what takes the hours, beside those of others at the same work; a table, and bench.json.

Contenders take turns, each in a process of its own, after one round that is not counted; a ratio is that of one round.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib.metadata import distributions
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path
from typing import Any

from nashflow.components.core.machine import machine

from . import caching, commands, folders, preferences, rollout, scaling, tournaments, training, trl
from .contender import Contender, Round, Work


@dataclass(frozen=True)
class Bench:
    """Contenders at one work."""

    name: str
    unit: str
    """What a rate counts, a second."""
    contenders: tuple[type[Work], ...]
    """Ours first."""
    wanted: tuple[float, ...] = ()
    """The least ratios of ours to each of the others; empty: none is wanted."""
    prepare: Callable[[Path], None] = lambda folder: None
    """Writes what they work on into a folder."""
    lacking: Callable[[], str] = lambda: ""
    """Why it cannot run here; empty: it can."""
    memory: tuple[float, ...] = ()
    """The most that ours may hold of the memory of each of the others."""


def lacking_vllm() -> str:
    """Why vLLM cannot run here; empty: it can."""
    return "" if find_spec("vllm") else "vllm is not installed here: make bench"


def lacking_deepspeed() -> str:
    """Why DeepSpeed cannot run here; empty: it can."""
    return "" if find_spec("deepspeed") else "deepspeed is not installed here: make bench"


def lacking_gpu() -> str:
    """Why models of billions of parameters cannot be trained here; empty: they can."""
    import torch

    return lacking_trl() or lacking_deepspeed() if torch.cuda.is_available() else "there is no GPU here"


def lacking_trl() -> str:
    """Why TRL cannot run here; empty: it can."""
    return "" if find_spec("trl") else "trl is not installed here: make bench"


SAMPLERS: tuple[type[Work], ...] = (rollout.Ours, rollout.VllmAlone, rollout.Transformers)
BENCHES = (
    Bench("rollout", "tokens", SAMPLERS, (0.9, 2.0), folders.toy, lacking_vllm),
    Bench(
        "rollout-smollm2",
        "tokens",
        SAMPLERS,
        (0.9, 2.0),
        folders.smollm2,
        lambda: lacking_vllm() or folders.lacking_smollm2(),
    ),
    Bench("judging", "comparisons", (tournaments.Rounds, tournaments.OneAtATime), (1.8,), folders.toy),
    Bench(
        "judging-vllm",
        "comparisons",
        (tournaments.RoundsByVllm, tournaments.OneAtATimeAnew, tournaments.OneAtATimeByVllm),
        (1.8, 1.0),
        folders.toy,
        lacking_vllm,
    ),
    Bench(
        "training",
        "tokens",
        (training.Shared, trl.Trl),
        (4.0,),
        preferences.random_llama,
        lacking_trl,
        memory=(0.45,),
    ),
    Bench(
        "training-bf16",
        "tokens",
        (training.SharedBf16, trl.TrlBf16),
        (5.0,),
        preferences.random_llama,
        lambda: lacking_trl() or lacking_deepspeed(),
        memory=(0.45,),
    ),
    Bench(
        "training-1b",
        "tokens",
        (training.SharedBf16, trl.TrlBf16),
        prepare=partial(preferences.random_llama, shape=preferences.LLAMA_1B, **preferences.LONG),
        lacking=lacking_gpu,
    ),
    Bench(
        "training-8b-lora",
        "tokens",
        (training.SharedLora, trl.TrlLora),
        prepare=partial(preferences.random_llama, shape=preferences.LLAMA_8B, **preferences.LONG),
        lacking=lacking_gpu,
    ),
    Bench(
        "ingredients",
        "tokens",
        (training.Shared, training.Packed, training.Padded, training.ResponseLogits, training.AllLogits),
        prepare=preferences.random_llama,
    ),
    Bench(
        "training-smollm2",
        "tokens",
        (training.Shared, trl.Trl),
        (3.0,),
        preferences.smollm2,
        lambda: lacking_trl() or folders.lacking_smollm2(),
    ),
    *(
        Bench(f"scaling-{name}", "tokens", sizes)
        for name, sizes in {
            "vocabulary": (scaling.Vocabulary8k, scaling.Vocabulary32k, scaling.Vocabulary128k),
            "length": (scaling.Length256, scaling.Length1024, scaling.Length4096),
            "pairs": (scaling.Pairs4, scaling.Pairs16, scaling.Pairs64),
        }.items()
    ),
    Bench("logprobs-equal", "tokens", (caching.Ours, caching.AllLogits), (1.6,), caching.equal),
    Bench("logprobs-varied", "tokens", (caching.Ours, caching.AllLogits), (2.5,), caching.varied),
    Bench("plan", "plans", (commands.Plan,)),
    Bench("compile", "graphs", (commands.Compile,)),
)


def run(bench: Bench, rounds: int) -> dict[str, Any]:
    """The rates of all rounds, by contender, and the ratios of ours to the others', by contender."""
    with tempfile.TemporaryDirectory(prefix="nashflow-bench-") as scratch, ExitStack() as stack:
        bench.prepare(Path(scratch))
        running = {work.__name__: stack.enter_context(Contender(work, Path(scratch))) for work in bench.contenders}
        found: dict[str, list[Round]] = {name: [] for name in running}
        for number in range(rounds + 1):
            for name, contender in running.items():
                done = contender.round()
                found[name] += [done] if number else []
    ours, *others = found
    rates = {name: [each.rate for each in done] for name, done in found.items()}
    peaks = {name: done[-1].peak_gib for name, done in found.items()}
    return {
        "unit": f"{bench.unit}/s",
        "rates": {name: _spread(values) for name, values in rates.items()},
        "peak_gib": peaks,
        "figures": {name: done[-1].figures for name, done in found.items() if done[-1].figures},
        "ratios": {
            other: {
                **_spread([mine / theirs for mine, theirs in zip(rates[ours], rates[other], strict=True)]),
                **({"wanted": wanted} if wanted else {}),
                "memory": peaks[ours] / peaks[other],
                **({"memory_wanted": most} if most else {}),
            }
            for other, wanted, most in zip_longest(others, bench.wanted, bench.memory)
        },
    }


def _spread(values: list[float]) -> dict[str, Any]:
    return {"median": statistics.median(values), "low": min(values), "high": max(values), "rounds": values}


def _lines(name: str, found: dict[str, Any]) -> Iterator[str]:
    for contender, rates in found["rates"].items():
        figures = found["figures"].get(contender, {})
        told = [f"{found['peak_gib'][contender]:.2f} GiB", *(f"{key} {value:.3g}" for key, value in figures.items())]
        yield f"{name:18} {contender:16} {_shown(rates)} {found['unit']}, {', '.join(told)}"
    for other, ratios in found["ratios"].items():
        least = f" (at least {ratios['wanted']})" if "wanted" in ratios else ""
        most = f" (at most {ratios['memory_wanted']})" if "memory_wanted" in ratios else ""
        yield f"{name:18} {'/ ' + other:16} {_shown(ratios)}{least}, memory {ratios['memory']:.2f}{most}"


def _shown(spread: dict[str, Any]) -> str:
    return f"{spread['median']:10.4g} [{spread['low']:.4g}, {spread['high']:.4g}]"


def main() -> None:
    """Run the benches."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="BENCH", help=f"of {', '.join(bench.name for bench in BENCHES)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path("bench.json"))
    options = parser.parse_args()
    versions = {each.metadata["Name"].lower(): each.version for each in distributions()}
    results: dict[str, Any] = {}
    for bench in BENCHES:
        if options.names and bench.name not in options.names:
            continue
        if why := bench.lacking():
            print(f"{bench.name:18} left out: {why}", flush=True)
            continue
        results[bench.name] = run(bench, options.rounds)
        print(*_lines(bench.name, results[bench.name]), sep="\n", flush=True)
    made = {"machine": machine(), "python": sys.version, "versions": dict(sorted(versions.items())), "benches": results}
    options.output.write_text(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    main()
