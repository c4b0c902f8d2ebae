"""The page and the JSON on what benchmarks measured."""

import json
import re

import pytest

from nashflow.components.benchmarks.canary import Canary
from nashflow.components.reports.benchmarks.page import PolicyReport, render_policy, render_run
from tests.components.reports.benchmarks.toy import HOSTILE, RATE, case, report
from tests.components.reports.test_page import Page


@pytest.fixture(scope="module")
def shown() -> Page:
    return Page(render_policy(PolicyReport("toy run, iteration 2", "ab12", [report()])))


def test_scores_stand_with_their_intervals_and_their_judge(shown: Page) -> None:
    assert shown.tables[0] == [
        ["figure", "value", "what it is"],
        ["win rate [95 %]", "0.530 [0.400, 0.660]", "against the baseline"],
    ]
    assert "Judged by llm_judge-12ab; the policy was trained by reward_model-34cd." in shown.text


def test_beside_the_papers_rows_each_with_its_judge(shown: Page) -> None:
    header, ours, *theirs = shown.tables[1]
    assert header == ["policy", "score", "judge"]
    assert ours == ["this one", "0.530 [0.400, 0.660]", "llm_judge-12ab"]
    assert ["INPO, preference model", "42.6", "gpt-4-1106-preview"] in theirs
    assert {row[2] for row in theirs} == {"gpt-4-1106-preview"}
    assert "Scores that different judges gave do not compare." in shown.text


def test_categories_lengths_and_the_judge_have_tables(shown: Page) -> None:
    categories, lengths, judge = shown.tables[2:5]
    assert categories[1:] == [[name, "0.500 [0.300, 0.700]", "6"] for name in ("maths", "prose")]
    assert lengths[1] == ["the policy's answers", "14", "14", "14"]
    assert lengths[2] == ["those that they are compared with", "3", "3", "3"]
    values = {row[0]: row[1] for row in judge}
    assert values["verdicts"] == "24"
    assert values["on labelled pairs: accuracy [95 %]"] == "0.710 [0.680, 0.740]"
    assert values["canary"] == "0.020 [0.000, 0.100]"
    assert values["training oracle"] == "0.400 [0.100, 0.630]"
    assert (values["used: calls"], values["used: cost"]) == ("24", "0.1250")
    assert values["orders agree"].startswith("1.000 [")


def test_wins_ties_and_losses_can_be_read(shown: Page) -> None:
    outcomes = [text for text in shown.texts if text in ("win", "tie", "loss")]
    assert outcomes == ["win"] * 3 + ["tie"] * 3 + ["loss"] * 3
    assert shown.tags.count("details") == 9


def test_grades_have_best_middle_and_worst() -> None:
    graded = [case(at, opponent=(), value=float(at)) for at in range(10)]
    page = Page(render_policy(PolicyReport("toy", "ab", [report(cases=graded, published={}, canary=None)])))
    assert [text for text in page.texts if text in ("best", "middle", "worst")] == (
        ["best"] * 3 + ["middle"] * 3 + ["worst"] * 3
    )


def test_a_judge_that_lets_the_null_answer_win_is_named_before_its_scores() -> None:
    html = render_policy(PolicyReport("toy", "ab", [report(canary=Canary(0.8, 0.7, 0.9, 12))]))
    assert html.index("Do not trust these scores") < html.index("Scores</h3>")
    assert "80% of 12 questions" in html


def test_cut_answers_and_missing_verdicts_are_warned_of() -> None:
    cases = [case(at, value=0.5, cut=at < 3) for at in range(8)] + [case(9, verdicts=0, missing=("unparsed",) * 2)]
    page = Page(render_policy(PolicyReport("toy", "ab", [report(cases=cases)])))
    assert "3 of 9 answers were cut at the most new tokens." in page.text
    assert "2 of 18 judgments are no verdicts; no score counts them." in page.text
    assert "no verdict" in page.texts


def test_texts_are_shown_as_they_are_and_do_nothing() -> None:
    hostile = [case(0, turns=(HOSTILE,), answers=(HOSTILE,), opponent=(HOSTILE,), value=0.9, said=(HOSTILE,))]
    html = render_policy(PolicyReport(HOSTILE, "ab", [report(cases=hostile)]))
    page = Page(html)
    assert "script" not in page.tags
    assert page.text.count(HOSTILE) >= 4
    assert not re.search(r"<(?:link|iframe|object|embed|form|base)\b|\b(?:src|href)=", html)
    assert "default-src 'none'" in html


def test_a_run_has_a_row_for_each_policy_and_the_last_ones_report() -> None:
    earlier = report(values={RATE: 0.5, f"{RATE}_low": 0.4, f"{RATE}_high": 0.6})
    policies = [PolicyReport("iteration 0", "aa", [earlier]), PolicyReport("iteration 1", "bb", [report()])]
    page = Page(render_run("toy run", policies))
    assert page.tables[0][1:] == [["iteration 0", "0.500 [0.400, 0.600]"], ["iteration 1", "0.530 [0.400, 0.660]"]]
    assert "the report on iteration 1, weights bb" in page.text


def test_programs_read_the_same_as_json() -> None:
    made = PolicyReport("toy", "ab", [report()]).to_json()
    (found,) = json.loads(json.dumps(made, allow_nan=False))["benchmarks"]
    assert (found["judge"], found["oracle"]) == ("llm_judge-12ab", "reward_model-34cd")
    assert found["figures"][RATE] == 0.53
    assert found["canary"]["won"] is False
    assert found["conduct"]["orders_agree"]["value"] == 1
    assert found["published"][RATE]["judge"] == "gpt-4-1106-preview"
    assert {each["outcome"] for each in found["examples"]} == {"win", "tie", "loss"}
