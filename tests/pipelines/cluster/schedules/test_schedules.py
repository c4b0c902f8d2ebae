"""`nashflow schedule`: recurring runs become what is declared, whatever was there before."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from nashflow.pipelines.cluster.api.access import Access
from nashflow.pipelines.cluster.api.connection import connect
from nashflow.pipelines.cluster.schedules import schedules

from ..conftest import Call, Done
from ..server import BEGINNING, Fault, KfpServer

ROOT = "s3://bucket/runs/{job}"
CRON = "0 0 3 * * 1"
BASE = ["--set", "run.iterations=1", "--run-root", ROOT]


@pytest.fixture
def schedule(call: Call, kfp: KfpServer) -> Call:
    """`nashflow schedule apply` of a small recipe, weekly unless options say something else."""

    def run(*options: Any, cron: str = CRON, name: str = "weekly") -> Done:
        about = ("--cron", cron, "--name", name, "--host", kfp.url)
        return call("schedule", "apply", "quickstart", *BASE, *about, *options)

    return run


def only(kfp: KfpServer) -> Any:
    (job,) = kfp.recurring.values()
    return job


def done(answer: Done) -> str:
    """What was done, of `weekly: changed` and so on."""
    assert (answer.code, answer.err) == (0, "")
    return answer.out.splitlines()[0].removeprefix("weekly: ")


def test_a_schedule_is_created_as_declared(schedule: Call, kfp: KfpServer) -> None:
    answer = schedule("--concurrency", 2, "--service-account", "trainer")
    job = only(kfp)
    (version,) = kfp.versions.values()
    assert done(answer) == "created"
    assert (job.display_name, job.trigger.cron_schedule.cron, job.mode) == ("weekly", CRON, "ENABLE")
    assert (job.max_concurrency, job.no_catchup, job.service_account) == ("2", True, "trainer")
    assert job.plugins_input == {"mlflow": {"experiment_name": "nashflow"}}
    assert job.runtime_config.parameters == {"run_root": ROOT, "set": "", "only_new_prompts": True}
    assert job.pipeline_version_reference.pipeline_version_id == version.pipeline_version_id


def test_what_it_means_is_shown(schedule: Call) -> None:
    words, *times = schedule().out.splitlines()[1:]
    assert words == "  At 03:00, only on Monday (UTC); next:"
    assert len(times) == 5
    assert all(time.startswith("  Mon 2") and time.endswith(" 03:00:00") for time in times)


def test_the_name_is_the_recipes_where_none_is_given(call: Call, kfp: KfpServer) -> None:
    assert call("schedule", "apply", "quickstart", *BASE, "--cron", CRON, "--host", kfp.url).code == 0
    assert only(kfp).display_name == "quickstart"


# --- again -----------------------------------------------------------------------------------------------------------

CHANGES: dict[str, tuple[list[str], str]] = {
    "nothing": ([], "unchanged"),
    "cron": (["--cron", "0 0 4 * * 1"], "changed"),
    "spaces in cron": (["--cron", " 0 0  3 * * 1"], "unchanged"),
    "recipe": (["--set", "training.learning_rate=0.5"], "changed"),
    "run root": (["--run-root", "s3://other/{job}"], "changed"),
    "prompts": (["--all-prompts"], "changed"),
    "concurrency": (["--concurrency", "3"], "changed"),
    "catch-up": (["--catchup"], "changed"),
    "service account": (["--service-account", "trainer"], "changed"),
    "experiment": (["--experiment", "another"], "changed"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_second_declaration_changes_what_differs(schedule: Call, kfp: KfpServer, change: str) -> None:
    """And there is one schedule of the name, new where it had to be; a third declaration finds nothing to do."""
    options, what = CHANGES[change]
    schedule()
    before = only(kfp).recurring_run_id
    assert done(schedule(*options)) == what
    job = only(kfp)
    assert (job.recurring_run_id == before) == (what != "changed")
    assert job.mode == "ENABLE"
    assert done(schedule(*options)) == "unchanged"


def test_pausing_and_resuming(schedule: Call, call: Call, kfp: KfpServer) -> None:
    schedule()
    before = only(kfp).recurring_run_id
    about = ["weekly", "--host", kfp.url]
    assert call("schedule", "pause", *about).out == "weekly: paused\n"
    assert only(kfp).mode == "DISABLE"
    assert call("schedule", "resume", *about).out == "weekly: resumed\n"
    assert (only(kfp).mode, only(kfp).recurring_run_id) == ("ENABLE", before)


def test_a_declaration_that_says_nothing_of_it_leaves_a_schedule_paused(
    schedule: Call, call: Call, kfp: KfpServer
) -> None:
    schedule()
    call("schedule", "pause", "weekly", "--host", kfp.url)
    assert schedule().out == "weekly: unchanged, paused\n"
    assert schedule("--concurrency", 2).out == "weekly: changed, paused\n"
    assert (only(kfp).mode, only(kfp).max_concurrency) == ("DISABLE", "2")


def test_deleting(schedule: Call, call: Call, kfp: KfpServer) -> None:
    schedule()
    about = ["weekly", "--host", kfp.url]
    assert call("schedule", "delete", *about).out == "weekly: deleted\n"
    assert kfp.recurring == {}
    again = call("schedule", "delete", *about)
    assert (again.code, "knows no such schedule; `nashflow schedule list` shows" in again.line) == (2, True)


# --- troubles --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after", "later"])
@pytest.mark.parametrize("there", [False, True])
def test_a_broken_request_makes_one_schedule(
    schedule: Call, kfp: KfpServer, when: str, there: bool, request: pytest.FixtureRequest
) -> None:
    if when != "before":
        request.getfixturevalue("settling")
    if there:
        schedule(cron="0 0 5 * * *")
    kfp.faults = [Fault("POST .*/recurringruns", "reset", when)]
    assert done(schedule()) == ("changed" if there else "created")
    assert (only(kfp).trigger.cron_schedule.cron, only(kfp).mode) == (CRON, "ENABLE")


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_deletion_whose_answer_is_lost_is_one(schedule: Call, call: Call, kfp: KfpServer, when: str) -> None:
    schedule()
    kfp.faults = [Fault("DELETE .*", "reset", when)]
    assert call("schedule", "delete", "weekly", "--host", kfp.url).code == 0
    assert kfp.recurring == {}


def test_a_change_that_is_refused_leaves_the_old_schedule(schedule: Call, kfp: KfpServer) -> None:
    schedule()
    before = only(kfp)
    kfp.faults = [Fault("POST .*/recurringruns", "400")]
    assert schedule(cron="0 0 4 * * 1").code == 2
    assert (only(kfp).recurring_run_id, only(kfp).mode) == (before.recurring_run_id, "ENABLE")


@pytest.mark.parametrize("request_", ["DELETE .*", "POST .*:disable", "POST .*:enable"])
@pytest.mark.parametrize("paused", [False, True])
def test_a_change_that_was_interrupted_is_completed(
    schedule: Call, call: Call, kfp: KfpServer, request_: str, paused: bool
) -> None:
    """As it was begun: what had fired fires again, what an operator had paused stays paused."""
    schedule()
    if paused:
        assert call("schedule", "pause", "weekly", "--host", kfp.url).code == 0
    kfp.faults = [Fault(request_, "403")]
    assert schedule(cron="0 0 4 * * 1").code == (0 if paused and "able" in request_ else 2)
    firing = [job for job in kfp.recurring.values() if job.mode == "ENABLE"]
    assert len(firing) <= 1
    kfp.faults = []
    assert schedule(cron="0 0 4 * * 1").code == 0
    assert (only(kfp).trigger.cron_schedule.cron, only(kfp).mode) == ("0 0 4 * * 1", "DISABLE" if paused else "ENABLE")


def test_of_two_that_mean_the_same_the_elder_stays(schedule: Call, kfp: KfpServer) -> None:
    """Another one declares it between the look at what there is and the creation."""
    schedule()
    first = only(kfp)
    kfp.faults = [Fault("GET .*/recurringruns", "empty")]
    assert done(schedule()) == "created"
    assert kfp.recurring == {first.recurring_run_id: first}


@pytest.mark.parametrize("old", [None, "0 0 4 * * 1"])
@pytest.mark.parametrize("same_second", [False, True])
def test_two_that_declare_at_once_leave_one_schedule(
    kfp: KfpServer, old: str | None, same_second: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever in one's work the other one does all of its own."""

    def declare(cron: str = CRON) -> None:
        here = connect(Access(kfp.url))
        schedules.reconcile(here, "team", [schedules.Schedule.parse(entry("weekly", cron=cron), "")], only_these=True)

    if same_second:
        monkeypatch.setattr(kfp, "now", lambda: BEGINNING)
    declare()
    for before in range(1, 99):
        kfp.recurring.clear()
        if old:
            declare(old)
        requests = itertools.count(1)

        def interrupt(requests: Iterator[int] = requests, before: int = before) -> None:
            if next(requests) == before:
                declare()

        kfp.on_request = interrupt
        declare()
        kfp.on_request = lambda: None
        assert (only(kfp).trigger.cron_schedule.cron, only(kfp).mode) == (CRON, "ENABLE")
        if next(requests) <= before:
            break
    assert before > 5


