import json
from pathlib import Path

import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.reports.reported import read_reported
from nashflow.pipelines.report import report_runs
from nashflow.pipelines.sweep.grid import Member, read_members
from nashflow.pipelines.sweep.standings import compare
from nashflow.pipelines.sweep.sweep import Sweep, show_standings
from tests.components.reports.toy_runs import GAME, WON, evaluations, toy_run
from tests.fixtures import cli

METHOD = {"name": "inpo", "tau": 0.1}


def finished(root: Path, *etas: float) -> list[Member]:
    """Runs as a sweep over η leaves them behind; each later one has a greater gap."""
    made = []
    for place, eta in enumerate(etas):
        member = read_members("quickstart", [], [f"method.eta={eta}"], str(root))[0]
        game = [{**figures, "duality_gap": figures["duality_gap"] + place} for figures in GAME]
        rows = evaluations(4, [*WON, WON[-1]], [*game, game[-1]])
        toy_run(member.run_root, rows, name="quickstart", method={**METHOD, "eta": eta})
        made.append(member)
    return made


def test_a_grid_is_every_combination() -> None:
    grid = ["method.eta=0.1, 1", "training.learning_rate=1e-6,1e-5"]
    members = read_members("quickstart", ["run.iterations=1"], grid, "runs/x/")
    assert [(m.recipe.method.eta, m.recipe.training.learning_rate) for m in members] == [  # type: ignore[attr-defined]
        (0.1, 1e-6),
        (0.1, 1e-5),
        (1, 1e-6),
        (1, 1e-5),
    ]
    assert {member.recipe.run.iterations for member in members} == {1}
    assert members[1].run_root == "runs/x/method.eta=0.1,training.learning_rate=1e-5"
    assert len({member.run_root for member in members}) == 4


def test_values_that_no_path_takes_have_folders_of_their_own() -> None:
    grid = ["training.layout={kind: padded},{kind: packed}"]
    roots = [member.run_root for member in read_members("quickstart", [], grid, "runs/x")]
    assert len(set(roots)) == 2
    assert all(set(" {}:") & set(root) == set() for root in roots)


@pytest.mark.parametrize(
    ("overrides", "grid", "said"),
    [
        ([], [], "--grid: give one or more"),
        ([], ["method.eta"], "--grid method.eta: give KEY=VALUE,VALUE"),
        ([], ["method.eta=1,"], "--grid method.eta=1,: give KEY=VALUE,VALUE"),
        ([], ["method.eta=1", "method.eta=2"], "--grid method.eta: given twice"),
        ([], ["method.eta=1,2,1"], "--grid method.eta: the value 1 is there twice"),
        (["method.eta=3"], ["method.eta=1,2"], "--grid method.eta: given by --set too"),
        ([], ["method.etta=1,2"], "method.etta: unknown key; did you mean method.eta"),
        ([], ["method.eta=1,-1"], "method.eta: "),
        ([], ["evaluation.tau=1,2"], "--grid evaluation.tau: decides how policies are measured"),
        ([], ["run.seed=1,2"], "--grid run.seed: decides how policies are measured"),
        ([], ["rollout.top_p=0.9,1"], "--grid rollout.top_p: decides how policies are measured"),
    ],
)
def test_a_grid_that_is_none(overrides: list[str], grid: list[str], said: str) -> None:
    with pytest.raises(UserError) as caught:
        read_members("quickstart", overrides, grid, "runs/x")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_best_run_is_named_for_each_figure(tmp_path: Path) -> None:
    members = finished(tmp_path, 0.5, 1.0)
    found = compare([(member, read_reported(member.run_root)) for member in members], "")
    assert found["metric"] == "win_rate"
    assert found["best"]["duality_gap"] == {"method.eta": "0.5"}
    behind = found["runs"][1]["figures"]["win_rate"]["behind"]
    assert behind["value"] == 0
    assert behind["interval"][0] <= 0 <= behind["interval"][1]
    chosen = compare([(member, read_reported(member.run_root)) for member in members], "duality_gap")
    assert chosen["metric"] == "duality_gap"


