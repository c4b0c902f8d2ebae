"""`nashflow submit`: what it makes, what it uses again, and that a run is never started twice."""

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from nashflow.components.core.version import VERSION
from nashflow.components.recipe import with_settings
from nashflow.pipelines.recipe import load_recipe
from tests.fixtures.expansion import arrived

from ..conftest import ROOT, Call
from ..server import Fault, KfpServer

CREATE = "POST .*/runs"


def test_a_run_has_a_pipeline_a_version_and_an_experiment(submit: Call, kfp: KfpServer) -> None:
    done = submit("--experiment", "alignment", "--service-account", "trainer")
    (run,), (pipeline,), (version,) = kfp.runs.values(), kfp.pipelines.values(), kfp.versions.values()
    (experiment,) = kfp.experiments.values()
    assert (done.code, done.err) == (0, "")
    assert done.out == f"{run.display_name} ({run.run_id}): {kfp.url}/#/runs/details/{run.run_id}\n"
    assert re.fullmatch(r"quickstart-\d{8}-\d{6}-[0-9a-f]{8}", run.display_name)
    assert (pipeline.display_name, experiment.display_name) == ("quickstart", "alignment")
    assert run.experiment_id == experiment.experiment_id
    assert run.pipeline_version_reference.pipeline_version_id == version.pipeline_version_id
    assert run.runtime_config.parameters == {"run_root": ROOT, "set": "", "takes_over": ""}
    assert run.service_account == "trainer"
    assert run.plugins_input == {"mlflow": {"experiment_name": "alignment"}}


def test_names_and_settings_are_shown_as_they_are(submit: Call, call: Call, kfp: KfpServer) -> None:
    name, field = "[bold]x[/] :cat: $(HOME)", "{{workflow.name}} [red]$(AWS_SECRET_ACCESS_KEY)"
    done = submit("--name", name, "--set", f"prompts.field={json.dumps(field)}")
    (run,) = kfp.runs.values()
    assert (done.code, done.out.startswith(f"{name} ({run.run_id}): ")) == (0, True)
    assert name in call("runs", "--host", kfp.url).out
    given = arrived(run.runtime_config.parameters["set"])
    assert with_settings(load_recipe("quickstart"), shlex.split(given)).prompts.field == field


def test_the_same_recipe_is_used_again(submit: Call, kfp: KfpServer) -> None:
    for _ in range(3):
        assert submit().code == 0
    assert (len(kfp.pipelines), len(kfp.versions), len(kfp.experiments), len(kfp.runs)) == (1, 1, 1, 3)


def test_another_shape_of_the_graph_is_another_version_of_the_same_pipeline(submit: Call, kfp: KfpServer) -> None:
    submit()
    submit("--set", "prompts.shards=2")
    assert (len(kfp.pipelines), len(kfp.versions)) == (1, 2)
    first, second = kfp.runs.values()
    assert first.pipeline_version_reference != second.pipeline_version_reference
    assert [run.runtime_config.parameters["set"] for run in kfp.runs.values()] == ["", ""]


def test_runs_that_differ_in_settings_share_a_version(submit: Call, kfp: KfpServer) -> None:
    for sets in ([], ["method.eta=0.25"], ["prompts.shards=2", "method.eta=0.25", "training.learning_rate=1e-6"]):
        assert submit(*(option for each in sets for option in ("--set", each))).code == 0
    assert (len(kfp.pipelines), len(kfp.versions)) == (1, 2)
    first, second, third = kfp.runs.values()
    assert first.pipeline_version_reference == second.pipeline_version_reference != third.pipeline_version_reference
    assert [run.runtime_config.parameters["set"] for run in kfp.runs.values()] == [
        "",
        "method.eta=0.25",
        "method.eta=0.25 training.learning_rate=1e-06",
    ]
    assert [run.description for run in kfp.runs.values()] == [
        "quickstart: inpo, iteration 1, 1 shard",
        "quickstart: inpo, iteration 1, 1 shard; set method.eta=0.25",
        "quickstart: inpo, iteration 1, 2 shards; set method.eta=0.25 training.learning_rate=1e-06",
    ]


