"""`nashflow benchmark run` killed while its judge answers: what goes on asks nothing again."""

import json
import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fixtures.cli import command, environment
from tests.fixtures.judge_server import alphabetical, serving

PROMPTS = 12


@pytest.mark.parametrize("killed_at", [9, 2 * PROMPTS, 3 * PROMPTS + 1], ids=["answers", "between", "canary"])
def test_a_killed_benchmark_asks_its_judge_nothing_twice(killed_at: int, tmp_path: Path) -> None:
    """Among the judgments of the answers, behind the last one of them, and among those of the constant answer."""
    rows = [{"instruction": f"question {number}", "output": f"their answer {number}"} for number in range(PROMPTS)]
    (tmp_path / "prompts.json").write_text(json.dumps(rows))
    said = ({"question": str(number), "turns": [f"our answer {number}"]} for number in range(PROMPTS))
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(each) + "\n" for each in said))
    reached, killed = threading.Event(), threading.Event()

    def judge(body: Mapping[str, Any]) -> str:
        if sum(server.answered.values()) >= killed_at and not killed.is_set():
            reached.set()
            killed.wait()
            raise ConnectionAbortedError
        return alphabetical(body)

    with serving(judge) as server:
        endpoint = {"url": server.url, "concurrency": 1}
        (tmp_path / "judge.yaml").write_text(yaml.safe_dump({"kind": "llm_judge", "model": "j", "endpoint": endpoint}))
        asked = ("--answers", "answers.jsonl", "--judge", "judge.yaml", "--data", "prompts.json", "-o", "made")
        line = command("benchmark", "run", "versus", *asked)
        process = subprocess.Popen(line, cwd=tmp_path, env=environment())
        reached.wait()
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed.set()
        assert len(server.answered) == killed_at
        assert not (tmp_path / "made" / "scores.json").exists()
        done = subprocess.run(line, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert len(server.answered) == 4 * PROMPTS, "our answers, and the constant one"
    assert set(server.answered.values()) == {1}
    made = json.loads((tmp_path / "made" / "scores.json").read_text())
    assert made["figures"]["versus/win_rate/j"] == 1.0, "ours comes first in the alphabet"
    assert made["usage"]["usage_calls"] == 4 * PROMPTS, "those of the attempt that was killed count"
