import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.textpath import TextPath

from nashflow.components.benchmarks import every_figure
from nashflow.components.reports import page
from nashflow.components.reports.answers import Answer
from nashflow.components.reports.page import render
from nashflow.components.reports.summary import summarise
from nashflow.components.storage import layout
from nashflow.components.storage.run import require_run
from nashflow.components.storage.store import Store
from tests.components.reports.toy_runs import GAME, WON, evaluations, forget_evaluation, policy, toy_run

PICTURE = b"\x89PNG not really"
_VOID = {"meta", "img", "col", "br", "link", "input"}


class Page(HTMLParser):
    """A page as its reader sees it; refuses tags that do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.tables: list[list[list[str]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in _VOID:
            self._open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if {"td", "th"} & set(self._open):
            self.tables[-1][-1][-1] += data

    @property
    def text(self) -> str:
        return "".join(self.texts)

    def after(self, heading: str) -> str:
        """The first text block below a heading."""
        return next(text for text in self.texts[self.texts.index(heading) + 1 :] if text.strip())


def html_of(store: Store, last: int) -> str:
    run = require_run(store)
    return render(store, run, summarise(store, run, last), PICTURE)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return toy_run(tmp_path_factory.mktemp("run"), evaluations(3, WON, GAME))


@pytest.fixture(scope="module")
def shown(store: Store) -> Page:
    return Page(html_of(store, 2))


def test_the_headline_figures_are_the_last_iterations(shown: Page) -> None:
    text = re.sub(r"\s+", " ", shown.text)
    assert "inpo, 2 of 2 iterations, seed 7" in text
    for figure in (
        "win rate0.560(95 %: [0.530, 0.590])",
        "gap0.0600(at the start 0.1100)",
        "exact gap0.0500(at the start 0.1100)",
        "KL0.050nats (at the start 0.000)",
        "length4.0tokens (at the start 2.0)",
        "pairs3264 comparisons, 96 oracle calls",
        "work18 sall steps and iterations",
    ):
        assert figure in text


def test_there_is_a_row_for_each_iteration(shown: Page) -> None:
    header, *rows = shown.tables[0]
    assert header[:6] == ["t", "win rate [95 %]", "length", "gap", "exact gap", "KL"]
    assert [row[:4] for row in rows] == [
        ["0", "0.500 [0.470, 0.530]", "2.0", "0.1100"],
        ["1", "0.540 [0.510, 0.570]", "3.0", "0.0800"],
        ["2", "0.560 [0.530, 0.590]", "4.0", "0.0600"],
    ]
    assert shown.tables[1][:2] == [
        ["t", "rollout s", "judging s", "logprobs s", "training s", "evaluation s"],
        ["0", "–", "–", "–", "–", "2.0"],
    ]


def test_the_picture_is_also_told_in_words(shown: Page, tmp_path: Path) -> None:
    (alt,) = [value for name, value in shown.attributes if name == "alt"]
    assert alt == (
        "Figure, by iteration, 0 to 2: gap: 0.1100, 0.0800, 0.0600; exact gap: 0.1100, 0.0750, 0.0500; "
        "win rate [95 %]: 0.500 [0.470, 0.530], 0.540 [0.510, 0.570], 0.560 [0.530, 0.590]"
    )
    kl_alone = Page(html_of(toy_run(tmp_path, evaluations(2)), 1))
    assert ("alt", "Figure, by iteration, 0 to 1: KL: 0.000, 0.100") in kl_alone.attributes


WIDE = 1280 - 17 - 2 * 16
"""Pixels for the page's content in a window 1280 wide: less its scroll bar and the margins."""


def test_the_widest_tables_fit_in_a_window_1280_wide(tmp_path: Path) -> None:
    """Measured in a font wider than those of most systems: cells are never broken, headings only between words."""
    figures = {figure.name: 0.1234 for figure in every_figure().values()}
    counts = {"duality_gap_own": 0.5, "mean_length": 1234.5, "abstentions": 1024, "truncated": 1024}
    html = html_of(toy_run(tmp_path, [{**figures, **counts}] * 2), 1)
    assert _rem(html, r"body \{[^}]*max-width: ([\d.]+)rem") >= WIDE
    header, *rows = Page(html).tables[0]
    assert len(header) > 8
    for header, *rows in Page(html).tables[:2]:
        columns = zip([max(title.split(), key=_wide) for title in header], *rows, strict=True)
        assert sum(max(map(_wide, column)) + 2 * 0.7 * 16 for column in columns) < WIDE


def _rem(html: str, pattern: str) -> float:
    found = re.search(pattern, html)
    assert found
    return 16 * float(found[1])


def _wide(text: str) -> float:
    """Pixels, at 15 to the letter's height."""
    return float(TextPath((0, 0), text, size=15, prop="DejaVu Sans:bold").get_extents().width) if text.strip() else 0.0


def test_in_a_narrow_window_answers_stand_below_each_other_each_with_its_name(shown: Page, store: Store) -> None:
    html = html_of(store, 2)
    narrow = html[html.index("@media") : html.index("</style>")]
    assert _rem(narrow, r"max-width: ([\d.]+)rem") > 400
    assert ".text td { display: block;" in narrow
    assert "content: attr(data-label)" in narrow
    labels = [value for name, value in shown.attributes if name == "data-label"]
    assert labels[:4] == shown.tables[2][0]
    assert labels[-3:] == shown.tables[3][0]


def test_words_are_broken_only_where_they_are_wider_than_their_column(store: Store) -> None:
    """`anywhere` lets columns shrink to a letter: it is for digests, paths and the recipe alone."""
    html = html_of(store, 0)
    style = html[html.index("<style>") : html.index("@media (")]
    rules = dict(re.findall(r"([^{}\n]+) \{([^}]*)\}", style))
    assert {name.strip() for name, rule in rules.items() if "anywhere" in rule} == {"h1", "code"}
    assert "break-word" in rules["  .answers .said"]
    assert "pre-wrap" in rules["  pre"]


