"""`docs/methods.md`: as committed it is what the code says, and what it says is counted and added up here again."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from docs import methods_page
from docs.methods_page import PAGE, ROOT, render

COMMITTED = PAGE.read_text(encoding="utf-8")
_UNESCAPED = re.compile(r"(?<!\\)\|")


def tables() -> list[list[list[str]]]:
    """The cells of the page's tables, headings first."""
    found: list[list[list[str]]] = [[]]
    for line in COMMITTED.splitlines():
        if line.startswith("|"):
            found[-1].append([cell.strip() for cell in _UNESCAPED.split(line)[1:-1]])
        elif found[-1]:
            found.append([])
    return [[row for row in table if set(row) != {"---"}] for table in found if table]


def rows(table: int) -> dict[str, dict[str, str]]:
    """A table's rows by the name in their first cell."""
    headings, *cells = tables()[table]
    return {row[0].split("`")[1]: dict(zip(headings, row, strict=True)) for row in cells}


def methods() -> dict[str, tuple[str, str]]:
    """File and docstring of every method by its name, read off the sources."""
    found = {}
    for path in (ROOT / "components/methods").glob("*.py"):
        source = path.read_text()
        if name := re.search(r'name: Literal\["\w+"\] = "(\w+)"', source):
            found[name[1]] = (path.stem, ast.get_docstring(ast.parse(source)) or "")
    return found


def test_the_page_as_committed_is_what_the_code_says() -> None:
    assert render() == COMMITTED, "docs/methods.md is not what the code says: run make docs"


def test_every_method_has_its_row_and_every_sandbox_recipe_its_own() -> None:
    assert len(methods()) >= 11
    assert rows(0).keys() == methods().keys()
    assert rows(1).keys() == {path.stem for path in (ROOT / "pipelines/recipes").glob("sandbox-*.yaml")}


def test_nothing_that_a_docstring_says_is_left_out() -> None:
    page = COMMITTED.replace("\\", "").replace("**", "").split()
    for name, (_, docstring) in methods().items():
        body = docstring.partition("\n\n")[2].split()
        missing = {word for word in body if not any(word in there for there in page)}
        assert missing == set(), name


def test_a_method_stands_with_its_paper_and_its_guarantee() -> None:
    row = rows(0)["egpo"]
    assert row["paper"] == "[arXiv 2503.08942](https://arxiv.org/abs/2503.08942)"
    assert row["game solved"] == "J(π, π') = P(π ≻ π') − β KL(π‖π_ref) + β KL(π'‖π_ref)"
    assert row["guarantee"].startswith("the last iterate converges linearly, KL(π\\*‖π_T) ≤ (1 − ηβ)^T")


# What an iteration takes of a prompt whose eight responses play a bracket: fresh responses, comparisons, trainings, and
# the policies whose log-probs are cached.
WORK: dict[str, tuple[int, str, int, str]] = {
    "sandbox-inpo": (8, "11 (bracket)", 1, "π_ref, π_t"),
    "sandbox-inpo-no-kl": (8, "11 (bracket)", 1, "π_t"),
    "sandbox-onpo": (8, "11 (bracket)", 2, "π_t (auxiliary), π_{t+1} (auxiliary)"),
    "sandbox-egpo": (16, "22 (bracket)", 2, "π_ref, π_t"),
    "sandbox-nash-mp": (16, "22 (bracket)", 2, "π_ref, π_t"),
    "sandbox-mnpo": (8, "11 (bracket)", 1, "π_ref, π_{t−1}, π_t"),
    "sandbox-nash-md": (8, "11 (bracket)", 1, "π_ref, π_t"),
    "sandbox-sppo": (8, "28 (win_rates)", 1, "π_t"),
    "sandbox-dno": (8, "36 (all_pairs)", 1, "π_t"),
    "sandbox-ipo": (0, "0 (given)", 1, "π_ref"),
    "sandbox-iterative-dpo": (8, "11 (bracket)", 1, "π_t"),
}


@pytest.mark.parametrize("recipe", WORK)
def test_an_iteration_takes_what_the_papers_say(recipe: str) -> None:
    row, (responses, comparisons, trainings, cached) = rows(1)[recipe], WORK[recipe]
    assert (row["responses"], row["comparisons"]) == (str(responses), comparisons)
    assert (row["trainings"], row["log-probs of"]) == (str(trainings), cached)


def test_online_ipo_says_after_how_many_updates_it_samples_anew() -> None:
    row = rows(1)["sandbox-online-ipo"]
    assert (row["responses"], row["comparisons"], row["trainings"]) == ("8", "11 (bracket)", "1 of 16 updates")


