import itertools
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nashflow.components.core.digests import sha256_bytes
from nashflow.components.core.errors import UserError
from nashflow.components.reports.figure import draw
from nashflow.components.reports.reported import read_reported
from nashflow.components.storage import layout
from nashflow.components.storage.store import Store, open_store
from nashflow.components.storage.units import File, Unit, require_manifest
from nashflow.pipelines.report import print_table, report_runs
from nashflow.pipelines.terminal import terminal
from tests.components.reports.toy_runs import GAME, WON, evaluations, forget_evaluation, toy_run

PROMPTS = {"path": "", "per_iteration": 4, "held_out": 4, "shards": 1}
PNG = b"\x89PNG"


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def one_run(tmp_path: Path, name: str = "toy", **options: Any) -> Store:
    return toy_run(tmp_path / name, evaluations(3, WON, GAME), name=name, **options)


def rows(out: str) -> list[list[str]]:
    """The cells of the lines that begin with an iteration's number."""
    return [re.split(r"\s{2,}", line.strip()) for line in out.splitlines() if re.match(r"\s*\d+\s", line)]


def printed(store: Store, width: int, capsys: pytest.CaptureFixture[str]) -> str:
    report_runs([store.uri], None)
    capsys.readouterr()
    print_table(json.loads(store.read(layout.SUMMARY)), store, terminal(width))
    return capsys.readouterr().out


def test_a_wide_terminal_gets_one_table_with_a_row_for_each_iteration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = printed(one_run(tmp_path), 200, capsys)
    assert "toy: inpo, seed 7" in out
    work = ["1.5", "0.2", "0.5", "4.0", "2.0"]
    assert rows(out) == [
        ["0", "0.500 [0.470, 0.530]", "2.0", "0.1100", "0.1100", "0.000", "–", "–", "–", "–", "–", "–", "2.0"],
        ["1", "0.540 [0.510, 0.570]", "3.0", "0.0800", "0.0750", "0.020", "11", "22", *work],
        ["2", "0.560 [0.530, 0.590]", "4.0", "0.0600", "0.0500", "0.050", "21", "42", *work],
    ]


def test_a_terminal_of_eighty_columns_gets_two_tables_that_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = one_run(tmp_path)
    out = printed(store, 80, capsys)
    table = out.partition("figure ")[0]
    assert max(len(line) for line in table.splitlines()) <= 80
    assert "…" not in table
    assert [row[0] for row in rows(out)] == ["0", "1", "2"] * 2
    assert rows(out)[5] == ["2", "1.5", "0.2", "0.5", "4.0", "2.0"]
    assert "win rate [95 %]" in table


