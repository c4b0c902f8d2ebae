"""`nashflow compare` on finished runs of a small recipe, against what their Parquet files say."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import stats

from nashflow.components.storage import layout
from nashflow.components.storage.units import read_manifest
from nashflow.pipelines.compare.compare import compare_runs
from nashflow.pipelines.compare.finding import Wanted
from tests.components.reports.toy_runs import GAME, WON, evaluations, toy_run
from tests.fixtures import cli
from tests.fixtures.runs import SandboxRun, copy_files, recipe

MET = {"win_rate": 0.575, "win_rate_low": 0.45, "win_rate_high": 0.69}
"""The win rate that the toys' comparisons come to."""
ETA, LAST = "method.eta", 1
EVALUATION = f"iterations/{LAST:03d}/evaluation"


@pytest.fixture(scope="module")
def runs(prepared_root: SandboxRun, tmp_path_factory: pytest.TempPathFactory) -> dict[str, SandboxRun]:
    """Runs with two values of η, each with two seeds, all reported on. Not to be written to."""
    made = {}
    for eta, seed in ((0.5, 0), (2.0, 0), (0.5, 1), (2.0, 1)):
        name = f"eta-{10 * eta:.0f}"
        root = str(tmp_path_factory.mktemp("compared") / f"{name}-{seed}")
        run = SandboxRun(root, recipe({"run": {"name": name, "iterations": LAST, "seed": seed}, ETA: eta}))
        copy_files(prepared_root.store, run.store, "policies/000")
        run.step("preparation")
        run.step("evaluation", 0)
        run.iterate(LAST)
        run.step("reporting", LAST)
        made[f"{name}-{seed}"] = run
    return made


def found(*roots: str, metrics: tuple[str, ...] = (), sets: tuple[str, ...] = ()) -> dict[str, Any]:
    """What the command says of run roots, as JSON."""
    options = [part for metric in metrics for part in ("--metric", metric)]
    data: dict[str, Any] = json.loads(cli.here("compare", *roots, *options, *sets, "--json").stdout)
    return data


def refused(*arguments: str, **extra: str) -> str:
    """The one line that the command refuses with."""
    done = cli.here("compare", *arguments, "--json", check=False, **extra)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    line: str = done.stderr.rstrip("\n")
    assert "\n" not in line
    return line


def means(root: str) -> dict[int, float]:
    """The mean probability of each prompt, read from the Parquet file alone."""
    (file,) = Path(root, EVALUATION, "comparisons").glob("*.parquet")
    table = pq.read_table(file).to_pandas()
    grouped = table[~table.abstained].groupby("row_id").probability.mean()
    return {int(row): float(value) for row, value in grouped.items()}


def test_the_numbers_are_those_of_the_records(runs: dict[str, SandboxRun]) -> None:
    one, other = runs["eta-5-0"].root, runs["eta-20-0"].root
    said = found(one, other)["metrics"]["win_rate"]["runs"]
    base, ours = means(one), means(other)
    assert base.keys() == ours.keys()
    assert said["eta-5"]["value"] == pytest.approx(np.mean([*base.values()]), abs=1e-12)
    assert said["eta-20"]["value"] == pytest.approx(np.mean([*ours.values()]), abs=1e-12)
    change = said["eta-20"]["difference"]
    paired = np.array([ours[row] - base[row] for row in base])
    assert change["pairs"] == len(paired) == 32
    assert change["value"] == pytest.approx(paired.mean(), abs=1e-12)
    low, high = change["interval"]
    half = stats.t.ppf(0.975, 31) * paired.std(ddof=1) / np.sqrt(32)
    # The interval is made for means near 0 and 1 too: Student's is near it, not the same.
    assert (low, high) == pytest.approx((paired.mean() - half, paired.mean() + half), abs=0.25 * half)
    assert (change["p"] <= 0.05) == (not low <= 0 <= high)