def test_a_version_says_nothing_of_the_compiler(
    submit: Call, kfp: KfpServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    submit("--package", tmp_path / "kept.yaml")
    kept = tmp_path / "kept.yaml"
    assert "sdkVersion: kfp-2" in kept.read_text()

    def newer(recipe: object, file: Path, first: int) -> None:
        file.write_text(kept.read_text().replace("sdkVersion: kfp-2", "sdkVersion: kfp-9"))

    monkeypatch.setattr("nashflow.pipelines.cluster.submission.package.compile_graph", newer)
    submit()
    assert (len(kfp.versions), len(kfp.runs)) == (1, 2)


def test_what_was_uploaded_is_what_was_compiled(submit: Call, kfp: KfpServer, tmp_path: Path) -> None:
    submit("--package", tmp_path / "kept.yaml")
    documents = list(yaml.safe_load_all((tmp_path / "kept.yaml").read_text()))
    (version,) = kfp.versions.values()
    assert [version.pipeline_spec["pipeline_spec"], version.pipeline_spec["platform_spec"]] == documents


def test_a_version_far_down_the_pages_is_found(submit: Call, kfp: KfpServer) -> None:
    submit()
    (version,) = kfp.versions.values()
    crowd = {f"{n}": type(version)(pipeline_id=version.pipeline_id, display_name=version.name) for n in range(250)}
    kfp.versions = {**crowd, version.pipeline_version_id: version}
    for other in crowd.values():
        other.pipeline_version_id = "crowd"
    submit()
    assert kfp.runs.popitem()[1].pipeline_version_reference.pipeline_version_id == version.pipeline_version_id


def test_the_namespace_goes_with_every_call(submit: Call, kfp: KfpServer) -> None:
    kfp.multi_user = True
    refused = submit()
    assert (refused.code, "listing needs a namespace" in refused.line) == (2, True)
    assert submit("--namespace", "team").code == 0
    (pipeline,), (experiment,) = kfp.pipelines.values(), kfp.experiments.values()
    assert (pipeline.namespace, experiment.namespace) == ("team", "team")


def test_a_pipeline_is_marked_as_nashflows(submit: Call, kfp: KfpServer) -> None:
    submit()
    (pipeline,) = kfp.pipelines.values()
    assert pipeline.description == "Made by nashflow: one version for each recipe and its settings."


@pytest.mark.parametrize(
    ("description", "whose"),
    [
        ("Churn model of the credit team.\nAsk Ann.", "'Churn model of the credit team. Ask Ann.', made 2026-08-21"),
        (None, "without a description, made 2026-08-21"),
        ("Not made by nashflow", "'Not made by nashflow', made 2026-08-21"),
    ],
)
@pytest.mark.parametrize("unseen", [False, True])
def test_a_pipeline_of_somebody_else_is_not_taken_over(
    submit: Call, kfp: KfpServer, description: str | None, whose: str, unseen: bool
) -> None:
    submit()
    (pipeline,) = kfp.pipelines.values()
    pipeline.description = description
    kfp.versions, kfp.runs = {}, {}
    kfp.faults = [Fault("GET .*/pipelines", "empty")] if unseen else []
    done = submit()
    assert (done.code, done.line) == (
        2,
        f"nashflow: the pipeline quickstart belongs to someone else ({whose}): set another run.name in the recipe",
    )
    assert (kfp.versions, kfp.runs) == ({}, {})


# --- never twice -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["502", "503", "reset"])
def test_a_request_that_broke_before_its_effect_is_not_sent_again(submit: Call, kfp: KfpServer, kind: str) -> None:
    """Nobody can know that it will have none: the user hears what to look for."""
    kfp.faults = [Fault(CREATE, kind)]
    done = submit()
    assert (done.code, len(kfp.runs), kfp.seen.count("POST /apis/v2beta1/runs")) == (75, 0, 1)
    assert f"before you try again, see that it has not appeared since: `nashflow runs --host {kfp.url}`" in done.line


def test_a_request_that_has_its_effect_long_after_it_broke_makes_no_second_run(submit: Call, kfp: KfpServer) -> None:
    kfp.faults = [Fault(CREATE, "502", "last")]
    assert (submit().code, len(kfp.runs)) == (75, 0)
    kfp.catch_up()
    assert len(kfp.runs) == 1


def test_a_name_makes_the_same_command_the_same_run(submit: Call, kfp: KfpServer) -> None:
    kfp.faults = [Fault(CREATE, "502")]
    assert submit("--name", "nightly-7").code == 75
    assert [submit("--name", "nightly-7").code for _ in range(2)] == [0, 0]
    assert [run.display_name for run in kfp.runs.values()] == ["nightly-7"]
    others = (["--set", "training.learning_rate=0.5"], ["--set", "prompts.shards=2"], ["--run-root", "s3://other/run"])
    for other in others:
        refused = submit("--name", "nightly-7", *other)
        assert (refused.code, len(kfp.runs)) == (2, 1)
        assert "--name nightly-7: is a run of another recipe, or of other settings" in refused.line


@pytest.mark.usefixtures("settling")
@pytest.mark.parametrize("when", ["after", "later"])
@pytest.mark.parametrize("kind", ["502", "503", "504", "reset"])
def test_a_request_that_broke_after_its_effect_is_not(submit: Call, kfp: KfpServer, kind: str, when: str) -> None:
    kfp.faults = [Fault(CREATE, kind, when)]
    done = submit()
    (run,) = kfp.runs.values()
    assert (done.code, run.run_id in done.out, kfp.seen.count("POST /apis/v2beta1/runs")) == (0, True, 1)


@pytest.mark.usefixtures("impatient", "settling")
@pytest.mark.parametrize("when", ["after", "later"])
def test_a_request_without_an_answer_is_looked_for(submit: Call, kfp: KfpServer, when: str) -> None:
    kfp.faults = [Fault(CREATE, "slow", when)]
    assert (submit().code, len(kfp.runs), kfp.seen.count("POST /apis/v2beta1/runs")) == (0, 1, 1)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", ["slow", "504"])
def test_a_request_that_may_still_be_at_work_is_not_sent_again(submit: Call, kfp: KfpServer, kind: str) -> None:
    kfp.faults = [Fault(CREATE, kind)]
    done = submit()
    assert (done.code, len(kfp.runs), kfp.seen.count("POST /apis/v2beta1/runs")) == (75, 0, 1)
    assert "no answer to the request for the run quickstart-" in done.line
    assert f"`nashflow runs --host {kfp.url}`" in done.line


@pytest.mark.usefixtures("settling")
def test_the_looking_survives_a_restart(submit: Call, kfp: KfpServer) -> None:
    kfp.faults = [Fault(CREATE, "reset", "after"), Fault("GET .*/runs", "503", times=5)]
    assert (submit().code, len(kfp.runs)) == (0, 1)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_server_that_breaks_and_stays_away_leaves_no_doubt_unsaid(submit: Call, kfp: KfpServer, when: str) -> None:
    kfp.faults = [Fault(CREATE, "reset", when), Fault("GET .*/runs", "503", times=999, skip=1)]
    done = submit()
    assert (done.code, len(kfp.runs)) == (75, int(when == "after"))
    assert re.search(r"try again later \(503\).*; no answer to the request for the run quickstart-", done.line)


def test_a_server_that_keeps_breaking_is_given_up(submit: Call, kfp: KfpServer) -> None:
    kfp.faults = [Fault(CREATE, "502", times=99)]
    assert (submit().code, len(kfp.runs), kfp.seen.count("POST /apis/v2beta1/runs")) == (75, 0, 1)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("request_", ["POST .*/pipelines", "POST .*/upload_version", "POST .*/experiments"])
def test_what_else_is_made_is_made_once(submit: Call, kfp: KfpServer, request_: str, when: str) -> None:
    kfp.faults = [Fault(request_, "reset", when)]
    assert submit().code == 0
    assert (len(kfp.pipelines), len(kfp.versions), len(kfp.experiments), len(kfp.runs)) == (1, 1, 1, 1)


def test_two_that_submit_at_once_share_a_pipeline(submit: Call, kfp: KfpServer) -> None:
    """Both find none, the other one is first: the server says 409 to ours."""
    submit()
    kfp.faults = [Fault("GET .*/pipelines", "empty")]
    assert (submit().code, len(kfp.pipelines), len(kfp.runs)) == (0, 1, 2)


def test_too_many_requests_are_sent_again(submit: Call, kfp: KfpServer) -> None:
    kfp.faults = [Fault(CREATE, "429", times=2)]
    assert (submit().code, len(kfp.runs)) == (0, 1)


def test_what_the_server_refuses_is_said_and_not_sent_again(submit: Call, kfp: KfpServer) -> None:
    kfp.faults = [Fault(CREATE, "400", times=9)]
    done = submit()
    assert (done.code, done.line) == (2, f"nashflow: {kfp.url}: try again later (400)")
    kfp.faults = [Fault(CREATE, "500", times=9)]
    assert submit().code == 75
    assert kfp.seen.count("POST /apis/v2beta1/runs") == 2


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--run-root", ""], "no run root: give --run-root s3://bucket/prefix, or set cluster.run_root"),
        (["--run-root", "runs/x"], "run root runs/x: pods can only use s3://; give s3://bucket/prefix"),
        *(
            (
                ["--run-root", "s3://b/{job}", "--name", name],
                f"--name {name}: becomes the run's folder, for {{job}} in s3",
            )
            for name in ("$(X)", "{{x}}", "[[CurrentTime]]", "a/b", "..", "a b")
        ),
        (["--set", "trainin.x=1"], "trainin: unknown key; did you mean training?"),
        *(
            ([*options], f"{where}{root!r} is no place that pods are told unchanged: set s3://bucket/prefix")
            for options, where, root in (
                (["--run-root", "s3://b/$(AWS_SECRET_ACCESS_KEY)"], "run root ", "s3://b/$(AWS_SECRET_ACCESS_KEY)"),
                (["--run-root", "s3://b/{{workflow.name}}"], "run root ", "s3://b/{{workflow.name}}"),
                (["--set", "cluster.run_root=s3://b/$$(X)"], "quickstart: cluster.run_root: ", "s3://b/$$(X)"),
            )
        ),
    ],
)
def test_bad_input_is_refused_before_anything_is_made(
    submit: Call, kfp: KfpServer, options: list[str], words: str
) -> None:
    done = submit(*options)
    assert (done.code, words in done.line) == (2, True), done.err
    assert (kfp.pipelines, kfp.runs) == ({}, {})


