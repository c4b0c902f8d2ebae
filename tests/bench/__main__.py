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
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nashflow.components.core.machine import machine

from . import commands, folders, rollout, tournaments
from .contender import Contender, Work


@dataclass(frozen=True)
class Bench:
    """Contenders at one work."""

    name: str
    unit: str
    """What a rate counts, a second."""
    contenders: tuple[type[Work], ...]
    """Ours first."""
    wanted: tuple[float, ...] = ()
    """The least ratios of ours to each of the others."""
    prepare: Callable[[Path], None] = lambda folder: None
    """Writes what they work on into a folder."""
    lacking: Callable[[], str] = lambda: ""
    """Why it cannot run here; empty: it can."""


def lacking_vllm() -> str:
    """Why vLLM cannot run here; empty: it can."""
    return "" if find_spec("vllm") else "vllm is not installed here: make bench"


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
    Bench("plan", "plans", (commands.Plan,)),
    Bench("compile", "graphs", (commands.Compile,)),
)


def run(bench: Bench, rounds: int) -> dict[str, Any]:
    """The rates of all rounds, by contender, and the ratios of ours to the others', by contender."""
    with tempfile.TemporaryDirectory(prefix="nashflow-bench-") as scratch, ExitStack() as stack:
        bench.prepare(Path(scratch))
        running = {work.__name__: stack.enter_context(Contender(work, Path(scratch))) for work in bench.contenders}
        rates: dict[str, list[float]] = {name: [] for name in running}
        for number in range(rounds + 1):
            for name, contender in running.items():
                rate = contender.rate()
                rates[name] += [rate] if number else []
    ours, *others = rates
    ratios = {
        other: [mine / theirs for mine, theirs in zip(rates[ours], rates[other], strict=True)] for other in others
    }
    return {
        "unit": f"{bench.unit}/s",
        "rates": {name: _spread(values) for name, values in rates.items()},
        "ratios": {
            name: {**_spread(values), "wanted": wanted}
            for (name, values), wanted in zip(ratios.items(), bench.wanted, strict=True)
        },
    }


def _spread(values: list[float]) -> dict[str, Any]:
    return {"median": statistics.median(values), "low": min(values), "high": max(values), "rounds": values}


def _lines(name: str, found: dict[str, Any]) -> Iterator[str]:
    for contender, rates in found["rates"].items():
        yield f"{name:16} {contender:14} {_shown(rates)} {found['unit']}"
    for other, ratios in found["ratios"].items():
        yield f"{name:16} {'/ ' + other:14} {_shown(ratios)} (at least {ratios['wanted']})"


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
            print(f"{bench.name:16} left out: {why}", flush=True)
            continue
        results[bench.name] = run(bench, options.rounds)
        print(*_lines(bench.name, results[bench.name]), sep="\n", flush=True)
    made = {"machine": machine(), "python": sys.version, "versions": dict(sorted(versions.items())), "benches": results}
    options.output.write_text(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    main()