def test_figures_that_do_not_fit_on_one_line_go_on_below_with_their_iterations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = [row | {"mass_outside": 0.01, "duality_gap_own": 0.3} for row in evaluations(3, WON, GAME)]
    out = printed(toy_run(tmp_path, figures), 80, capsys)
    table = out.partition("win rate: ")[0]
    assert max(len(line) for line in table.splitlines()) <= 80
    assert "…" not in table
    assert [row[0] for row in rows(out)] == ["0", "1", "2"] * 2
    assert rows(out)[5] == ["2", "21", "42", "1.5", "0.2", "0.5", "4.0", "2.0"]


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_places_of_the_report_can_be_copied(tmp_path: Path, width: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Not broken at the terminal's edge, and `[…]` in a folder's name is no markup."""
    store = one_run(tmp_path / ("[bold]" + "x" * 60))
    lines = printed(store, width, capsys).splitlines()
    places = dict(line.split(maxsplit=1) for line in lines if line.startswith(("figure ", "report ", "summary ")))
    assert places == {
        "figure": f"{store.uri}/report/figure.png",
        "report": f"{store.uri}/report/report.html",
        "summary": f"{store.uri}/report/summary.json",
    }
    assert all(Path(place).is_file() for place in places.values())


@pytest.mark.usefixtures("wide")
def test_a_text_run_has_no_columns_of_the_game(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = toy_run(tmp_path, evaluations(2, WON))
    report_runs([store.uri], None)
    out = capsys.readouterr().out
    (headings,) = [line for line in out.splitlines() if "win rate [95 %]" in line]
    assert re.split(r"\s{2,}", headings.strip())[:6] == ["t", "win rate [95 %]", "length", "KL", "pairs", "compared"]
    assert [row[2:4] for row in rows(out)] == [["2.0", "0.000"], ["3.0", "0.100"]]


@pytest.mark.usefixtures("wide")
def test_beside_a_run_with_a_game_a_text_run_shows_dashes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stores = [one_run(tmp_path, "game"), toy_run(tmp_path / "text", evaluations(2, WON), name="text")]
    report_runs([store.uri for store in stores], None)
    assert table_of(capsys.readouterr().out, "win rate [95 %]")["text"][3:] == [
        *("3.0", "–", "–", "0.100", "–", "–"),
        *("22", "33", "10"),
    ]


@pytest.mark.usefixtures("wide")
def test_an_unfinished_run_is_reported_as_far_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = one_run(tmp_path)
    store.delete(f"{layout.policy(2, 'main')}.manifest.json")
    report_runs([store.uri], None)
    assert [row[0] for row in rows(capsys.readouterr().out)] == ["0", "1"]
    assert len(json.loads(store.read(layout.SUMMARY))["iterations"]) == 2


def test_the_report_of_one_run_is_made_anew_whatever_is_there(tmp_path: Path) -> None:
    store = one_run(tmp_path)
    report_runs([store.uri], None)
    names = ("report/figure.png", "report/report.html", "report/summary.json")
    before = [store.read(name) for name in names]
    store.delete(names[0])
    store.write(names[1], b"damaged")
    report_runs([store.uri], None)
    assert [store.read(name) for name in names] == before


def test_one_runs_figure_also_goes_where_it_is_wanted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, wanted = one_run(tmp_path), tmp_path / "docs" / "one.png"
    report_runs([store.uri], wanted)
    assert wanted.read_bytes() == store.read("report/figure.png")
    assert str(wanted) in capsys.readouterr().out


def table_of(out: str, heading: str) -> dict[str, list[str]]:
    """The cells of a table of the comparison by the first one in its row; `heading` is one of its columns."""
    lines = out.partition("the runs after their last iteration")[2].splitlines()
    after = lines[next(number for number, line in enumerate(lines) if heading in line) + 2 :]
    found = [re.split(r"\s{2,}", line.strip()) for line in itertools.takewhile(str.strip, after)]
    return {first: rest for first, *rest in found}


@pytest.mark.usefixtures("wide")
def test_several_runs_share_one_table_and_one_figure_after_a_table_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    method = {"name": "iterative_dpo", "beta": 0.5}
    stores = [one_run(tmp_path, "inpo"), one_run(tmp_path, "dpo", method=method, shards=2), one_run(tmp_path, "third")]
    report_runs([store.uri for store in stores], None)
    out = capsys.readouterr().out
    figures = ["2", "0.560 [0.530, 0.590]", "4.0", "0.0600", "0.0500", "0.050", "0.545", "–"]
    assert table_of(out, "win rate [95 %]") == {
        "inpo": ["inpo", *figures, "64", "96", "18"],
        "dpo": ["iterative_dpo", *figures, "132", "198", "23"],
        "third": ["inpo", *figures, "64", "96", "18"],
    }
    assert len(rows(out)) == 9
    assert [title in out for title in ("inpo: inpo, seed 7", "dpo: iterative_dpo, seed 7", "third: inpo")] == [True] * 3
    assert out.splitlines()[-1] == f"figure   {stores[0].uri}/report/figure-with-dpo-third.png"
    assert stores[0].list("report") == ["report/figure-with-dpo-third.png"]
    assert stores[1].list("report") == stores[2].list("report") == []
    report_runs([stores[0].uri], None)
    assert stores[0].read("report/figure-with-dpo-third.png") != stores[0].read("report/figure.png")


@pytest.mark.parametrize(("width", "tables"), [(80, 3), (110, 2), (160, 1)])
def test_the_comparison_fits_on_the_terminal(
    tmp_path: Path, width: int, tables: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    stores = [one_run(tmp_path, name) for name in ("sandbox-iterative-dpo", "two")]
    report_runs([store.uri for store in stores], None)
    lines = capsys.readouterr().out.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("the runs after"))
    named = [line for line in lines[start:] if line.strip().startswith("sandbox-iterative-dpo ")]
    assert len(named) == tables
    assert max(map(len, lines[:-1])) <= width
    cells = [cell for line in named for cell in re.split(r"\s{2,}", line.strip())]
    assert len(cells) == 13 + tables - 1


def test_an_unfinished_run_is_compared_as_far_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stores = [one_run(tmp_path, "whole"), one_run(tmp_path, "part")]
    forget_evaluation(stores[1], 2)
    report_runs([store.uri for store in stores], None)
    out = capsys.readouterr().out
    assert [cells[1] for cells in table_of(out, "win rate [95 %]").values()] == ["2", "1"]
    assert table_of(out, "compared")["part"] == ["22", "33", "10"]


@pytest.mark.usefixtures("wide")
def test_of_a_dozen_runs_there_is_the_comparison_alone_and_the_figures_name_stays_short(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"a-run-with-quite-a-long-name-{number:02d}" for number in range(12)]
    stores = [one_run(tmp_path, name) for name in names]
    report_runs([store.uri for store in stores], None)
    out = capsys.readouterr().out
    assert list(table_of(out, "win rate [95 %]")) == names
    assert rows(out) == []
    assert stores[0].list("report") == ["report/figure-with-11-others.png"]


def test_the_figure_of_several_runs_goes_where_it_is_wanted(tmp_path: Path) -> None:
    stores, wanted = [one_run(tmp_path, "one"), one_run(tmp_path, "two")], tmp_path / "both.png"
    wanted.write_bytes(b"an older one")
    report_runs([store.uri for store in stores], wanted)
    assert wanted.read_bytes().startswith(PNG)
    assert stores[0].list("report") == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"inputs": {"policy": "other"}, "policy": {"kind": "sandbox", "world": {"seed": 1}}},
            "other policy (policy.world.seed is 0 and 1)",
        ),
        (
            {"inputs": {"oracle": "other"}, "oracle": {"kind": "reward_model"}},
            "other oracle (oracle.kind is 'sandbox' and 'reward_model', oracle.world.seed is 0 and None)",
        ),
        ({"oracle": {"kind": "sandbox", "world": {"seed": 0}, "limit": 5}}, "oracle.limit is None and 5"),
        (
            {"prompts": PROMPTS | {"held_out": 3}, "questions": ("x0", "x1", "x5")},
            "other held-out prompts: 4 and 3, 2 of them the same; prompts.held_out is 4 and 3",
        ),
        ({"evaluation": {"tau": 0.2, "temperature": 1.0}}, "evaluation.tau is 0.1 and 0.2"),
        ({"evaluation": {"tau": 0.1, "temperature": 0.0}}, "evaluation.temperature is 1.0 and 0.0"),
        (
            {"rollout": {"top_p": 0.9, "max_new_tokens": 16, "batch_size": 8}},
            "rollout.max_new_tokens is 8 and 16; rollout.top_p is 1.0 and 0.9",
        ),
        (
            {"policy": {"kind": "sandbox", "world": {"seed": 0}, "template_arguments": {"x": 1}}},
            "policy.template_arguments.x is None and 1",
        ),
    ],
)
def test_runs_that_are_not_measured_alike_are_refused(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    rollout = {"top_p": 1.0, "max_new_tokens": 8, "batch_size": 64}
    one, other = one_run(tmp_path, "one", rollout=rollout), one_run(tmp_path, "two", **{"rollout": rollout, **options})
    with pytest.raises(UserError) as refusal:
        report_runs([one.uri, other.uri], None)
    difference = f"{one.uri} and {other.uri} are not measured alike: {said}"
    assert str(refusal.value).startswith(f"{difference}. Their figures do not compare: give both the same settings")
    assert "--anyway" in str(refusal.value)
    assert one.list("report") == []


def test_they_are_shown_anyway_with_what_differs_on_terminal_and_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = one_run(tmp_path, "one"), one_run(tmp_path, "two", evaluation={"tau": 0.2, "temperature": 1.0})
    report_runs([one.uri, other.uri], None, anyway=True)
    difference = f"{one.uri} and {other.uri} are not measured alike: evaluation.tau is 0.1 and 0.2"
    assert difference in " ".join(capsys.readouterr().out.split())
    summaries = [read_reported(store.uri).summary for store in (one, other)]
    assert one.read("report/figure-with-two.png") == draw(summaries, difference) != draw(summaries)


@pytest.mark.parametrize("anyway", [False, True])
def test_a_run_that_went_on_with_another_tau_is_not_reported(tmp_path: Path, anyway: bool) -> None:
    """Whatever else is shown beside it: some figures of its table would be of another game."""
    store, other = one_run(tmp_path), one_run(tmp_path, "other")
    game = require_manifest(store, layout.evaluation(2, "game"))
    store.delete(f"{game.unit}.manifest.json")
    Unit(store, game.unit, 1, {"tau": 0.2}, {}).publish({}, game.metrics, 0.0)
    refusal = re.escape(
        f"{store.uri}: evaluation/game/00000 was made with other settings, or by another version, for iterations 0, 1 "
        "than for 2: run the recipe again under this run root, which evaluates anew what is not up to date"
    )
    for run_roots in ([store.uri], [store.uri, other.uri], [other.uri, store.uri]):
        with pytest.raises(UserError, match=f"^{refusal}$"):
            report_runs(run_roots, None, anyway=anyway)
    assert store.list("report") == other.list("report") == []


def test_runs_whose_references_render_otherwise_are_not_measured_alike(tmp_path: Path) -> None:
    stores = [one_run(tmp_path, name) for name in ("one", "two", "three")]
    for store, template in zip(stores, (b"a", b"b", b"a"), strict=True):
        made = require_manifest(store, layout.policy(0, "main"))
        files = {"README.md": File("x", sha256_bytes(store.uri.encode()), 1)}
        files["chat_template.jinja"] = File("y", sha256_bytes(template), 1)
        store.delete(f"{made.unit}.manifest.json")
        Unit(store, made.unit, 1, None, {}).publish(files, {}, 0.0, weights_digest=made.weights_digest)
    with pytest.raises(UserError, match=r"not measured alike: the reference's chat_template\.jinja\. Their"):
        report_runs([store.uri for store in stores], None)
    report_runs([stores[0].uri, stores[2].uri], None)


def test_other_paths_training_prompts_and_seeds_are_measured_alike(tmp_path: Path) -> None:
    one = one_run(tmp_path, "one", prompts=PROMPTS)
    prompts = PROMPTS | {"path": "/elsewhere/prompts.jsonl", "per_iteration": 8}
    run = {"name": "two", "seed": 8, "iterations": 2}
    other = one_run(tmp_path, "two", prompts=prompts, run=run, inputs={"prompts": "other"})
    report_runs([one.uri, other.uri], None)
    assert one.exists("report/figure-with-two.png")


@pytest.mark.parametrize("name", ["figure.svg", "figure", "folder.png"])
def test_a_figure_that_would_be_no_png_is_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    store = one_run(tmp_path)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UserError, match=rf"--output .*{name}: .*ends in \.png"):
        report_runs([store.uri], tmp_path / name)
    assert store.list("report") == []


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: no run here"):
        report_runs([str(tmp_path / "nowhere")], None)
    assert not (tmp_path / "nowhere").exists()


def test_a_run_that_has_measured_nothing_is_refused(tmp_path: Path) -> None:
    store = toy_run(tmp_path, evaluations(1, WON))
    forget_evaluation(store, 0)
    with pytest.raises(UserError, match="nothing to report yet"):
        report_runs([store.uri], None)
    assert store.list("report") == []


def test_runs_on_s3_are_reported_there(s3_bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    far = toy_run(f"{s3_bucket}/runs/far", evaluations(2, WON, GAME), name="far")
    near = one_run(tmp_path, "near")
    report_runs([far.uri], None)
    report_runs([far.uri, near.uri], None)
    store = open_store(f"{s3_bucket}/runs/far")
    assert [store.read(f"report/{name}.png")[:4] for name in ("figure", "figure-with-near")] == [PNG, PNG]
    assert f"{s3_bucket}/runs/far/report/report.html" in capsys.readouterr().out
    assert f"{s3_bucket}/runs/far/policies/001/main".encode() in store.read("report/report.html")


def test_importing_it_loads_nothing_heavy() -> None:
    code = "import sys, nashflow.pipelines.report; print({'torch', 'mlflow', 'matplotlib', 'kfp'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