# --- a file ----------------------------------------------------------------------------------------------------------


def entry(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "recipe": "quickstart", "set": BASE[1:2], "cron": CRON, "run_root": ROOT, **more}


@pytest.fixture
def declare(call: Call, kfp: KfpServer, tmp_path: Path) -> Call:
    """`nashflow schedule apply --file` of these entries."""

    def run(*entries: dict[str, Any], owner: str = "team") -> Done:
        path = tmp_path / "schedules.yaml"
        path.write_text(yaml.safe_dump({"owner": owner, "schedules": list(entries)}))
        return call("schedule", "apply", "--file", path, "--host", kfp.url)

    return run


def actions(answer: Done) -> list[str]:
    assert answer.err == ""
    return [line for line in answer.out.splitlines() if not line.startswith(" ")]


def test_a_file_is_all_that_its_owner_has(declare: Call, schedule: Call, kfp: KfpServer) -> None:
    schedule(name="mine")
    assert actions(declare(entry("a"), entry("b", paused=True))) == ["a: created", "b: created, paused"]
    b = entry("b", paused=False)
    assert actions(declare(entry("a"), b, entry("c"))) == ["a: unchanged", "b: resumed", "c: created"]
    assert actions(declare(entry("b", cron="0 0 4 * * *"))) == ["b: changed", "a: deleted", "c: deleted"]
    assert actions(declare()) == ["b: deleted"]
    assert [job.display_name for job in kfp.recurring.values()] == ["mine"]


