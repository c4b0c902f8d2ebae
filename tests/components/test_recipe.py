"""What a run may set of the recipe that its graph was compiled from, and what it is told otherwise."""

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nashflow.components.core.errors import UserError
from nashflow.components.core.overrides import override
from nashflow.components.recipe import Recipe, shapes_graph, with_settings
from nashflow.pipelines.recipe import Recipe as ClientsRecipe
from nashflow.pipelines.recipe import load_recipe
from tests.fixtures.recipe_fields import free, leaves, others
from tests.fixtures.runs import recipe

SHAPING = {
    "method.name=sppo": "",
    "method=sppo": "",
    "run.name=other": "",
    "run.seed=1": "",
    "run.threads=2": "",
    "run.iterations=5": "",
    "prompts.shards=2": "",
    "policy.kind=folder": "--set policy.model=/models/x",
    "oracle.kind=reward_model": "",
    "evaluation.benchmarks=[game]": "",
    "rollout.engine=vllm": "",
    "logprobs.engine=transformers": "",
    "training.engine=deepspeed": "",
    "cluster.profile=one-node": "",
    "cluster.steps.training.memory=8Gi": "",
    "cluster.images.steps=registry/steps:1": "",
    "cluster.run_root=s3://bucket/runs": "",
}


@pytest.mark.parametrize("setting", SHAPING)
def test_what_shapes_the_graph_is_refused_by_name(setting: str) -> None:
    assert shapes_graph(setting)
    with pytest.raises(UserError) as caught:
        with_settings(recipe(), ["method.eta=0.1", setting])
    assert str(caught.value) == (
        f"set: {setting.partition('=')[0]} would change the graph, which is compiled: compile or submit the recipe "
        f"anew with --set {setting}"
    )


ADVICE = ["run.name=other", "run.seed=1", "run.iterations=5", "prompts.shards=2", "evaluation.benchmarks=[game]"]


@pytest.mark.parametrize("setting", [*ADVICE, "cluster.profile=one-node"])
def test_the_advice_works(setting: str) -> None:
    with pytest.raises(UserError) as caught:
        with_settings(load_recipe("quickstart"), [setting])
    advised = str(caught.value).rpartition("--set ")[2]
    assert load_recipe("quickstart", [advised]) != load_recipe("quickstart")


def test_the_client_and_preparation_agree_on_what_shapes_a_graph() -> None:
    """The client's recipe has one section more, whose fields all do."""
    for name in ("quickstart", "inpo-llama3-8b", "sandbox-nash-md"):
        whole = load_recipe(name)
        inside = Recipe.parse(whole.model_dump(mode="json"), "--recipe")
        assert free(whole) == free(inside)
        keys = {key for key, _, _ in leaves(whole)}
        assert {key for key in keys if key.split(".")[0] in ("run", "cluster")} <= keys - free(whole).keys()


def test_a_setting_that_changes_the_phases_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """No field is marked for it: which phases there are is the method's to say."""
    method, phases = type(recipe().method), type(recipe().method).phases

    def twice(self: Any, iteration: int) -> tuple[Any, ...]:
        (phase,) = phases(self, iteration)
        return (dataclasses.replace(phase, name="first"), phase) if self.eta > 1 else (phase,)

    monkeypatch.setattr(method, "phases", twice)
    assert with_settings(recipe(), ["method.eta=0.75"]).tasks == recipe().tasks
    with pytest.raises(UserError) as caught:
        with_settings(recipe(), ["training.epochs=2", "method.eta=1.5"])
    assert str(caught.value) == (
        "set: training.epochs, method.eta would change the graph, which is compiled: compile or submit the recipe anew "
        "with --set training.epochs=2 --set method.eta=1.5"
    )


MISTAKES = {
    "method.etta=0.1": "set: method.etta: unknown key; did you mean method.eta?",
    "metod.eta=0.1": "set: metod: unknown key; did you mean method?",
    "method.eta=-1": "set: method.eta: -1 is neither a number above 0 nor 'decreasing'",
    "training.epochs=0": "set: training.epochs: Input should be greater than or equal to 1, not 0",
    "training.micro_batch_size=9": "set: training: micro_batch_size, in pairs, has become micro_batch_tokens, the "
    "tokens of a forward and backward pass: set that, or leave it out: 8192",
    "eta=0.1": "--set eta=0.1: give section.key=value, such as training.learning_rate=1e-6",
    "method.eta": "--set method.eta: give section.key=value, such as training.learning_rate=1e-6",
    "method.eta.x=1": "--set method.eta.x=1: eta is a value, not a section",
    "training.epochs=@": "--set training.epochs=@: '@' is not a YAML value: line 1: found character '@' that "
    "cannot start any token",
    "method.labels=score": "set: method.labels is score, but verdicts of oracle.kind sandbox have no scores: set "
    "method.labels to soft, or oracle to a reward model or an embedding",
    "prompts.path=x": "set: oracle.kind is sandbox, which judges its own prompts only, but prompts.path is 'x'",
}


@pytest.mark.parametrize("setting", MISTAKES)
def test_a_mistake_is_one_line_that_names_it(setting: str) -> None:
    with pytest.raises(UserError) as caught:
        with_settings(recipe(), [setting])
    assert str(caught.value) == MISTAKES[setting]


def test_settings_are_those_of_the_recipe_with_them_in_it() -> None:
    settings = ["method.eta=0.25", "training.learning_rate=1e-6", "judging.drop_identical=true", "method.eta=0.125"]
    assert with_settings(recipe(), settings) == recipe(
        {"method.eta": 0.125, "training.learning_rate": 1e-6, "judging.drop_identical": True}
    )
    assert with_settings(recipe(), []) == recipe()


def test_the_cluster_section_is_kept_as_the_client_wrote_it() -> None:
    """Preparation writes the recipe under the run root, where it says what was asked of the cluster."""
    whole = load_recipe("quickstart", ["cluster.profile=one-node", "cluster.images.steps=registry/steps:1"])
    inside = with_settings(Recipe.parse(whole.model_dump(mode="json"), "--recipe"), ["method.eta=0.25"])
    again = ClientsRecipe.parse(inside.model_dump(mode="json"), "--recipe")
    assert again.cluster == whole.cluster
    assert again == with_settings(whole, ["method.eta=0.25"])


FREE = sorted(free(recipe()).items(), key=lambda item: item[0])


@settings(max_examples=50)
@given(st.data())
def test_a_value_is_json_or_else_yaml(data: st.DataObject) -> None:
    key, (annotation, value) = data.draw(st.sampled_from(FREE))
    other = data.draw(others(annotation, value))
    tree: dict[str, Any] = {}
    override(tree, [f"{key}={json.dumps(other)}"], ClientsRecipe)
    section, _, rest = key.partition(".")
    assert tree == {section: nested(rest, other)}


def nested(key: str, value: Any) -> Any:
    first, dot, rest = key.partition(".")
    return {first: nested(rest, value) if dot else value}


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-6", 1e-6), ("yes", True), ("'yes'", "yes"), ('"yes"', "yes"), ("", None), ("a b", "a b"), ("NaN", "NaN")],
)
def test_so_are_words(text: str, value: Any) -> None:
    tree: dict[str, Any] = {}
    override(tree, [f" section.key ={text}"], ClientsRecipe)
    assert tree == {"section": {"key": value}}
