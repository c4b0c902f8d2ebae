"""The step protocol, from outside: real processes of a toy step, their exit codes, their lines and what they leave."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nashflow.components.runtime.protocol import _local_path, parser, passed
from nashflow.components.storage import recipes
from nashflow.components.storage.store import open_store
from nashflow.components.storage.units import read_manifest
from tests.fixtures.toy.processes import UNIT, rows, step, step_of_graph, stopped_at_work


@pytest.fixture
def root(tmp_path: Path) -> str:
    return str(tmp_path / "run")


# --- done ------------------------------------------------------------------------------------------------------------


def executor_input(folder: Path) -> dict[str, Any]:
    """What the launcher hands over, with local paths for URIs; one artifact has a path of its own."""

    def artifact(name: str, kind: str, **more: str) -> dict[str, Any]:
        uri = str(folder / "outputs" / name)
        described = {"name": name, "type": {"schemaTitle": f"system.{kind}"}, "uri": uri, "metadata": {}}
        return {"artifacts": [described | more]}

    return {
        "inputs": {"parameterValues": {"shard": 1}},
        "outputs": {
            "parameters": {name: {"outputFile": str(folder / "parameters" / name)} for name in ("run-root", "go")},
            "artifacts": {
                "metrics": artifact("metrics", "Metrics"),
                "report": artifact("report", "HTML", customPath=str(folder / "custom" / "report.html")),
            },
            "outputFile": str(folder / "executor_output.json"),
        },
    }


def test_an_output_that_kubeflow_adds_is_left_to_it(root: str, tmp_path: Path) -> None:
    given, uri = executor_input(tmp_path), str(tmp_path / "outputs" / "executor-logs")
    given["outputs"]["artifacts"]["executor-logs"] = {"artifacts": [{"name": "executor-logs", "uri": uri}]}
    code, _, err = step(root, {}, "--executor-input", json.dumps(given))
    assert (code, err) == (0, "")
    assert not Path(uri).exists()
    described = json.loads(Path(given["outputs"]["outputFile"]).read_text())["artifacts"]
    assert described.keys() == {"metrics", "report"}


def test_a_step_writes_every_output_and_again_when_there_is_nothing_to_do(root: str, tmp_path: Path) -> None:
    lines = []
    for attempt in ("first", "second"):
        folder = tmp_path / attempt
        code, out, err = step(root, {}, "--executor-input", json.dumps(executor_input(folder)), threads=2.0)
        assert (code, err) == (0, "")
        lines.append(json.loads(out))
        assert (folder / "parameters" / "run-root").read_text() == root
        assert (folder / "parameters" / "go").read_text() == "true"
        assert (folder / "custom" / "report.html").read_bytes() == b"<html>"
        assert json.loads((folder / "outputs" / "metrics").read_text())["threads"] == "2"
        written = json.loads((folder / "executor_output.json").read_text(), parse_constant=pytest.fail)
        assert written == {
            "artifacts": {
                name: {"artifacts": [{"name": name, "uri": str(folder / "outputs" / name), "metadata": metadata}]}
                for name, metadata in {
                    "metrics": {"rows": 4, "resumed": 0},
                    "report": {"uri": "report.html"},
                }.items()
            }
        }
    place = {"step": "toy", "iteration": 2, "phase": "main", "shard": 1, "metrics": {"rows": 4, "resumed": 0}}
    assert [{**line, "seconds": 0.0} for line in lines] == [
        {**place, "skipped": False, "seconds": 0.0},
        {**place, "skipped": True, "seconds": 0.0},
    ]
    assert [row["row_id"] for row in rows(root)] == [0, 1, 2, 3]


def test_a_step_runs_by_hand_and_on_s3(s3_bucket: str) -> None:
    code, out, err = step(f"{s3_bucket}/prefix/run", {"rows": 2})
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == 1
    assert len(rows(f"{s3_bucket}/prefix/run")) == 2


@pytest.mark.parametrize(
    ("artifact", "path"),
    [
        ({"uri": "s3://bucket/root/metrics"}, "/s3/bucket/root/metrics"),
        ({"uri": "minio://mlpipeline/v2/metrics"}, "/minio/mlpipeline/v2/metrics"),
        ({"uri": "gs://bucket/metrics"}, "/gcs/bucket/metrics"),
        ({"uri": "/tmp/outputs/metrics"}, "/tmp/outputs/metrics"),
        ({"uri": "s3://bucket/metrics", "customPath": "/tmp/metrics"}, "/tmp/metrics"),
        ({"uri": "s3://bucket/metrics", "customPath": ""}, "/s3/bucket/metrics"),
    ],
)
def test_the_launcher_collects_an_artifact_where_its_uri_says(artifact: dict[str, str], path: str) -> None:
    """As in KFP's launcher, `LocalPathForURI`: only the launcher can make those folders, so this is no process."""
    assert _local_path(artifact) == Path(path)