def test_seconds_gap_and_lengths_are_those_of_the_manifests_and_records(runs: dict[str, SandboxRun]) -> None:
    said = found(runs["eta-5-0"].root, runs["eta-20-0"].root)
    for run in said["runs"]:
        root = Path(run["run_root"])
        seconds = 0.0
        for path in root.glob("iterations/*/*/pairs/*.manifest.json"):
            seconds += json.loads(path.read_text())["seconds"]
        assert run["seconds"]["judging"] == pytest.approx(seconds, abs=0.002)
        assert set(run["gpu_hours"].values()) == {0.0}
        (responses,) = (root / EVALUATION / "rollouts").glob("*.parquet")
        lengths = [len(ids) for ids in pq.read_table(responses)["response_ids"].to_pylist()]
        assert said["metrics"]["mean_length"]["runs"][run["label"]]["value"] == pytest.approx(np.mean(lengths))
        curve = {row["iteration"]: row["duality_gap"] for row in run["iterations"]}
        made = {row["iteration"]: row["duality_gap"] for row in cli.summary(root)["iterations"]}
        assert curve == made


def test_the_margin_is_that_of_the_training(runs: dict[str, SandboxRun]) -> None:
    run = runs["eta-5-0"]
    (first, *_) = found(run.root, runs["eta-20-0"].root)["runs"]
    trained = [read_manifest(run.store, layout.policy(t, "main")) for t in (LAST,)]
    assert [row["training/h"] for row in first["iterations"]][1:] == [made.metrics["h"] for made in trained if made]
    assert first["iterations"][0]["training/h"] is None


def test_only_settings_that_differ_are_shown(runs: dict[str, SandboxRun]) -> None:
    said = found(runs["eta-5-0"].root, runs["eta-20-0"].root)
    assert said["settings"] == {ETA: {"eta-5": "0.5", "eta-20": "2.0"}}
    assert said["baseline"] == "eta-5"


def test_runs_of_several_seeds_are_compared_over_them(runs: dict[str, SandboxRun]) -> None:
    said = found(*(runs[name].root for name in ("eta-5-0", "eta-5-1", "eta-20-0", "eta-20-1")))
    assert [run["label"] for run in said["runs"]] == [
        "eta-5 run.seed=0",
        "eta-5 run.seed=1",
        "eta-20 run.seed=0",
        "eta-20 run.seed=1",
    ]
    gap = said["over_seeds"]["duality_gap"]["recipes"]
    assert [recipe["label"] for recipe in gap] == ["eta-5", "eta-20"]
    last = {name: cli.summary(run.root)["iterations"][-1]["duality_gap"] for name, run in runs.items()}
    assert gap[0]["values"] == [last["eta-5-0"], last["eta-5-1"]]
    known = stats.ttest_rel([last["eta-20-0"], last["eta-20-1"]], gap[0]["values"])
    assert gap[1]["difference"]["pairs"] == 2
    assert gap[1]["difference"]["p"] == pytest.approx(known.pvalue)
    assert gap[1]["difference"]["interval"] == pytest.approx(list(known.confidence_interval()))
    win = said["metrics"]["win_rate"]["runs"]
    assert win["eta-20 run.seed=0"]["difference"]["pairs"] == 32
    assert win["eta-20 run.seed=1"]["difference"]["pairs"] == 0, "other held-out prompts pair with nothing"


def test_labels_tell_runs_apart_by_what_was_trained(tmp_path: Path) -> None:
    """Not by how it was measured; and by the run root where nothing else differs."""
    roots = [str(tmp_path / name) for name in ("a", "b", "c")]
    sections = ({"evaluation": {"every": 1}}, {"method": {"name": "inpo", "eta": 2.0, "tau": 0.1}}, {})
    for root, section in zip(roots, sections, strict=True):
        toy_run(root, evaluations(3, GAME), **section)
        cli.here("report", root)
    labels = [run["label"] for run in found(*roots)["runs"]]
    assert labels == [f"toy method.eta=0.5 ({roots[0]})", "toy method.eta=2.0", f"toy method.eta=0.5 ({roots[2]})"]


