"""Recipes: files and shipped names, overrides, variables, and what a wrong one is told."""

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from nashflow.components.benchmarks.head_to_head import HeadToHead
from nashflow.components.core.errors import UserError
from nashflow.components.methods import METHODS
from nashflow.components.sampling.engines import Vllm
from nashflow.pipelines.recipe import SHIPPED, Recipe, load_recipe
from tests.fixtures.runs import SMALL

STEPS = ("rollout", "judging", "logprobs", "training", "evaluation", "reporting")


def written(folder: Path, **sections: Any) -> str:
    """The small recipe as a file, with some sections replaced."""
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({**SMALL, **sections}))
    return str(path)


def refusal(name: str, *overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        load_recipe(name, overrides)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


# --- loading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(path.stem for path in SHIPPED.glob("*.yaml")))
def test_a_shipped_recipe_loads_by_its_name_and_by_its_path(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe == load_recipe(str(SHIPPED / f"{name}.yaml"))
    assert recipe.run.name == name


def test_a_file_gives_what_it_says_and_defaults_for_the_rest(tmp_path: Path) -> None:
    recipe = load_recipe(written(tmp_path))
    assert recipe == Recipe.parse(SMALL, "test")
    assert (recipe.training.learning_rate, recipe.training.weight_decay) == (2e-4, 0.0)
    assert Recipe.parse(recipe.model_dump(mode="json"), "its own dump") == recipe


def test_a_file_goes_before_a_shipped_recipe_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "quickstart").write_text(yaml.safe_dump(SMALL))
    monkeypatch.chdir(tmp_path)
    assert load_recipe("quickstart").run.name == "small"


def test_an_unknown_name_lists_the_shipped_ones() -> None:
    line = refusal("quikstart")
    assert line.startswith("quikstart: no such recipe; give a YAML file or one of ")
    assert line.split("one of ")[1].split(", ") == sorted(path.stem for path in SHIPPED.glob("*.yaml"))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"run: [1", "not YAML"), (b"- 1\n", "a recipe is a mapping"), (b"", "a mapping"), (b"\xff\xfe\xfd", "be read")],
)
def test_a_file_that_is_no_recipe_is_named(tmp_path: Path, content: bytes, complaint: str) -> None:
    (tmp_path / "recipe.yaml").write_bytes(content)
    line = refusal(str(tmp_path / "recipe.yaml"))
    assert line.startswith(f"{tmp_path}/recipe.yaml: ")
    assert complaint in line


def test_a_folder_is_no_recipe(tmp_path: Path) -> None:
    assert refusal(str(tmp_path)).startswith(f"{tmp_path}: cannot be read: ")