# With η = 0.5 and τ = 0.1 INPO's τ/η is 0.2 and its 1/(2η) is 1; EGPO's ηβ is 1.25 · 0.1; Nash-MP's s = 1/(0.1 + 0.5);
# Nash-MD's η_t is 2/(0.1 · 5) in the third iteration, where t is 3.
REGRESSED: dict[str, tuple[str, str]] = {
    "sandbox-inpo": ("0.2 π_ref + 0.8 π_t", "squared, c = 1"),
    "sandbox-inpo-no-kl": ("π_t", "squared, c = 1"),
    "sandbox-onpo": ("auxiliary: π_t (auxiliary)<br>main: π_{t+1} (auxiliary)", "squared, c = 1"),
    "sandbox-egpo": ("0.125 π_ref + 0.875 π_t", "squared, c = 0.625"),
    "sandbox-nash-mp": ("0.167 π_ref + 0.833 π_t", "squared, c = 0.8333"),
    "sandbox-mnpo": ("0.2 π_ref + 0.4 π_{t−1} + 0.4 π_t", "squared, c = 1"),
    "sandbox-nash-md": ("0.4 π_ref + 0.6 π_t", "squared, c = 2"),
    "sandbox-sppo": ("π_t", "unpaired, c = 1"),
    "sandbox-dno": ("π_t", "logistic, β = 0.5"),
    "sandbox-online-ipo": ("π_ref", "squared, c = 5"),
    "sandbox-ipo": ("π_ref", "squared, c = 5"),
    "sandbox-iterative-dpo": ("π_t", "logistic, β = 0.5"),
}


@pytest.mark.parametrize("recipe", REGRESSED)
def test_anchors_and_targets_are_those_of_the_recipes_constants(recipe: str) -> None:
    row = rows(1)[recipe]
    assert (row["anchors"], row["target"]) == REGRESSED[recipe]


def test_who_writes_the_responses() -> None:
    written = {name: row["responses of"] for name, row in rows(1).items()}
    assert written["sandbox-inpo"] == "π_t"
    assert written["sandbox-onpo"] == "auxiliary: π_t<br>main: those of auxiliary"
    assert written["sandbox-egpo"] == written["sandbox-nash-mp"] == "half: π_t<br>main: π_{t+1} (half)"
    assert written["sandbox-nash-md"] == "π_ref^0.4 · π_t^0.6, token by token"
    assert written["sandbox-dno"] == "π_t and given responses"
    assert written["sandbox-ipo"] == "given pairs"


def test_every_link_leads_somewhere() -> None:
    headings = [line.lstrip("# ") for line in COMMITTED.splitlines() if line.startswith("#")]
    anchors = {"#" + re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    targets = re.findall(r"\]\(([^)]+)\)", COMMITTED)
    assert len(targets) > 60
    for target in set(targets):
        if target.startswith("#"):
            assert target in anchors
        elif not re.fullmatch(r"https://arxiv\.org/abs/\d{4}\.\d{5}", target):
            assert (PAGE.parent / target).is_file(), target


def test_every_method_is_illustrated_by_a_test_that_names_it() -> None:
    for name, row in rows(0).items():
        links = re.findall(r"\[(\w+)[^\]]*\]\(([^)]+)\)", row["illustrated by"])
        assert [kind for kind, _ in links][:2] == ["minimiser", "solver"], name
        for _, target in links:
            words = re.sub(r"\W|_", "", (PAGE.parent / target).read_text().lower())
            assert name.replace("_", "") in words, (name, target)


def test_formulas_are_not_taken_for_emphasis() -> None:
    """Outside of the table and of code, `_` and `*` beside punctuation begin and end emphasis in Markdown."""
    prose = re.sub(r"`[^`]*`|\*\*[^*]+\*\*|(?<!\w)\*\w[\w -]*\*(?!\w)", "", COMMITTED)
    assert re.findall(r"(?<![\w\\])[_*](?=\S)|(?<=')_", re.sub(r"^ {4}.*$", "", prose, flags=re.MULTILINE)) == []


def test_a_method_without_a_sandbox_recipe_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for path in (ROOT / "pipelines/recipes").glob("sandbox-*.yaml"):
        if "mnpo" not in path.name:
            (tmp_path / path.name).write_text(path.read_text())
    monkeypatch.setattr(methods_page, "SHIPPED", tmp_path)
    with pytest.raises(ValueError, match=r"^mnpo: there is no pipelines/recipes/sandbox-\*\.yaml of this method$"):
        render()


def test_a_method_whose_docstring_lacks_something_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from nashflow.components.methods import sppo

    said: Any = sppo.__doc__
    monkeypatch.setattr(sppo, "__doc__", said.replace("Guarantee ", "Promise   "))
    with pytest.raises(ValueError, match=r"^components/methods/sppo\.py: the docstring lacks Guarantee$"):
        render()
