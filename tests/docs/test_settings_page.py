"""`docs/settings.md` and the shipped schema: as committed they are what the models say."""

import re

import pytest

from docs.settings_page import PAGE, render
from nashflow.pipelines.recipe import Recipe, load_recipe
from nashflow.pipelines.reference.paper import PAPERS
from nashflow.pipelines.reference.schema import SHIPPED_SCHEMA, schema_text

COMMITTED = PAGE.read_text(encoding="utf-8")


def test_the_page_is_up_to_date() -> None:
    assert render() == COMMITTED, "run `make docs`"


def test_the_shipped_schema_is_up_to_date() -> None:
    assert schema_text() == SHIPPED_SCHEMA.read_text(encoding="utf-8"), "run `make docs`"


def rows(section: str) -> dict[str, str]:
    """The rows of a section's table by their settings; the last one where several variants have it."""
    text = COMMITTED.split(f"\n## `{section}`\n")[1].split("\n## ")[0]
    return {line.split("`")[1]: line for line in text.splitlines() if line.startswith("| `")}


def test_every_section_is_there() -> None:
    assert re.findall(r"^## `(\w+)`$", COMMITTED, flags=re.MULTILINE) == list(Recipe.model_fields)


@pytest.mark.parametrize("recipe", ["quickstart", "sandbox-dno", "sandbox-mnpo", *PAPERS])
def test_every_setting_of_a_recipe_has_a_row(recipe: str) -> None:
    data = load_recipe(recipe).model_dump(mode="json")
    for section in data.keys() - {"cluster"}:
        found = rows(section)
        for key, value in data[section].items():
            tells_apart = f"`{section}.{key}` is one of" in COMMITTED
            assert tells_apart or key in found or all(f"{key}.{inner}" in found for inner in value), f"{section}.{key}"


def test_a_row_has_type_default_meaning_and_the_papers_value() -> None:
    assert rows("training")["epochs"] == (
        "| `epochs` |  | integer ≥ 1 | `2` | Passes over the pairs. | `2`, of Dong et al. |"
    )
    assert "| required |" in rows("run")["name"], "though a recipe that extends another may leave it out"
    assert "1/β of the code" in COMMITTED, "a baseline's constants are those of its own recipe"


def test_what_no_paper_has_is_not_said_to_be_a_papers() -> None:
    """The comments of these begin with ours."""
    for key in ("held_out", "shards"):
        assert rows("prompts")[key].endswith("|  |")