def test_a_key_that_stands_twice_is_refused_with_both_lines(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("extends: quickstart\nrun:\n  seed: 1\n  name: a\n  seed: 2\n")
    said = "not YAML: line 5: the key 'seed' stands in line 3 already; keep one of them"
    assert refusal(str(tmp_path / "recipe.yaml")) == f"{tmp_path}/recipe.yaml: {said}"


@pytest.mark.parametrize("step", STEPS)
def test_a_step_reads_its_part_of_a_recipe_and_nothing_else(step: str) -> None:
    part = importlib.import_module(f"nashflow.components.{step}.step").SETTINGS
    whole = Recipe.parse(SMALL, "test").model_dump(mode="json")
    read = part.parse(whole, "--recipe")
    others = dict.fromkeys(whole.keys() - part.model_fields.keys())
    assert part.parse(whole | others | {"unheard_of": {}}, "--recipe") == read
    for section in part.model_fields.keys() - {"policy"}:  # of which steps read how it renders, if it says so
        assert getattr(read, section).model_dump(mode="json").items() <= whole[section].items()


@pytest.mark.parametrize("step", ["rollout", "judging", "logprobs", "training", "evaluation"])
def test_a_part_that_somebody_has_written_by_hand_is_checked_by_name(step: str) -> None:
    part = importlib.import_module(f"nashflow.components.{step}.step").SETTINGS
    whole = Recipe.parse(SMALL, "test").model_dump(mode="json")
    for section in part.model_fields.keys() - {"run", "prompts", "policy"}:
        with pytest.raises(UserError, match=rf"^--recipe: {section}\.unheard_of: unknown key"):
            part.parse(whole | {section: {**whole[section], "unheard_of": 1}}, "--recipe")
        with pytest.raises(UserError, match=rf"^--recipe: {section}"):
            part.parse(whole | {section: None}, "--recipe")


# --- overrides and variables -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "section", "key", "value"),
    [
        ("training.learning_rate=1.0e-6", "training", "learning_rate", 1e-6),
        ("run.seed=7", "run", "seed", 7),
        ("run.name=other", "run", "name", "other"),
        (" run.name =other", "run", "name", "other"),
        ("judging.drop_identical=true", "judging", "drop_identical", True),
        ("evaluation.benchmarks=[head_to_head]", "evaluation", "benchmarks", (HeadToHead(),)),
        ("cluster.run_root=s3://bucket/a=b", "cluster", "run_root", "s3://bucket/a=b"),
    ],
)
def test_an_override_sets_one_key(override: str, section: str, key: str, value: Any) -> None:
    before, after = load_recipe("quickstart"), load_recipe("quickstart", [override])
    found = getattr(getattr(after, section), key)
    assert (tuple(found) if isinstance(found, list) else found) == value
    changed, kept = after.model_dump(), before.model_dump()
    changed[section][key] = kept[section][key]
    assert changed == kept


def test_the_last_override_of_a_key_counts() -> None:
    assert load_recipe("quickstart", ["run.seed=1", "run.seed=2"]).run.seed == 2


def test_an_override_reaches_below_a_section_that_the_file_leaves_out() -> None:
    recipe = load_recipe("quickstart", ["policy.world.seed=3", "oracle.world.seed=3"])
    assert recipe.policy.model_dump()["world"]["seed"] == 3


@pytest.mark.parametrize("override", ["prompts", "prompts=1", "run.=x", "=1", ""])
def test_an_override_without_section_key_and_value_is_refused(override: str) -> None:
    assert refusal("quickstart", override).startswith(f"--set {override}: give section.key=value")


def test_a_tilde_is_the_home_folder_wherever_a_path_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "home/base.yaml").write_text("extends: inpo-llama3-8b\nprompts: {path: ~/prompts.jsonl}\n")
    (tmp_path / "recipe.yaml").write_text("extends: ~/base.yaml\n")
    for named in (f"{tmp_path}/recipe.yaml", "~/base.yaml"):
        recipe = load_recipe(named, ["policy.model=~/models/policy"])
        assert recipe.prompts.path == f"{tmp_path}/home/prompts.jsonl"
        assert recipe.policy.model_dump()["model"] == f"{tmp_path}/home/models/policy"


def test_an_override_that_is_no_yaml_is_refused() -> None:
    line = refusal("quickstart", "run.name=[x")
    assert line.startswith("--set run.name=[x: '[x' is not a YAML value: line 1: expected ',' or ']'")


@pytest.mark.parametrize("value", ['{"kind": "sandbox", "kind": "rules"}', "{kind: sandbox, kind: rules}"])
def test_a_key_that_stands_twice_is_refused_in_an_override_too(value: str) -> None:
    assert refusal("quickstart", f"oracle={value}").endswith(
        "the key 'kind' stands in line 1 already; keep one of them"
    )


def test_an_override_below_a_value_is_refused() -> None:
    assert refusal("quickstart", "run.name.first=x") == "--set run.name.first=x: name is a value, not a section"


def test_variables_are_replaced_in_every_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUCKET", "models")
    monkeypatch.setenv("PART", "gemma")
    cluster = {"run_root": "s3://${BUCKET}/runs/${PART}-${PART}/$PART/{job}"}
    recipe = load_recipe(written(tmp_path, cluster=cluster), ["run.name=${PART}"])
    assert recipe.cluster.run_root == "s3://models/runs/gemma-gemma/$PART/{job}"
    assert recipe.run.name == "gemma"