def test_the_efficient_policies_are_those_that_none_beats(runs: dict[str, SandboxRun]) -> None:
    (by_kl, by_cost) = found(runs["eta-5-0"].root, runs["eta-20-0"].root)["tradeoffs"]
    assert (by_kl["figure"], by_cost["spent"]) == ("win_rate", "seconds")
    points = [(point["spent"], point["gained"], point["efficient"]) for point in by_kl["points"]]
    assert len(points) == 4
    for spent, gained, efficient in points:
        better = [x <= spent and y >= gained and (x, y) != (spent, gained) for x, y, _ in points]
        assert efficient == (not any(better))


def test_the_baseline_may_be_another_run(runs: dict[str, SandboxRun]) -> None:
    one, other = runs["eta-5-0"].root, runs["eta-20-0"].root
    said = found(one, other, sets=("--baseline", other))
    assert said["baseline"] == "eta-20"
    assert [run["label"] for run in said["runs"]] == ["eta-20", "eta-5"]
    forth = found(one, other)["metrics"]["win_rate"]["runs"]["eta-20"]["difference"]["value"]
    assert said["metrics"]["win_rate"]["runs"]["eta-5"]["difference"]["value"] == pytest.approx(-forth)


def test_a_metric_is_picked_and_one_that_exists_nowhere_is_told_with_its_nearest(runs: dict[str, SandboxRun]) -> None:
    roots = runs["eta-5-0"].root, runs["eta-20-0"].root
    assert list(found(*roots, metrics=("kl", "training/h"))["metrics"]) == ["kl", "training/h"]
    assert "--metric win: no run has such a figure; did you mean" in refused(*roots, "--metric", "win")
    assert "none of these runs has measured it" in refused(*roots, "--metric", "kl_k3")


def test_heads_meet_under_the_oracle_that_they_share(runs: dict[str, SandboxRun]) -> None:
    one, other = runs["eta-5-0"], runs["eta-20-0"]
    (match,) = found(one.root, other.root, sets=("--play",))["matches"]
    (back,) = found(other.root, one.root, sets=("--play",))["matches"]
    assert match["prompts"] == 32
    assert match["win_rate"] == pytest.approx(1 - back["win_rate"])
    world = SandboxWorld(one)
    ours, theirs = (world.said(run) for run in (one, other))
    assert match["win_rate"] == pytest.approx(np.mean([world.won(row, ours[row], theirs[row]) for row in ours]))


class SandboxWorld:
    """The world's own preferences, looked up in its matrix."""

    def __init__(self, run: SandboxRun):
        from nashflow.components.games.sandbox.world import make_world

        self._matrix = make_world(run.recipe.oracle.own_world).matrix  # type: ignore[arg-type]
        (prompts,) = Path(run.root, "iterations/000/prompts").glob("held_out*.parquet")
        rows = pq.read_table(prompts).to_pylist()
        self._context = {row["row_id"]: int(row["messages"][-1]["content"].removeprefix("x")) for row in rows}

    def said(self, run: SandboxRun) -> dict[int, str]:
        """The responses of the last policy, by row."""
        (file,) = Path(run.root, EVALUATION, "rollouts").glob("*.parquet")
        return {row["row_id"]: row["text"] for row in pq.read_table(file).to_pylist()}

    def won(self, row: int, ours: str, theirs: str) -> float:
        """P(ours ≻ theirs); what is no response of the world's loses against one that is."""
        spelt = [f"{one} {two}" for one in "abcde" for two in "abcde"]
        if ours not in spelt or theirs not in spelt:
            return 0.5 if (ours in spelt) == (theirs in spelt) else float(ours in spelt)
        return float(self._matrix[self._context[row], spelt.index(ours), spelt.index(theirs)])