def test_what_a_file_leaves_out_has_the_documented_defaults(declare: Call, kfp: KfpServer) -> None:
    declare(entry("a"))
    job = only(kfp)
    assert (job.max_concurrency, job.no_catchup, job.mode) == ("1", True, "ENABLE")
    assert job.runtime_config.parameters["only_new_prompts"] is True


def test_a_name_of_another_owner_is_refused_by_name_and_nothing_is_changed(
    declare: Call, schedule: Call, call: Call, kfp: KfpServer
) -> None:
    declare(entry("theirs"), owner="other")
    before = dict(kfp.recurring)
    answer = declare(entry("mine"), entry("theirs"))
    assert (answer.code, answer.line) == (
        2,
        "nashflow: the schedule theirs is held by the owner other, not by team: choose another name",
    )
    assert schedule(name="theirs").code == 2
    assert call("schedule", "delete", "theirs", "--host", kfp.url).code == 2
    assert call("schedule", "pause", "theirs", "--host", kfp.url).code == 2
    assert kfp.recurring == before


@pytest.mark.parametrize("description", [None, "by hand", "[]", '{"other": 1}'])
def test_a_schedule_made_by_hand_is_nobodys_to_change(
    declare: Call, schedule: Call, kfp: KfpServer, description: str | None
) -> None:
    schedule()
    only(kfp).description = description
    answer = declare(entry("weekly"))
    assert (answer.code, "weekly was created by another owner" in answer.line) == (2, True)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([entry("a"), entry("a")], "declared twice: a"),
        ([entry("a", cron="0 3 * * 1")], "write '0 0 3 * * 1'"),
        ([entry("a", crom=CRON)], "schedules.0.crom: unknown key; did you mean schedules.0.cron?"),
        ([entry("a", concurrency=11)], "schedules.0.concurrency: Input should be less than or equal to 10, not 11"),
        ([entry("a"), entry("b", run_root="s3://bucket/runs")], "such as s3://bucket/runs/{job}"),
        ([entry("a"), entry("b", recipe="quikstart")], "quikstart: no such recipe"),
    ],
)
def test_a_wrong_file_is_refused_before_anything_is_made(
    declare: Call, kfp: KfpServer, entries: list[dict[str, Any]], words: str
) -> None:
    answer = declare(*entries)
    assert (answer.code, words in answer.line) == (2, True), answer.err
    assert (kfp.recurring, kfp.pipelines) == ({}, {})