def test_the_recipes_run_root_is_taken_where_none_is_given(call: Call, kfp: KfpServer) -> None:
    sets = ["--set", "run.iterations=1", "--set", "cluster.run_root=s3://bucket/{job}"]
    assert call("submit", "quickstart", *sets, "--host", kfp.url).code == 0
    (run,) = kfp.runs.values()
    assert run.runtime_config.parameters["run_root"] == f"s3://bucket/{run.display_name}"


def test_the_recipes_service_account_counts_unless_another_is_given(submit: Call, kfp: KfpServer) -> None:
    submit("--set", "cluster.service_account=nashflow-runner")
    submit("--set", "cluster.service_account=nashflow-runner", "--service-account", "other")
    assert [run.service_account for run in kfp.runs.values()] == ["nashflow-runner", "other"]


def test_a_later_run_unrolls_the_later_iterations_alone(submit: Call, kfp: KfpServer, tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    three = ("--set", "run.iterations=3")
    assert submit(*three, "--first-iteration", "3", "--package", str(file)).code == 0
    ir = next(yaml.safe_load_all(file.read_text()))
    tasks = ir["components"]["comp-condition-2"]["dag"]["tasks"]
    assert {name for name in tasks if "rollout" in name} == {"rollout-003-main"}
    refused = submit(*three, "--first-iteration", "4")
    assert (refused.code, refused.err) == (2, "nashflow: --first-iteration 4: the recipe's iterations are 1 to 3\n")


def test_images_of_another_version_are_said_and_no_hindrance(submit: Call) -> None:
    images = ("steps=nashflow-steps:0.0.9", "vllm=nashflow-vllm:0.0.9", "training=here:5000/of-our-own/training:7")
    done = submit(*(option for image in images for option in ("--set", f"cluster.images.{image}")))
    assert done.code == 0
    assert done.err == (
        f"nashflow: warning: cluster.images.steps is nashflow-steps:0.0.9, and this is NashFlow {VERSION}: build and "
        f"push nashflow-steps:{VERSION}, and set cluster.images.steps to it, or install NashFlow 0.0.9 here\n"
    )