def test_sample_answers_stand_side_by_side(shown: Page) -> None:
    header, *rows = shown.tables[2]
    assert header == ["prompt", "reference", "iteration 2", "P"]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["x0", "reference 0", "t2 0", "0.00"],
        ["x1", "reference 1", "t2 1", "0.10"],
        ["x2", "reference 3", "t2 3", "0.30"],
    ]


def test_every_policy_has_its_digest_and_its_folder(store: Store, shown: Page) -> None:
    folders = [store.location(f"policies/00{t}/main/0123456789abcdef") for t in range(3)]
    assert shown.tables[3][1:] == [[str(t), f"{t}main", folder] for t, folder in enumerate(folders)]


def test_a_policy_that_stays_where_it_was_is_found_there(tmp_path: Path) -> None:
    store = toy_run(tmp_path, evaluations(1, WON))
    store.delete(f"{layout.policy(0, 'main')}.manifest.json")
    policy(store, 0, source="/models/reference")
    assert Page(html_of(store, 0)).tables[3][1] == ["0", "0main", "/models/reference"]


def test_the_recipe_and_what_it_names_can_be_read_back(store: Store, shown: Page) -> None:
    run = require_run(store)
    assert yaml.safe_load(shown.after("Recipe")) == run.recipe
    (provenance,) = [text for text in shown.texts if text.startswith("digests:")]
    assert yaml.safe_load(provenance) == {"digests": run.inputs, "versions": run.versions}


def test_secrets_of_the_recipe_are_not_shown(tmp_path: Path) -> None:
    oracle = {"kind": "remote", "api_key": "sk-1234", "servers": ["https://me:pa55@judge.example/v1"]}
    html = html_of(toy_run(tmp_path, evaluations(1, WON), oracle=oracle), 0)
    assert "https://judge.example/v1" in html
    assert "sk-1234" not in html
    assert "pa55" not in html


def test_the_page_needs_nothing_from_elsewhere(shown: Page) -> None:
    references = [value for name, value in shown.attributes if name in ("src", "href", "action", "srcset", "data")]
    assert references == ["data:image/png;base64," + base64.b64encode(PICTURE).decode()]
    assert {"script", "link", "iframe", "object"} & set(shown.tags) == set()
    (policy,) = [value for name, value in shown.attributes if name == "content" and "default-src" in value]
    assert policy.startswith("default-src 'none'")
    assert not re.search(r"url\(|@import", shown.text)


def test_a_text_run_has_no_tile_for_the_gap(tmp_path: Path) -> None:
    html = html_of(toy_run(tmp_path, evaluations(2, WON)), 1)
    shown, texts = Page(html), [text.strip() for text in Page(html).texts]
    assert {"win rate", "KL", "length"} <= set(texts)
    assert not {"gap", "exact gap"} & set(texts)
    assert "gap" not in shown.tables[0][0]


def test_an_unfinished_run_says_how_far_it_is(tmp_path: Path) -> None:
    store = toy_run(tmp_path, evaluations(3, WON))
    forget_evaluation(store, 2)
    assert "1 of 2 iterations" in Page(html_of(store, 2)).text


def test_an_answer_that_looks_like_html_is_text(tmp_path: Path) -> None:
    script = "</td></table><script>alert('x')</script>{{ 7 * 7 }}<img src=http://a.b/c> "
    store = toy_run(tmp_path, evaluations(2, WON), questions=["<b>bold</b> & more"], answers={1: script})
    html = html_of(store, 1)
    assert "<script" not in html
    shown = Page(html)
    assert [cell.strip() for cell in shown.tables[2][1]] == ["<b>bold</b> & more", "reference 0", f"{script}0", "0.00"]
    assert [value for name, value in shown.attributes if name == "src"] == [
        "data:image/png;base64," + base64.b64encode(PICTURE).decode()
    ]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.tuples(*[st.text(st.characters(exclude_categories=("Cs", "Cc"))) for _ in range(4)]))
def test_whatever_is_said_stands_there_as_it_was_said(
    store: Store, monkeypatch: pytest.MonkeyPatch, texts: tuple[str, ...]
) -> None:
    system, prompt, reference, ours = texts
    messages = [{"role": "system", "content": system}, {"role": "user", "content": prompt}]
    monkeypatch.setattr(page, "sample_answers", lambda *_: [Answer(messages, reference, ours, 0.25)])
    cells = Page(html_of(store, 0)).tables[2][1]
    assert cells[1:] == [reference, ours, "0.25"]
    assert f"system: {system}" in cells[0]
    assert f"user: {prompt}" in cells[0]


def test_the_page_says_what_was_left_out_of_the_prompts_and_how_often_each_is_used(tmp_path: Path) -> None:
    store = toy_run(tmp_path, evaluations(2, WON, GAME))
    run, picture = require_run(store), b""
    counts = {"read": 805, "kept": 182, "left_out": {"too_long": 600, "duplicate": 23}, "dropped": {}}
    counted = replace(run, prompts={**counts, "fresh": 150, "dealt": 300, "fewest": 2, "most": 2})
    said = (
        "Prompts: 805 entries, 182 prompts; left out: 600 too long, 23 duplicate; each of 150 prompts is used 2 times: "
        "the iterations take 300."
    )
    summary = summarise(store, counted, 1)
    assert summary["prompts"] == counted.prompts
    assert said in Page(render(store, counted, summary, picture)).texts
    assert "Prompts: " not in render(store, run, summarise(store, run, 1), picture)