def test_a_variable_that_is_not_set_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BUCKET", raising=False)
    line = refusal(written(tmp_path, cluster={"run_root": "s3://${BUCKET}/runs"}))
    assert line == (
        f"{tmp_path}/recipe.yaml: the environment variable BUCKET is not set; the recipe uses it as ${{BUCKET}}"
    )


# --- recipes that extend others ---------------------------------------------------------------------------------------


def test_an_extended_recipe_gives_what_is_not_said(tmp_path: Path) -> None:
    written(tmp_path)
    heir = tmp_path / "heir.yaml"
    heir.write_text("extends: recipe.yaml\nrun: {seed: 7}\ntraining: {epochs: 5}\nmethod: {name: sppo, eta: 2}\n")
    recipe, base = load_recipe(str(heir)), load_recipe(str(tmp_path / "recipe.yaml"))
    assert (recipe.run.seed, recipe.training.epochs) == (7, 5)
    assert recipe.run.name == base.run.name
    assert recipe.training.learning_rate == base.training.learning_rate
    assert recipe.method.model_dump(exclude_unset=True) == {"name": "sppo", "eta": 2.0}, "a method is taken as a whole"
    assert recipe.prompts == base.prompts


def test_a_shipped_recipe_can_be_extended_from_anywhere_and_through_others(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("extends: quickstart\nrun: {name: one}\n")
    (tmp_path / "two.yaml").write_text("extends: one.yaml\nrun: {seed: 2}\n")
    recipe = load_recipe(str(tmp_path / "two.yaml"), ["run.iterations=9"])
    assert (recipe.run.name, recipe.run.seed, recipe.run.iterations) == ("one", 2, 9)
    assert recipe.method == load_recipe("quickstart").method


def test_recipes_that_extend_each_other_are_refused(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("extends: two.yaml\n")
    (tmp_path / "two.yaml").write_text("extends: one.yaml\n")
    assert refusal(str(tmp_path / "one.yaml")) == "one.yaml: extends itself, through one.yaml and two.yaml"
    (tmp_path / "three.yaml").write_text("extends: four.yaml\n")
    assert refusal(str(tmp_path / "three.yaml")).startswith("four.yaml: no such recipe; ")


def test_the_sandbox_recipes_differ_in_their_method_alone() -> None:
    """So that their figures compare: `make methods` runs them all."""
    base = load_recipe("sandbox-inpo").model_dump(exclude={"method": True, "run": {"name"}})
    names = {path.stem for path in SHIPPED.glob("sandbox-*.yaml")}
    methods = set()
    for name in names:
        recipe = load_recipe(name)
        assert recipe.model_dump(exclude={"method": True, "run": {"name"}}) == base
        methods.add(recipe.method.name)
    assert methods == METHODS.members.keys()


# --- wrong keys, and what does not fit together ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("training.learing_rate=1e-3", "training.learing_rate: unknown key; did you mean training.learning_rate?"),
        ("trainnig.epochs=1", "trainnig: unknown key; did you mean training?"),
        ("method.samplse=4", "method.samplse: unknown key; did you mean method.samples?"),
        ("policy.world.sed=1", "policy.world.sed: unknown key; did you mean policy.world.seed?"),
        ("method.name=inpoo", "method.name: 'inpoo' is unknown; did you mean inpo?"),
        ("oracle.kind=sandbx", "oracle.kind: 'sandbx' is unknown; did you mean sandbox?"),
    ],
)
def test_a_wrong_key_gets_the_nearest(override: str, complaint: str) -> None:
    assert refusal("quickstart", override) == f"quickstart: {complaint}"


def test_every_mistake_is_told_at_once() -> None:
    line = refusal("quickstart", "run.iterations=0", "training.epochs=many", "judging.batch=1")
    for key in ("run.iterations: ", "training.epochs: ", "judging.batch: unknown key"):
        assert key in line


