"""docs/judge-training.md lists every setting of a judge with its default."""

import re
from pathlib import Path

import yaml

from nashflow.components.core.settings import Settings
from nashflow.components.oracles.fitted.settings import AnyJudge, PairPreferenceJudge, RewardModelJudge
from nashflow.components.oracles.settings import AnyOracle

PAGE = (Path(__file__).parents[2] / "docs/judge-training.md").read_text()


class _File(Settings):
    judge: AnyJudge


class _Recipe(Settings):
    oracle: AnyOracle


def defaults() -> dict[str, str]:
    """The settings of the page's first table, each with its default."""
    table = PAGE.split("## Settings")[1].split("## Figures")[0]
    found = {}
    for names, said, _ in re.findall(r"^\| (`.*?) \| (.*?) \| (.*) \|$", table, flags=re.MULTILINE):
        named = re.findall(r"`(\w+)`", names)
        found |= dict(zip(named, said.split(", ") if len(named) > 1 and said else [said] * len(named), strict=True))
    return found


def test_every_setting_is_there_with_its_default() -> None:
    page = defaults()
    for judge in (RewardModelJudge, PairPreferenceJudge):
        assert page.keys() == judge.model_fields.keys()
        for name, field in judge.model_fields.items():
            default = field.get_default(call_default_factory=True)
            if name == "kind" or field.is_required():
                assert page[name] == "required"
            elif isinstance(default, int | float):
                assert float(page[name]) == default
            elif default:
                assert page[name] == default


def test_its_examples_are_a_judge_and_an_oracle_of_that_judge() -> None:
    judge, oracle = (yaml.safe_load(each) for each in re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL))
    told = _File.parse({"judge": judge}, "the page").judge
    assert isinstance(told, RewardModelJudge)
    assert _Recipe.parse(oracle, "the page").oracle.judges == (told,)
