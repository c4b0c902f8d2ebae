"""Every rule lets our graphs be, and sees what breaks it."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nashflow.components.core.errors import UserError
from nashflow.pipelines import lint
from nashflow.pipelines.compiled import Graph, read_graph
from nashflow.pipelines.graph import compile_graph
from nashflow.pipelines.lint import check_graph
from nashflow.pipelines.recipe import SHIPPED, load_recipe

Break = Callable[[dict[str, Any], dict[str, Any]], None]


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    """Two iterations with two phases each, on GPUs."""
    package = tmp_path_factory.mktemp("graph") / "p.yaml"
    compile_graph(load_recipe("sandbox-egpo", ["run.iterations=2", "cluster.profile=one-node"]), package)
    return read_graph(package)


@pytest.mark.parametrize("name", sorted(path.stem for path in SHIPPED.glob("*.yaml")))
def test_every_shipped_recipe_breaks_no_rule(name: str, tmp_path: Path) -> None:
    compile_graph(load_recipe(name), tmp_path / "p.yaml")
    assert lint.lint(read_graph(tmp_path / "p.yaml")) == []


# --- what breaks a rule ----------------------------------------------------------------------------------------------


def leaf(ir: dict[str, Any], step: str) -> dict[str, Any]:
    """A task that runs a step."""
    for part in (ir["root"], *ir["components"].values()):
        for task in part.get("dag", {}).get("tasks", {}).values():
            label = ir["components"][task["componentRef"]["name"]].get("executorLabel", "")
            if label.startswith(f"exec-{step}"):
                return task  # type: ignore[no-any-return]
    raise LookupError(step)


def container(ir: dict[str, Any], step: str) -> dict[str, Any]:
    label = next(label for label in ir["deploymentSpec"]["executors"] if label.startswith(f"exec-{step}"))
    found: dict[str, Any] = ir["deploymentSpec"]["executors"][label]["container"]
    return found


def omit_an_input(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    del leaf(ir, "judging")["inputs"]["parameters"]["phase"]


def pass_null(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    leaf(ir, "judging")["inputs"]["parameters"]["phase"] = {"runtimeValue": {"constant": None}}


def read_what_is_not_declared(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    leaf(ir, "judging")["inputs"]["artifacts"]["responses"]["taskOutputArtifact"]["outputArtifactKey"] = "texts"


def read_without_depending(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    leaf(ir, "judging")["dependentTasks"] = []


def read_one_artifact_twice(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    ir["components"]["comp-judging"]["inputDefinitions"]["artifacts"]["again"] = {}
    read = leaf(ir, "judging")["inputs"]["artifacts"]
    read["again"] = read["responses"]


def use_metadata(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    container(ir, "judging")["args"][1] = "{{$.inputs.artifacts['responses'].metadata['uri']}}"


def concatenate(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    container(ir, "judging")["args"][1] = """{"Concat": ["a", "{{$.inputs.parameters['run_root']}}"]}"""


def name_no_input(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    container(ir, "judging")["args"][1] = "{{$.inputs.parameters['somewhere']}}"


def put_the_job_into_a_text(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    leaf(ir, "judging")["inputs"]["parameters"]["phase"]["runtimeValue"]["constant"] = "of {{$.pipeline_job_uuid}}"


def put_a_placeholder_into_a_default(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    ir["root"]["inputDefinitions"]["parameters"]["prompts"]["defaultValue"] = "/data/{{workflow.name}}"


def put_a_variable_into_a_default(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    ir["root"]["inputDefinitions"]["parameters"]["prompts"]["defaultValue"] = "/data/$(AWS_SECRET_ACCESS_KEY)"


def put_a_placeholder_into_the_environment(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    container(ir, "judging")["env"] = [{"name": "TEMPLATE", "value": "{{ messages }}"}]


def run_nothing_that_is_there(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    ir["components"]["comp-judging"]["executorLabel"] = "exec-jury"


def call_nothing_that_is_there(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    leaf(ir, "judging")["componentRef"]["name"] = "comp-jury"


def import_an_artifact(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    ir["deploymentSpec"]["executors"]["exec-judging"] = {"importer": {"artifactUri": {"constant": "s3://a"}}}


def run_a_step_that_is_none(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    container(ir, "judging")["command"][-1] = "nashflow.components.jury"


def ask_for_help(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    container(ir, "judging")["args"] = ["--help"]


def share_a_container(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    container(ir, "rollout").update(container(ir, "training"))


def run_something_else(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    container(ir, "judging")["command"] = ["sh", "-c", "true"]


def give_an_unknown_flag(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    container(ir, "judging")["args"] += ["--colour", "red"]


def give_a_word_for_a_number(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    ir["components"]["comp-judging"]["inputDefinitions"]["parameters"]["iteration"]["parameterType"] = "STRING"


def declare_what_nothing_writes(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    outputs = ir["components"]["comp-judging"]["outputDefinitions"]["artifacts"]
    outputs["ranking"] = outputs["pairs"]


def loop_over_artifacts(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    leaf(ir, "judging")["artifactIterator"] = {"items": {"inputArtifact": "responses"}, "itemInput": "one"}


def loop_over_an_output(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    leaf(ir, "judging")["parameterIterator"] = {"items": {"inputParameter": "shards"}, "itemInput": "shard"}


def cache(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    leaf(ir, "judging")["cachingOptions"] = {"enableCache": True}


def take_shared_memory(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    del platform["deploymentSpec"]["executors"]["exec-training"]["emptyDirMounts"]


def share_memory_on_disk(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    (mount,) = platform["deploymentSpec"]["executors"]["exec-training"]["emptyDirMounts"]
    mount["medium"] = ""


def compute_without_cuda(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    container(ir, "judging")["image"] = "{{$.inputs.parameters['pipelinechannel--image']}}"


def take_the_timeout(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    del platform["deploymentSpec"]["executors"]["exec-preparation"]["activeDeadlineSeconds"]


def take_the_cpu_limit(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    del container(ir, "closing")["resources"]["resourceCpuLimit"]


def take_the_memory_limit(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    del container(ir, "closing")["resources"]


def allow_root(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    del platform["deploymentSpec"]["executors"]["exec-closing"]["securityContext"]


def be_root(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    platform["deploymentSpec"]["executors"]["exec-closing"]["securityContext"]["runAsUser"] = "0"


def never_close(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    del leaf(ir, "closing")["triggerPolicy"]


def report_in_the_end(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    leaf(ir, "closing")["componentRef"] = leaf(ir, "reporting")["componentRef"]


def never_retry(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    del leaf(ir, "training")["retryPolicy"]


def give_up_closing(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    leaf(ir, "closing")["retryPolicy"]["maxRetryCount"] = 0


def retry_the_users_mistakes(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    leaf(ir, "preparation")["retryPolicy"] = {"maxRetryCount": 3}


def pass_a_book(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    leaf(ir, "judging")["inputs"]["parameters"]["phase"]["runtimeValue"]["constant"] = "x" * 120_000


def loop(ir: dict[str, Any], items: str) -> None:
    """Repeat the rollout, whose responses judging reads."""
    leaf(ir, "rollout")["parameterIterator"] = {"items": {"raw": items}, "itemInput": "shard"}


def collect_much(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    loop(ir, json.dumps(list(range(223))))


def loop_over_a_word(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    loop(ir, "all")


def share_a_loop(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    tasks = ir["root"]["dag"]["tasks"]
    tasks["run"]["parameterIterator"] = {"itemInput": "shard", "items": {"raw": "[0]"}}
    tasks["again"] = copy.deepcopy(tasks["run"])


def shard_finely(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    loop(ir, json.dumps(list(range(600))))


def nest_much(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    tasks = ir["components"]["comp-condition-2"]["dag"]["tasks"]
    tasks |= {f"evaluation-{number}": leaf(ir, "evaluation") for number in range(300)}


def start_many(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    ir["root"]["dag"]["tasks"] |= {f"closing-{number}": leaf(ir, "closing") for number in range(400)}


def labels_of_training(platform: dict[str, Any]) -> dict[str, str]:
    placed = platform["deploymentSpec"]["executors"]["exec-training"]
    return placed["podMetadata"]["labels"]  # type: ignore[no-any-return]


def label_with_blanks(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    labels_of_training(platform)["nashflow/step"] = "my step"


def label_in_greek(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    labels_of_training(platform)["nashflow/step"] = "η-0.1"


def label_under_a_sentence(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    labels_of_training(platform)["my run"] = "a"


def name_at_length(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    ir["pipelineInfo"]["name"] = "a" * 129


def name_nothing(ir: dict[str, Any], platform: dict[str, Any]) -> None:
    del ir["pipelineInfo"]


BROKEN: list[tuple[str, Break, str]] = [
    ("inputs_are_passed", omit_an_input, "is called without phase"),
    ("inputs_are_passed", pass_null, "is given null for phase"),
    ("references_are_declared", read_what_is_not_declared, "reads rollout-001-half.texts, which it cannot"),
    ("references_are_declared", read_without_depending, "reads rollout-001-half.responses, which it cannot"),
    ("placeholders_are_resolved", use_metadata, "holds a placeholder that a cluster leaves as it is"),
    ("artifacts_are_read_once", read_one_artifact_twice, "is given what may be one artifact as again and as responses"),
    ("references_are_declared", run_nothing_that_is_there, "exec-jury, which is not there"),
    ("references_are_declared", call_nothing_that_is_there, "comp-jury, which is not there"),
    ("placeholders_are_resolved", concatenate, "holds a placeholder that a cluster leaves as it is"),
    ("placeholders_are_resolved", name_no_input, "somewhere is no input of its component"),
    ("placeholders_are_resolved", put_the_job_into_a_text, "phase holds {{, which KFP takes for a placeholder"),
    ("texts_are_left_alone", put_a_placeholder_into_a_default, "the default of prompts holds {{"),
    ("texts_are_left_alone", put_a_variable_into_a_default, "the default of prompts holds $("),
    ("texts_are_left_alone", put_a_placeholder_into_the_environment, "exec-judging: TEMPLATE holds {{"),
    ("executors_are_distinct", share_a_container, "2 components with different inputs or outputs have the same"),
    ("steps_take_their_arguments", run_something_else, "exec-judging: runs sh -c true, which is no step"),
    ("steps_take_their_arguments", run_a_step_that_is_none, "nashflow.components.jury, which is no step"),
    ("steps_take_their_arguments", import_an_artifact, "exec-judging: runs no container"),
    ("steps_take_their_arguments", ask_for_help, "refuses its arguments"),
    ("steps_take_their_arguments", give_an_unknown_flag, "refuses its arguments: unrecognized arguments: --colour red"),
    ("steps_take_their_arguments", give_a_word_for_a_number, "argument --iteration: invalid int value: 'text'"),
    ("outputs_are_written", declare_what_nothing_writes, "nothing writes its output ranking"),
    ("loops_are_static", loop_over_artifacts, "loops over artifacts"),
    ("loops_are_static", loop_over_an_output, "loops over no list that is written out"),
    ("loops_are_static", loop_over_a_word, "loops over no list that is written out"),
    ("loops_have_components", share_a_loop, "2 loops are of comp-exit-handler-1: each needs a component of its own"),
    ("nothing_is_cached", cache, "task judging-001-half is cached"),
    ("accelerators_have_what_they_need", take_shared_memory, "no /dev/shm in memory"),
    ("accelerators_have_what_they_need", share_memory_on_disk, "no /dev/shm in memory"),
    ("accelerators_have_what_they_need", compute_without_cuda, "exec-judging: asks for accelerators in the i"),
    ("pods_are_bounded", take_the_timeout, "exec-preparation: no timeout; set cluster.steps.preparation.timeout_s"),
    ("pods_are_bounded", take_the_cpu_limit, "exec-closing: no limit of cpu; set cluster.steps.closing.cpu"),
    ("pods_are_bounded", take_the_memory_limit, "exec-closing: no limit of memory; set cluster.steps.closing.memory"),
    ("pods_are_restricted", allow_root, "exec-closing: may run as root"),
    ("pods_are_restricted", be_root, "exec-closing: may run as root"),
    ("runs_are_closed", never_close, "no closing"),
    ("runs_are_closed", report_in_the_end, "no closing"),
    ("steps_are_retried", never_retry, "is not retried; set cluster.steps.training.retries"),
    ("steps_are_retried", give_up_closing, "task closing is not retried; set cluster.steps.closing.retries"),
    ("steps_are_retried", retry_the_users_mistakes, "task preparation is retried"),
    ("arguments_are_short", pass_a_book, "bytes of parameters, above 100,000"),
    ("arguments_are_short", collect_much, "reads 223 artifacts, each about 450 bytes of an argument, besides"),
    ("arguments_are_short", nest_much, "comp-condition-2 has "),
    (
        "it_is_small",
        shard_finely,
        "lower prompts.shards: fewer, larger ones; or lower run.iterations, and when they are done submit the same",
    ),
    ("it_is_small", start_many, "of status for 422 tasks; lower run.iterations"),
    ("names_are_allowed", label_with_blanks, "label nashflow/step cannot be 'my step'"),
    ("names_are_allowed", label_in_greek, "label nashflow/step cannot be 'η-0.1'"),
    ("names_are_allowed", label_under_a_sentence, "no label can be called 'my run'"),
    ("names_are_allowed", name_at_length, "is no name of a pipeline"),
    ("names_are_allowed", name_nothing, "'' is no name of a pipeline"),
]


@pytest.mark.parametrize(("rule", "broken", "complaint"), BROKEN, ids=[made.__name__ for _, made, _ in BROKEN])
def test_a_rule_sees_what_breaks_it(rule: str, broken: Break, complaint: str, graph: Graph) -> None:
    ir, platform = copy.deepcopy(graph.ir), copy.deepcopy(graph.platform)
    broken(ir, platform)  # type: ignore[arg-type]
    found = list(getattr(lint, rule)(Graph(ir, platform)))
    assert any(complaint in line for line in found), found
    assert f"{rule}: {found[0]}" in lint.lint(Graph(ir, platform))


def test_every_rule_is_shown_to_fire_and_says_why() -> None:
    assert {rule for rule, _, _ in BROKEN} == {rule.__name__ for rule in lint.RULES}
    assert all(rule.__doc__ for rule in lint.RULES)


def test_what_breaks_a_rule_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        compile_graph(load_recipe("sandbox-onpo", ["run.iterations=100"]), tmp_path / "p.yaml")
    line = str(caught.value)
    assert line.splitlines() == [line]
    assert line.startswith("sandbox-onpo: a cluster would refuse or break this graph: ")
    assert "submit the same run root again with a larger one and --first-iteration" in line
    assert not (tmp_path / "p.yaml").exists()


def test_a_graph_that_is_somebody_elses_is_complained_about(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("deploymentSpec: {}\nroot: {dag: {tasks: {a: {componentRef: {name: a}}}}}")
    with pytest.raises(UserError, match=r"a cluster would refuse or break this graph: .*a, which is not there"):
        check_graph(tmp_path / "p.yaml")


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every entry of every object and list: what holds it, and its key or index."""
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(inner, dict | list):
            yield from places(inner)


@given(data=st.data())
@settings(max_examples=50)
def test_whatever_is_spoilt_in_a_graph_gives_complaints_and_no_traceback(
    data: st.DataObject, graph: Graph, tmp_path_factory: pytest.TempPathFactory
) -> None:
    documents = [copy.deepcopy(dict(graph.ir)), {"platforms": {"kubernetes": copy.deepcopy(dict(graph.platform))}}]
    for _ in range(data.draw(st.integers(1, 3))):
        holder, key = data.draw(st.sampled_from(list(places(documents))))
        if holder is documents or data.draw(st.booleans()):
            holder[key] = data.draw(st.sampled_from([None, {}, [], 0, -1.5, True, "", "x", "{{", [None], {"x": {}}]))
        else:
            del holder[key]
    package = tmp_path_factory.mktemp("spoilt") / "p.yaml"
    package.write_text("\n---\n".join(json.dumps(document) for document in documents))
    try:
        found = lint.lint(read_graph(package))
    except UserError as error:
        found = [str(error)]
    assert all(len(line.splitlines()) == 1 for line in found)