def test_a_step_reads_its_part_of_the_recipe_that_preparation_has_written(root: str) -> None:
    """Other sections are other steps'; a copy that somebody has changed is refused."""
    recipe = {"toy": {"rows": 2}, "run": {"seed": 7, "threads": 2, "name": "x"}, "training": {"learnin_rate": 1}}
    location = recipes.write(open_store(root), recipe)
    code, out, err = step("", location)
    assert (code, err, json.loads(out)["metrics"]["rows"]) == (0, "", 2)
    file = Path(location)
    file.write_text(file.read_text().replace('"rows": 2', '"rows": 3'))
    assert step("", location) == (2, "", f"toy: {file}: is not what preparation wrote: run preparation again\n")
    assert len(rows(root)) == 2


@pytest.mark.parametrize("number", [int, float])
def test_in_a_graph_flags_are_the_components_parameters(number: type[float], root: str, tmp_path: Path) -> None:
    """Others, such as the image, are KFP's; the local orchestrator writes whole numbers as floats."""
    location = recipes.write(open_store(root), {"toy": {"rows": 2}})
    given = executor_input(tmp_path)
    given["inputs"]["parameterValues"] = {
        "recipe": location,
        "iteration": number(2),
        "phase": "--main",
        "shard": number(1),
        "colour": "-{{red}} and $(BLUE)",
        "image": "nashflow-steps",
        "retries": number(3),
    }
    code, out, err = step_of_graph(given)
    line = json.loads(out)
    assert (code, err) == (0, "")
    assert (line["iteration"], line["phase"], line["shard"], line["metrics"]["rows"]) == (2, "--main", 1, 2)
    assert json.loads((tmp_path / "outputs" / "metrics").read_text())["colour"] == "-{{red}} and $(BLUE)"


@given(st.text(), st.booleans(), st.integers(), st.dictionaries(st.text(), st.text()))
def test_a_parameter_of_any_kind_is_one_flag(text: str, truth: bool, number: int, status: dict[str, str]) -> None:
    """KFP's final status is an object, its booleans are JSON's."""
    values = {"run_root": text, "only_new": truth, "iteration": float(number), "status": status, "unheard_of": 1}
    flags = passed({"inputs": {"parameterValues": values}}, ("only-new", "status"))
    parsed = parser("toy", ("only-new", "status")).parse_args(flags)
    assert (parsed.run_root, parsed.only_new) == (text, "true" if truth else "false")
    assert json.loads(parsed.status) == status
    assert parsed.iteration == int(float(number))


# --- the user's mistakes: exit 2, one line ---------------------------------------------------------------------------

MISTAKES: list[tuple[dict[str, Any] | str, str]] = [
    ({"trouble": "user"}, "prompts.jsonl: line 3 lacks the prompt: set prompts.field"),
    ({"learnin_rate": 1}, "--recipe: toy.learnin_rate: unknown key; did you mean toy.learning_rate?"),
    (
        '{"run": {"threads": 0}, "toy": {"rows": "x"}}',
        "--recipe: run.threads: Input should be greater than or equal to 1, not 0; "
        "toy.rows: Input should be a valid integer, unable to parse string as an integer, not 'x'",
    ),
    (
        "{'run': {}}",
        "--recipe: not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
    ),
    ("{root}/recipes/0.json", "--recipe {root}/recipes/0.json: not there: preparation writes it; run that first"),
    ("[]", "--recipe []: neither JSON nor a recipe under a run root: RUN_ROOT/recipes/….json"),
    ("", "--recipe: toy: required, but missing"),
]


@pytest.mark.parametrize(("toy", "line"), MISTAKES, ids=[line for _, line in MISTAKES])
def test_a_mistake_of_the_user_is_one_line_and_nothing_half_written(
    toy: dict[str, Any] | str, line: str, root: str
) -> None:
    if isinstance(toy, str):
        toy = toy.replace("{root}", root)
    assert step(root, toy) == (2, "", f"toy: {line.replace('{root}', root)}\n")
    assert not Path(root).exists()