def test_a_figure_that_exists_nowhere(tmp_path: Path) -> None:
    members = finished(tmp_path, 0.5)
    with pytest.raises(UserError, match="--metric win: these runs have no such figure; did you mean win_rate"):
        compare([(member, read_reported(member.run_root)) for member in members], "win")


def test_runs_that_are_not_measured_alike_have_no_best(tmp_path: Path) -> None:
    members = [*finished(tmp_path, 0.5), *read_members("quickstart", [], ["method.eta=1.0"], str(tmp_path))]
    toy_run(members[1].run_root, evaluations(4, [*WON, WON[-1]]), questions=("a", "b", "c", "d"))
    with pytest.raises(UserError, match=r"not measured alike: .*other held-out prompts"):
        compare([(member, read_reported(member.run_root)) for member in members], "")


def test_runs_under_way_are_counted_and_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    members = finished(tmp_path, 0.5)
    report_runs([members[0].run_root], None)
    capsys.readouterr()
    waiting = read_members("quickstart", [], ["method.eta=2"], str(tmp_path))
    show_standings(Sweep("quickstart", [], [], str(tmp_path), "", as_json=True), [*members, *waiting])
    told = capsys.readouterr()
    assert [run["values"] for run in json.loads(told.out)["runs"]] == [{"method.eta": "0.5"}]
    assert json.loads(told.out) == json.loads((tmp_path / "sweep.json").read_text())
    assert "1 of 2 runs are finished" in told.err


@pytest.mark.runs
def test_a_sweep_is_run_resumed_and_tracked(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    (tmp_path / "rules.py").write_text("def even(messages, a, b):\n    return (len(a) + sum(map(ord, a))) % 11 / 10\n")
    rows = [{"instruction": f"x{context}", "output": "a b"} for context in range(8)]
    (tmp_path / "opponent.json").write_text(json.dumps(rows))
    judge = f"judge: {{kind: rules, function: '{tmp_path}/rules.py:even'}}"
    versus = f"{{kind: versus, max_new_tokens: 3, data: {tmp_path}/opponent.json, {judge}}}"
    benchmarks = f"evaluation.benchmarks=[head_to_head, {{kind: head_to_head, {judge}}}, {versus}]"
    root, sets = tmp_path / "sweep", (*cli.SMALL, "run.iterations=1", benchmarks)
    tracking = f"sqlite:///{tmp_path / 'mlflow.db'}"
    arguments = ("sweep", "quickstart", "--grid", "method.eta=0.1,1", "--run-root", str(root), "--json")
    found = json.loads(cli.call(*arguments, sets=sets, MLFLOW_TRACKING_URI=tracking).stdout)
    assert [run["values"] for run in found["runs"]] == [{"method.eta": "0.1"}, {"method.eta": "1"}]
    for figure in ("win_rate", "head_to_head/win_rate/rules", "versus/win_rate/rules"):
        assert found["best"][figure] in ({"method.eta": "0.1"}, {"method.eta": "1"})
        (behind,) = (run["figures"][figure]["behind"] for run in found["runs"] if "behind" in run["figures"][figure])
        low, high = behind["interval"]
        assert low <= behind["value"] <= high, figure
        assert low < high or "versus" in figure, "the few prompts may have the same answers"
    records = [cli.records(run["run_root"]) for run in found["runs"]]
    assert json.loads(cli.call(*arguments, sets=sets, MLFLOW_TRACKING_URI=tracking).stdout) == found
    assert [cli.records(run["run_root"]) for run in found["runs"]] == records
    client = MlflowClient(tracking)
    (experiment,) = (each for each in client.search_experiments() if each.name == "nashflow")
    runs = client.search_runs([experiment.experiment_id], max_results=100)
    (above,) = (run for run in runs if run.info.run_name == "quickstart sweep")
    below = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == above.info.run_id]
    assert {run.info.run_name for run in below} == {
        "quickstart sweep method.eta=0.1",
        "quickstart sweep method.eta=1",
    }
    assert above.info.status == "FINISHED"
    assert above.data.tags["nashflow.best.win_rate"] in ("method.eta=0.1", "method.eta=1")
