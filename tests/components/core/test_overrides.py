"""Sections that become another variant: what they keep, what they lose, and what is said of it."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from nashflow.components.core.errors import UserError
from nashflow.components.core.overrides import override
from nashflow.components.core.settings import Settings
from nashflow.components.core.variants import Variants
from nashflow.components.methods import METHODS as ALL_METHODS
from nashflow.pipelines.recipe import Recipe, load_for_runs, load_recipe
from tests.fixtures import cli

METHODS = sorted(ALL_METHODS.members)


class Fast(Settings):
    """An engine with settings of its own."""

    kind: Literal["fast"] = "fast"
    batch: int = Field(8, ge=1)
    """Sequences together."""
    memory: float = 0.9
    """Part of the memory."""


class Slow(Settings):
    """An engine with one."""

    kind: Literal["slow"] = "slow"
    batch: int = Field(1, ge=1, le=4)
    """Sequences together."""


class Rollout(Settings):
    """A section with a choice inside."""

    engine: Annotated[Settings, Variants("nashflow.none", Settings, Fast, Slow)] = Slow()
    """What generates."""
    length: int = 5
    """How much."""


class Whole(Settings):
    """A recipe of one section."""

    rollout: Rollout = Rollout()


def changed(data: dict[str, Any], *settings: str) -> tuple[dict[str, Any], list[str]]:
    lines = override(data, settings, Whole)
    return data, lines


@pytest.mark.parametrize("setting", ["rollout.engine=fast", "rollout.engine.kind=fast"])
def test_a_variant_below_a_section_is_chosen_by_its_name(setting: str) -> None:
    before: dict[str, Any] = {"rollout": {"engine": {"kind": "slow", "batch": 3}, "length": 7}}
    data, lines = changed(before, setting)
    assert data == {"rollout": {"engine": {"kind": "fast", "batch": 3}, "length": 7}}
    assert lines == ["rollout.engine: fast in place of slow; kept: batch = 3; defaults: memory = 0.9"]


def test_a_bare_name_in_the_recipe_is_a_variant_with_its_defaults() -> None:
    data, lines = changed({"rollout": {"engine": "slow"}}, "rollout.engine=fast", "rollout.engine.memory=0.5")
    assert data == {"rollout": {"engine": {"kind": "fast", "memory": 0.5}}}
    assert lines == ["rollout.engine: fast in place of slow; defaults: batch = 8"]


def test_where_the_recipe_names_none_the_default_variant_is_meant() -> None:
    assert changed({}, "rollout.engine.batch=2") == ({"rollout": {"engine": {"kind": "slow", "batch": 2}}}, [])
    assert changed({}, "rollout.engine=fast") == ({"rollout": {"engine": {"kind": "fast"}}}, [])


def test_a_value_that_the_new_variant_refuses_is_dropped() -> None:
    data, lines = changed({"rollout": {"engine": {"kind": "fast", "batch": 9}}}, "rollout.engine=slow")
    assert data == {"rollout": {"engine": {"kind": "slow"}}}
    assert lines == ["rollout.engine: slow in place of fast; dropped: batch = 9; defaults: batch = 1"]


def test_a_misspelt_key_is_not_dropped_in_silence() -> None:
    data, _ = changed({"rollout": {"engine": {"kind": "slow", "bacth": 9}}}, "rollout.engine=fast")
    with pytest.raises(UserError, match=r"rollout\.engine\.bacth: unknown key; did you mean rollout\.engine\.batch"):
        Whole.parse(data, "test")


@pytest.mark.parametrize("setting", ["rollout=fast", "rollout.length.x=1", "rollout.engine.kind.x=1"])
def test_a_name_where_there_is_no_choice_is_refused(setting: str) -> None:
    with pytest.raises(UserError, match=f"^--set {setting}: "):
        changed({"rollout": {"engine": "slow", "length": 7}}, setting)


# --- methods ---------------------------------------------------------------------------------------------------------


def test_a_method_is_the_value_of_one_field(capsys: pytest.CaptureFixture[str]) -> None:
    """Of the sandbox's recipe all but one method can be had so: online IPO has an N that no other has."""
    for method in METHODS:
        further = ["method.updates=16"] if method == "online_ipo" else []
        recipe = load_recipe("quickstart", [f"method={method}", *further])
        assert recipe.method.name == method
        assert recipe == load_recipe("quickstart", [*further, f"method.name={method}"])
        assert bool(capsys.readouterr().err) == (method != "inpo")


@pytest.mark.parametrize("method", ["egpo", "nash_md", "mnpo", "inpo"])
def test_the_step_and_the_game_stay_the_same_whatever_a_paper_calls_them(method: str) -> None:
    """INPO's η is the inverse of EGPO's, and its τ is what EGPO calls β."""
    before = load_recipe("quickstart").method.phases(1)[0]
    there = load_recipe("quickstart", [f"method={method}"]).method
    after = there.phases(1)[0]
    assert after.target == pytest.approx(before.target)
    assert dict(after.anchors) == pytest.approx(dict(before.anchors))
    data: dict[str, Any] = {"method": there.model_dump(mode="json")}
    override(data, ["method=inpo"], Recipe)
    assert (data["method"]["eta"], data["method"]["tau"]) == (0.5, 0.1)


def test_the_line_says_what_was_kept_dropped_and_left_to_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    load_recipe("quickstart-tournament", ["method=sppo"])
    assert capsys.readouterr().err == (
        'nashflow: method: sppo in place of inpo; kept: eta = 2.0 (1 / inpo\'s eta), samples = 8, labels = "binary"; '
        'dropped: tau = 0.1, comparisons = "bracket"; '
        'defaults: temperature = 1.0, comparisons = "win_rates", reduction = "sum"\n'
    )


def test_other_settings_are_those_of_the_new_method_wherever_they_stand(capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["method.beta=0.3", "method.eta=1"]
    found = [
        load_recipe("quickstart", order).method.model_dump(include={"name", "eta", "beta"})
        for order in (["method=egpo", *settings], [*settings, "method=egpo"])
    ]
    assert found == [{"name": "egpo", "eta": 1.0, "beta": 0.3}] * 2
    assert "kept" not in capsys.readouterr().err, "both were given"


def test_what_is_still_to_be_set_is_said_before_the_recipe_is_refused() -> None:
    done = cli.here("plan", "quickstart", "--set", "method=online_ipo", check=False)
    said, refused = done.stderr.splitlines()
    assert (done.returncode, said.endswith("; still to be set: updates")) == (2, True)
    assert refused == "nashflow: quickstart: method.updates: required, but missing"


@pytest.mark.parametrize(
    ("setting", "meant"),
    [
        ("method=dpo", "iterative_dpo"),
        ("method.name=dpo", "iterative_dpo"),
        ("method=INPPO", "inpo"),
        ("method=nash", "nash_md or nash_mp"),
        ("oracle=reward", "reward_model"),
    ],
)
def test_a_misspelt_variant_gets_the_one_that_is_meant(setting: str, meant: str) -> None:
    with pytest.raises(UserError, match=f" is unknown; did you mean {meant}\\?$"):
        load_recipe("quickstart", [setting])


def test_a_compiled_graph_has_the_method_and_its_runs_the_other_settings(capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["method.samples=4", "method=egpo"]
    base, given = load_for_runs("quickstart", settings)
    assert (base, given) == (load_recipe("quickstart", ["method=egpo"]), "method.samples=4")
    assert capsys.readouterr().err.count("egpo in place of inpo") == 2, "once for each call"