def test_a_step_that_is_told_no_place_is_refused() -> None:
    assert step("", {}) == (2, "", "toy: neither --run-root nor a --recipe under one: give either\n")
    code, out, err = step("runs/x", {}, "--executor-input", "{")
    assert (code, out, err.startswith("toy: --executor-input: not JSON: ")) == (2, "", True)


def test_a_run_root_of_another_kind_is_refused() -> None:
    code, out, err = step("ftp://host/run", {})
    assert (code, out) == (2, "")
    assert err == "toy: not a place for artifacts: 'ftp://host/run': give a local folder or s3://bucket/prefix\n"


def test_a_flag_that_nobody_knows_is_refused(root: str) -> None:
    code, out, err = step(root, {}, "--color", "red")
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].endswith("error: unrecognized arguments: --color red")


# --- what may be tried again -----------------------------------------------------------------------------------------


def test_a_wait_for_something_from_outside_is_one_line_and_is_not_tried_again(root: str) -> None:
    assert step(root, {"trouble": "wait"}) == (3, "", "toy: for people: answer\n")
    assert step(root, {"trouble": "wait"}, "--retries", "3") == (3, "", "toy: for people: answer\n")


def test_a_mistake_of_ours_shows_its_traceback(root: str) -> None:
    code, out, err = step(root, {"trouble": "crash"})
    assert (code, out) == (1, "")
    assert err.startswith("Traceback")
    assert err.splitlines()[-1] == "RuntimeError: a mistake of ours"


@pytest.mark.parametrize(
    ("trouble", "words"),
    [("full", "[Errno 28] No space left on device"), ("full database", "database or disk is full")],
)
def test_a_full_disk_is_one_line_whoever_notices_it(trouble: str, words: str, root: str) -> None:
    line = f"toy: no space left on the device ({words}); free some and run the same command again\n"
    assert step(root, {"trouble": trouble}) == (75, "", line)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("a full disk: there is no mount command")
    if done.returncode:
        pytest.skip(f"a full disk: mounting a small file system is not permitted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_fills_up_leaves_nothing_half_written_and_can_be_freed(tiny_disk: Path) -> None:
    root, ballast = str(tiny_disk / "run"), tiny_disk / "ballast"
    ballast.write_bytes(bytes(128 << 10))
    toy = {"rows": 4, "text_bytes": 80_000}
    code, out, err = step(root, toy)
    assert (code, out, len(err.splitlines())) == (75, "", 1)
    assert err.startswith("toy: no space left on the device (")
    assert read_manifest(open_store(root), UNIT) is None
    assert [path for path in Path(root).rglob("*") if path.is_file()] == []
    ballast.unlink()
    assert step(root, toy)[0] == 0
    assert len(rows(root)) == 4


# --- stopped ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signals", [1, 3])
def test_sigterm_flushes_the_journal_and_the_rerun_goes_on_from_there(signals: int, root: str, tmp_path: Path) -> None:
    """Signals may come again while the journal is being written: from the launcher, and to the whole process group."""
    process = stopped_at_work(root, tmp_path / "ready")
    for _ in range(signals):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.005)
    out, err = process.communicate()
    assert (process.returncode, out, err) == (143, "", "")
    assert read_manifest(open_store(root), UNIT) is None
    (journal,) = open_store(root).list()
    assert [entry["row_id"] for entry in json.loads(open_store(root).read(journal))["entries"]] == [0, 1, 2]
    code, out, _ = step(root, {})
    assert (code, json.loads(out)["metrics"]) == (0, {"rows": 4, "resumed": 3})
    assert [row["row_id"] for row in rows(root)] == [0, 1, 2, 3]
    assert not [key for key in open_store(root).list() if "journal" in key]


@pytest.mark.parametrize(("seconds", "resumed"), [("0", 3), ("1000", 0)])
def test_sigkill_costs_what_was_not_flushed(seconds: str, resumed: int, root: str, tmp_path: Path) -> None:
    process = stopped_at_work(root, tmp_path / "ready", NASHFLOW_JOURNAL_SECONDS=seconds)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    code, out, _ = step(root, {})
    assert (code, json.loads(out)["metrics"]) == (0, {"rows": 4, "resumed": resumed})
    assert [row["row_id"] for row in rows(root)] == [0, 1, 2, 3]