def test_the_page_holds_everything_and_escapes_it(
    runs: dict[str, SandboxRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots = [run.root for run in runs.values()]
    page = tmp_path / "page.html"
    compare_runs(Wanted(roots), [], page)
    text = page.read_text()
    assert not re.search(r"<script|(src|href)=[\"'](?!data:)|@import|url\(", text)
    for said in ("Settings that differ", "Over seeds", "By iteration", "Costs", "Answers to the same prompts"):
        assert f"<h2>{said}</h2>" in text
    assert text.count('<svg class="chart"') >= 8
    assert "prefers-color-scheme: dark" in text
    win = cli.summary(roots[0])["iterations"][-1]["win_rate"]
    assert f"{win:.3f} [" in text


def test_names_are_escaped_on_the_page(runs: dict[str, SandboxRun], tmp_path: Path) -> None:
    copies = []
    for name, run in [*runs.items()][:2]:
        copied = run.copied(str(tmp_path / name))
        text = (Path(copied.root) / "run.json").read_text()
        (Path(copied.root) / "run.json").write_text(text.replace('"name": "eta', '"name": "<b>$x_1$eta'))
        copies.append(copied.root)
    page = tmp_path / "page.html"
    compare_runs(Wanted(copies), [], page)
    assert "<b>$" not in page.read_text()
    assert "&lt;b&gt;$x_1$eta" in page.read_text()


def test_the_terminal_has_the_verdicts(runs: dict[str, SandboxRun], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    out = cli.here("compare", runs["eta-5-0"].root, runs["eta-20-0"].root, "--output", str(page)).stdout
    assert "settings that differ" in out
    assert re.search(r"method.eta\s+0.5\s+2.0", out)
    assert "no interval" in out
    assert f"page     {page}" in out


def test_runs_that_are_measured_otherwise_are_refused_in_one_line(
    runs: dict[str, SandboxRun], prepare: Callable[..., SandboxRun]
) -> None:
    line = refused(runs["eta-5-0"].root, measured(prepare({"evaluation.tau": 0.2})).root)
    assert "eta-5 and small do not compare: evaluation.tau is 0.1 and 0.2" in line


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"oracle": {"kind": "sandbox", "world": {"seed": 1}}, "inputs": {"oracle": "x" * 64}},
         "other oracle (oracle.world.seed is 0 and 1)"),
        ({"questions": ("x0", "x3"), "inputs": {"prompts": "y" * 64}}, "other held-out prompts: 4 and 2, 1 of them"),
        ({"inputs": {"policy": "z" * 64}}, "other policy (under the same settings)"),
    ],
)  # fmt: skip
def test_runs_of_other_tasks_are_refused_in_one_line(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    roots = [str(tmp_path / name) for name in ("one", "other")]
    for root, more in zip(roots, ({}, options), strict=True):
        toy_run(root, evaluations(3, GAME), name=Path(root).name, **more)
        cli.here("report", root)
    line = refused(*roots)
    assert "one and other do not compare: " in line
    assert said in line


def test_fewer_prompts_of_one_source_are_the_same_task_and_do_not_pair(
    runs: dict[str, SandboxRun], prepare: Callable[..., SandboxRun]
) -> None:
    fewer = measured(prepare({"prompts.held_out": 16}))
    change = found(runs["eta-5-0"].root, fewer.root)["metrics"]["win_rate"]["runs"]["small"]["difference"]
    assert change["pairs"] == 0
    assert change["interval"][0] < change["value"] < change["interval"][1]


def measured(run: SandboxRun) -> SandboxRun:
    """A run whose reference alone is measured and reported on."""
    run.step("evaluation", 0)
    cli.here("report", run.root)
    return run


def test_hours_of_accelerators_are_counted_on_all_nodes(tmp_path: Path) -> None:
    roots = [str(tmp_path / name) for name in ("one", "other")]
    for root in roots:
        training = {"launcher": {"kind": "trainjob", "nodes": 2}}
        store = toy_run(root, evaluations(3, GAME), name=Path(root).name, training=training)
        for unit in ("policies/001/main", "iterations/001/main/rollouts/00000"):
            key = f"{unit}.manifest.json"
            made = json.loads(store.read(key)) | {"machine": "8 × NVIDIA H200", "seconds": 3600.0}
            store.write(key, json.dumps(made).encode())
        for key in store.list():
            if key.endswith(".manifest.json") and not (made := json.loads(store.read(key)))["machine"]:
                store.write(key, json.dumps(made | {"machine": "2 × x86_64"}).encode())
        cli.here("report", root)
    for run in found(*roots)["runs"]:
        assert run["gpu_hours"]["training"] == 16.0
        assert run["gpu_hours"]["rollout"] == 8.0
        assert run["gpu_hours"]["evaluation"] == 0.0
    out = cli.here("compare", *roots, "--output", str(tmp_path / "page.html")).stdout
    assert "training GPU h" in out
    assert "GPU hours" in out


def test_run_roots_in_s3_say_the_same(runs: dict[str, SandboxRun], s3_bucket: str) -> None:
    roots = [runs[name].root for name in ("eta-5-0", "eta-20-0")]
    copies = [runs[name].copied(f"{s3_bucket}/{name}").root for name in ("eta-5-0", "eta-20-0")]
    here, there = found(*roots), found(*copies)
    assert [run.pop("run_root") for run in there["runs"]] == copies
    assert [run.pop("run_root") for run in here["runs"]] == roots
    assert here == there


def test_a_benchmark_that_has_measured_otherwise_is_left_out_and_named(tmp_path: Path) -> None:
    roots = [str(tmp_path / name) for name in ("one", "other")]
    for root in roots:
        store = toy_run(root, evaluations(3, [*WON[:2], MET], GAME), name=Path(root).name)
        cli.here("report", root)
    assert found(*roots)["metrics"]["win_rate"]["runs"]["other"]["difference"]["p"] == 1.0
    key = f"{layout.evaluation(2, 'head_to_head')}.manifest.json"
    store.write(key, json.dumps(json.loads(store.read(key)) | {"version": 7}).encode())
    said = found(*roots)
    assert said["notes"] == ["head_to_head is left out: the runs have not been measured alike by it"]
    assert "win_rate" not in said["metrics"]
    assert "duality_gap" in said["metrics"]
    assert "have not been measured alike by head_to_head" in refused(*roots, "--metric", "win_rate")


def test_policies_of_different_iterations_are_pointed_out(tmp_path: Path) -> None:
    for name, count in (("short", 2), ("long", 3)):
        toy_run(tmp_path / name, evaluations(count, GAME), name=name)
        cli.here("report", str(tmp_path / name))
    (note,) = found(str(tmp_path / "short"), str(tmp_path / "long"))["notes"]
    assert note == "The last policies are of different iterations: short 1, long 2"


def test_a_run_without_a_report_says_how_to_get_one(
    runs: dict[str, SandboxRun], finished: SandboxRun, tmp_path: Path
) -> None:
    line = refused(runs["eta-5-0"].root, finished.root)
    assert f"{finished.root}: has no report yet" in line
    cli.here("report", finished.root)
    assert len(found(runs["eta-5-0"].root, finished.root)["runs"]) == 2


def test_a_report_that_its_records_deny_is_refused(runs: dict[str, SandboxRun], tmp_path: Path) -> None:
    one, other = runs["eta-5-0"].root, runs["eta-20-0"].copied(str(tmp_path / "other"))
    for name, data in ((path.name, path.read_bytes()) for path in Path(one, EVALUATION, "comparisons").iterdir()):
        Path(other.root, EVALUATION, "comparisons", name).write_bytes(data)
    manifest = f"{EVALUATION}/head_to_head/00000.manifest.json"
    Path(other.root, manifest).write_bytes(Path(one, manifest).read_bytes())
    assert "and its records say" in refused(one, other.root)


def test_what_is_no_comparison_is_refused(runs: dict[str, SandboxRun]) -> None:
    one = runs["eta-5-0"].root
    assert "one run alone is found" in refused(one)
    assert "one run alone is found" in refused(one, f"{one}/")
    assert "nothing to compare" in refused()
    assert "give a name that ends in .html" in refused(one, runs["eta-20-0"].root, "--output", "page.txt")