JUDGE = {"kind": "pair_preference", "model": "judge"}
FOLDER = {"kind": "folder", "model": "policy"}
FILE = {"path": "prompts.jsonl", "per_iteration": 8}
PLAIN = {"benchmarks": ["head_to_head"]}


@pytest.mark.parametrize(
    ("sections", "complaint"),
    [
        ({"prompts": FILE}, "oracle.kind is sandbox, which judges its own prompts only, but prompts.path is"),
        ({"oracle": JUDGE, "policy": FOLDER, "evaluation": PLAIN}, "prompts.path is empty, which is for the sandbox"),
        ({"oracle": JUDGE, "policy": FOLDER, "prompts": FILE}, "evaluation.benchmarks has game, which is for the"),
        ({"oracle": JUDGE, "prompts": FILE, "evaluation": PLAIN}, "policy.kind is sandbox, which is for the sandbox"),
        ({"oracle": {"kind": "sandbox", "world": {"seed": 1}}}, "policy.world and oracle.world differ"),
    ],
)
def test_what_is_not_of_one_world_is_refused(tmp_path: Path, sections: dict[str, Any], complaint: str) -> None:
    assert complaint in refusal(written(tmp_path, **sections))


@pytest.mark.parametrize(
    "sections",
    [
        {"oracle": JUDGE, "policy": FOLDER, "prompts": FILE, "evaluation": PLAIN},
        {"policy": FOLDER},
        {"oracle": {"kind": "sandbox", "world": {"seed": 1}}, "policy": {"kind": "sandbox", "world": {"seed": 1}}},
    ],
    ids=["real", "a folder in the sandbox", "another world"],
)
def test_what_is_of_one_world_is_not(tmp_path: Path, sections: dict[str, Any]) -> None:
    recipe = load_recipe(written(tmp_path, **sections))
    assert {name: getattr(recipe, name).kind for name in ("oracle", "policy")} == {
        name: sections.get(name, SMALL[name])["kind"] for name in ("oracle", "policy")
    }


FROM_A_FILE = {"policy": {"kind": "folder", "model": "m"}, "oracle": {"kind": "reward_model", "model": "r"}}


@pytest.mark.parametrize(
    ("method", "given", "complaint"),
    [
        ({"name": "ipo", "tau": 0.1}, ["answer"], "such as [chosen, rejected]; it is ['answer']"),
        ({"name": "dno", "teacher": False}, ["a"], "prompts.given is ['a'], but dno uses none: remove it"),
        ({"name": "inpo", "eta": 1, "tau": 0.1}, ["a"], "prompts.given is ['a'], but inpo uses none: remove it"),
    ],
)
def test_what_comes_with_the_prompts_is_what_the_method_uses(
    tmp_path: Path, method: dict[str, Any], given: list[str], complaint: str
) -> None:
    prompts = {**SMALL["prompts"], "path": "prompts.jsonl", "given": given}
    evaluation = {"benchmarks": ["head_to_head"]}
    name = written(tmp_path, method=method, prompts=prompts, evaluation=evaluation, **FROM_A_FILE)
    assert complaint in refusal(name)


def test_the_sandbox_world_gives_its_own() -> None:
    line = refusal("sandbox-ipo", "prompts.given=[chosen, rejected]")
    assert "prompts.given is ['chosen', 'rejected'], but the sandbox world gives its own: remove it" in line


def test_only_the_transformers_engine_samples_mixtures() -> None:
    assert refusal("sandbox-nash-md", "rollout.engine=vllm").endswith(
        "method nash_md samples a mixture of two policies token by token, which rollout.engine vllm cannot: set "
        "rollout.engine to transformers"
    )
    single = load_recipe("sandbox-inpo", ["rollout.engine=vllm", "rollout.dtype=float32"])
    assert single.rollout.engine == Vllm()


def test_vllm_does_not_compute_in_float64() -> None:
    assert refusal("sandbox-inpo", "rollout.engine=vllm").endswith(
        "rollout.engine vllm does not compute in float64: set rollout.dtype to float32 or bfloat16"
    )