def test_a_file_that_is_none(call: Call, kfp: KfpServer, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("a: [")
    for path, words in ((tmp_path / "absent.yaml", "there is no such file"), (tmp_path / "text", "not YAML: line 1: ")):
        answer = call("schedule", "apply", "--file", path, "--host", kfp.url)
        assert (answer.code, f"--file {path}: {words}" in answer.line) == (2, True)


def test_a_second_list_of_schedules_is_refused_instead_of_deleting_those_of_the_first(
    declare: Call, call: Call, kfp: KfpServer, tmp_path: Path
) -> None:
    declare(entry("one"), entry("two"))
    listed = "".join(f"schedules:\n- {entry(name)}\n" for name in ("one", "two"))
    (tmp_path / "twice.yaml").write_text(f"owner: team\n{listed}", encoding="utf-8")
    answer = call("schedule", "apply", "--file", tmp_path / "twice.yaml", "--host", kfp.url)
    said = "not YAML: line 4: the key 'schedules' stands in line 2 already; keep one of them"
    assert (answer.code, answer.line) == (2, f"nashflow: --file {tmp_path}/twice.yaml: {said}")
    assert {job.display_name for job in kfp.recurring.values()} == {"one", "two"}


def test_images_of_another_version_are_said_with_the_schedules_name(schedule: Call, kfp: KfpServer) -> None:
    answer = schedule("--set", "cluster.images.steps=nashflow-steps:0.0.9")
    assert answer.err.startswith("nashflow: warning: weekly: cluster.images.steps is nashflow-steps:0.0.9, and this is")
    assert (answer.code, only(kfp).display_name) == (0, "weekly")


# --- the rest --------------------------------------------------------------------------------------------------------


def test_the_list_shows_everybodys(declare: Call, schedule: Call, call: Call, kfp: KfpServer) -> None:
    declare(entry("theirs", paused=True, catchup=True), owner="other")
    schedule(name="mine")
    only_mine = next(job for job in kfp.recurring.values() if job.display_name == "mine")
    only_mine.description = "by hand"
    lines = call("schedule", "list", "--host", kfp.url).out.splitlines()
    mine, theirs = (
        next(line.split("  ") for line in lines if line.strip().startswith(name)) for name in ("mine", "th")
    )
    mine, theirs = ([cell.strip() for cell in row if cell.strip()] for row in (mine, theirs))
    assert theirs[:3] == ["theirs", "other", CRON]
    assert theirs[-4:] == ["paused", "1", "yes", ROOT]
    assert (mine[0], mine[1], mine[-2:]) == ("mine", CRON, ["no", ROOT])


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--file", "x.yaml", "--owner", "me"], "--file takes no --owner: the file says it"),
        (
            ["--file", "x.yaml", "--cron", CRON, "--set", "a.b=1", "--run-root", "s3://b/{job}", "--concurrency", "2"],
            "--file takes no --cron, --set, --run-root, --concurrency: the file says it",
        ),
        (
            ["--file", "x.yaml", "--all-prompts", "--name", "a"],
            "--file takes no --name, --only-new-prompts/--all-prompts",
        ),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(
    call: Call, kfp: KfpServer, options: list[str], line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KF_PIPELINES_DEFAULT_EXPERIMENT_NAME", "alignment")
    answer = call("schedule", "apply", *options, "--host", kfp.url, "--namespace", "team")
    assert (answer.code, f"schedule apply: {line}" in answer.line) == (2, True), answer.err
    assert kfp.seen == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "give a RECIPE with --cron, or --file"),
        (["quickstart", "--cron", "0 3 * * 1"], "write '0 0 3 * * 1'"),
        (["quickstart", "--cron", ""], "0 fields, but KFP's cron has six, seconds first"),
        (["quickstart", "--cron", CRON, "--set", "run.iterations=1"], "no run root: give --run-root"),
        (["quickstart", "--cron", CRON, *BASE[:2], "--run-root", "s3://b/c/"], "such as s3://b/c/{job}"),
    ],
)
def test_bad_input(call: Call, kfp: KfpServer, options: list[str], words: str) -> None:
    answer = call("schedule", "apply", *options, "--host", kfp.url)
    assert (answer.code, words in answer.line) == (2, True), answer.err
    assert kfp.recurring == {}
