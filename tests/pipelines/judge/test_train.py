"""`nashflow judge train`, as a user has it."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from nashflow.pipelines import cli as command_line
from tests.fixtures import models
from tests.fixtures.labelled import WORDS, judge_of, write_pairs


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    """`nashflow judge train judge.yaml …` in a folder of its own: what it prints, or the one line on stderr."""
    monkeypatch.chdir(tmp_path)
    models.llama(tmp_path / "base", WORDS, spread=0.05)
    settings = judge_of(Path("base"), write_pairs(Path("pairs.jsonl"), 60), "reward_model", epochs=1)
    Path("judge.yaml").write_text(yaml.safe_dump(settings))

    def call(*arguments: str, code: int = 0) -> str:
        monkeypatch.setattr("sys.argv", ["nashflow", "judge", "train", "judge.yaml", *arguments])
        with pytest.raises(SystemExit) as caught:
            command_line.main()
        out, err = capsys.readouterr()
        assert caught.value.code == code, err
        return err if code else out

    return call


def test_a_judge_is_made_once(train: Any) -> None:
    said = train("--output", "made/judge")
    assert said.startswith("made/judge: held-out accuracy ")
    weights = Path("made/judge/model.safetensors")
    before = weights.stat().st_mtime_ns
    assert train("--output", "made/judge") == said
    figures = json.loads(train("--output", "made/judge", "--json"))
    assert (figures["verdict"], figures["pairs"]) == (said.split(": ", 1)[1].strip(), 12)
    assert weights.stat().st_mtime_ns == before
    assert [path.name for path in Path("made").iterdir()] == ["judge"]
    refused = train("--output", "made/judge", "--set", "epochs=2", code=2)
    assert "made/judge: is there, and no judge that these settings and pairs make: give a new folder" in refused


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("kind=reward", "judge.kind: 'reward' is unknown; did you mean reward_model?"),
        ("epoch=2", "judge.epoch: unknown key; did you mean judge.epochs?"),
        ("data.path=none.jsonl", "none.jsonl: no such file"),
        ("model=nowhere", "model folder nowhere does not exist or is not a folder"),
        ("micro_batch_tokens=1024", "micro_batch_tokens is 1024, which does not hold two inputs of max_tokens = 1024"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_left(train: Any, change: str, message: str) -> None:
    refused = train("--output", "made/judge", "--set", change, code=2)
    assert refused.count("\n") == 1
    assert message in refused
    assert not Path("made/judge").exists()
