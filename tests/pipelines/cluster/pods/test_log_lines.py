"""A pod's log told apart: the step's own lines between those of KFP's launcher and Argo's executor."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nashflow.components.runtime.progress import Progress
from nashflow.components.runtime.voice import SECONDS, speaking
from nashflow.pipelines.cluster.pods.log_lines import exit_code, last_words, shown_lines
from tests.fixtures.recordings import needs_recordings, recording

KFP = "I0821 03:00:30.808929      15 launcher_v2.go:206] publish success."
FATAL = "F0821 03:00:30.828699      15 main.go:130] failed to execute component: exit status 2"
FAILED = "E0821 03:00:30.728976      15 launcher_v2.go:449] Component failed to execute successfully: exit status 2"
ARGO = 'time=2026-08-21T03:00:28.035Z level=INFO msg="capturing logs" argo=true'
OLD_ARGO = 'time="2026-08-21T03:00:28.035Z" level=info msg="capturing logs" argo=true'

texts = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=60)
jsons: Any = st.dictionaries(
    texts, st.recursive(st.none() | texts, lambda inner: st.lists(inner) | st.dictionaries(texts, inner)), min_size=1
)
own = texts.filter(lambda text: text[:1] not in "IWEFt" and not text.startswith("Error: exit status"))
blocks = jsons.map(lambda data: [KFP.replace("publish success.", "ExecutorOutput: {"), *dumped(data)[1:]])
theirs = st.sampled_from([[KFP], [FATAL], [FAILED], [ARGO], [OLD_ARGO], ["Error: exit status 1"]]) | blocks


def dumped(data: Any) -> list[str]:
    """As KFP prints JSON: indented, its braces at the beginning of lines."""
    return json.dumps(data, indent=2, ensure_ascii=False).splitlines()


@given(st.lists(st.tuples(own, st.lists(theirs, max_size=3)), max_size=8))
def test_a_steps_own_lines_are_kept_and_no_others(log: list[tuple[str, list[list[str]]]]) -> None:
    lines = [line for mine, others in log for line in (mine, *(line for block in others for line in block))]
    assert list(shown_lines(lines, driver=False)) == [mine for mine, _ in log]


@pytest.mark.parametrize("style", ["text", "json"])
def test_how_a_step_gets_on_is_its_own(
    style: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SECONDS, "0.01")
    place = {"step": "training", "iteration": 1, "phase": "main", "shard": 0}
    with speaking(place, style), Progress("updates", 4) as work:
        work.add(3, {"loss": 0.5})
        while not (said := capsys.readouterr().err):
            time.sleep(0.01)
    lines = said.splitlines()
    block = KFP.replace("publish success.", "ExecutorOutput: {")
    log = [ARGO, KFP, *lines, KFP, *lines, block, '  "loss": 0.5', "}", *lines, FAILED, FATAL]
    assert "3 of 4 updates" in lines[0]
    assert list(shown_lines(log, driver=False)) == lines * 3


@given(st.lists(texts))
def test_of_a_log_without_lines_of_kfp_and_argo_nothing_is_lost(lines: list[str]) -> None:
    kept = list(shown_lines(lines, driver=False))
    assert kept == [line for line in lines if not line.startswith(("time=", "Error: exit status"))]


def test_a_drivers_lines_are_kfps_without_the_json() -> None:
    lines = [ARGO, KFP, KFP.replace("publish success.", "input TaskSpec:{"), '  "a": 1', "}", "panic: oh", FATAL]
    assert list(shown_lines(lines, driver=True)) == [KFP, "panic: oh", FATAL]


@pytest.mark.parametrize(
    ("lines", "driver", "words"),
    [
        ([KFP, "training: a  wrong setting", "", FAILED, FATAL, ARGO], False, "training: a wrong setting"),
        ([KFP, FAILED, FATAL, ARGO], False, "failed to execute component: exit status 2"),
        ([KFP, "panic: oh", FAILED, KFP, ARGO], True, "Component failed to execute successfully: exit status 2"),
        ([KFP, "panic: oh", ARGO], True, "panic: oh"),
        ([KFP, ARGO], True, ""),
        ([], False, ""),
    ],
)
def test_the_last_words_are_the_steps_or_the_last_complaint(lines: list[str], driver: bool, words: str) -> None:
    assert last_words("\n".join(lines), driver) == words


def test_the_exit_code_is_the_steps_and_not_the_pods() -> None:
    assert exit_code("\n".join([KFP, "out of luck", FAILED, FATAL, "Error: exit status 1"])) == 2
    assert exit_code("\n".join([KFP, "Component was fine", "Error: exit status 1"])) is None


@needs_recordings
@pytest.mark.parametrize("name", ["bad-input", "closing", "training"])
def test_of_a_recorded_log_one_line_is_the_steps_own(name: str) -> None:
    lines = recording(f"log-{name}.txt").read_text().splitlines()
    (line,) = shown_lines(lines, driver=False)
    assert line.startswith(("preparation: /models", '{"step": "closing"', '{"step": "training"'))
