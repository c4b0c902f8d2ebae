"""Every prompt before every chat template of a run: what is lost or refused is said before anything is written."""

import json
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from nashflow.components.models.folders import load_tokenizer
from nashflow.components.storage.run import read_run
from tests.fixtures import families, models
from tests.fixtures.folders import over
from tests.fixtures.runs import SandboxRun, refusal

New = Callable[..., SandboxRun]
SYSTEM = {"role": "system", "content": "Be brief."}


@pytest.fixture
def with_template(folders: Path, tmp_path: Path) -> Callable[[str, str], str]:
    """A function that copies the policy or the reward model and gives it a template; the copy's path."""

    def copied(name: str, template: str) -> str:
        copy = Path(shutil.copytree(folders / name, tmp_path / "models" / name))
        (copy / "chat_template.jinja").write_text(template)
        return str(copy)

    return copied


def dialogues(folder: Path, *unlike: dict[str, str], count: int = 12) -> dict[str, Any]:
    """Changes that make the prompts dialogues, the sixth of which begins with other messages."""
    rows = [
        [*(unlike if index == 5 else ()), {"role": "user", "content": f"Number {index}?"}] for index in range(count)
    ]
    (folder / "dialogues.jsonl").write_text("\n".join(json.dumps({"messages": row}) for row in rows))
    return {"path": str(folder / "dialogues.jsonl"), "field": "messages", "per_iteration": 6, "held_out": 4}


def test_a_system_message_that_the_judges_template_refuses(
    fresh: New, folders: Path, tmp_path: Path, with_template: Callable[[str, str], str]
) -> None:
    prompts, judge = dialogues(tmp_path, SYSTEM), with_template("reward", families.GEMMA)
    changes = over(folders, prompts=prompts, oracle__model=judge)
    assert refusal(fresh(changes)) == (
        f"{prompts['path']}: line 6: the chat template in {judge} refuses a dialogue: System role not supported; "
        "correct the entry, or set prompts.on_bad to skip"
    )
    skipping = fresh({**changes, "prompts": {**prompts, "on_bad": "skip"}})
    assert skipping.step("preparation").metrics["unrendered"] == 1


def test_a_role_that_the_policys_template_passes_over(
    fresh: New, folders: Path, tmp_path: Path, with_template: Callable[[str, str], str]
) -> None:
    policy = with_template("policy", families.ZEPHYR)
    unknown = {"role": "narrator", "content": "Once upon a time."}
    run = fresh(over(folders, prompts=dialogues(tmp_path, unknown), policy__model=policy))
    assert f"line 6: the chat template in {policy} leaves out what the narrator says: " in refusal(run)


def test_a_template_that_wants_contents_in_parts(
    fresh: New, folders: Path, with_template: Callable[[str, str], str]
) -> None:
    policy = with_template(
        "policy", "{% for m in messages %}{% for part in m['content'] %}{{ part['text'] }}{% endfor %}{% endfor %}"
    )
    line = refusal(fresh(over(folders, policy__model=policy)))
    assert f"line 1: the chat template in {policy} leaves out what the user says: " in line


def test_named_templates_without_a_default(fresh: New, folders: Path, tmp_path: Path) -> None:
    policy = Path(shutil.copytree(folders / "policy", tmp_path / "models" / "policy"))
    (policy / "chat_template.jinja").unlink()
    config = json.loads((policy / "tokenizer_config.json").read_text())
    config["chat_template"] = [{"name": name, "template": models.CHAT_TEMPLATE} for name in ("tools", "rag")]
    (policy / "tokenizer_config.json").write_text(json.dumps(config))
    changes = over(folders, policy__model=str(policy))
    assert refusal(fresh(changes)) == (
        f"the tokenizer in {policy} has several chat templates and none is called default: set policy.template to one "
        "of rag, tools"
    )
    fresh({**changes, "policy": {**changes["policy"], "template": "rag"}}).step("preparation")


def test_the_date_that_templates_write_is_fixed_when_the_run_is_prepared_first(
    fresh: New, folders: Path, with_template: Callable[[str, str], str]
) -> None:
    policy = with_template("policy", "{{ strftime_now('%d %b %Y') }}" + models.CHAT_TEMPLATE)
    run = fresh(over(folders, policy__model=policy))
    run.step("preparation")
    key, earlier = Path(run.root, "run.json"), "2025-01-09"
    written = json.loads(key.read_text())
    assert date.fromisoformat(written["date"]) <= date.today()
    key.write_text(json.dumps({**written, "date": earlier}))
    run.step("preparation")
    known = read_run(run.store)
    assert known
    assert known.date == earlier
    run.step("rollout", 1)
    tokens = run.rows("iterations/001/main/rollouts/00000")[0]["prompt_ids"]
    assert load_tokenizer(Path(policy)).decode(tokens).startswith("09 Jan 2025")


def test_a_run_of_before_goes_on(fresh: New, folders: Path) -> None:
    run = fresh(over(folders))
    run.step("preparation")
    key = Path(run.root, "run.json")
    written = json.loads(key.read_text())
    del written["date"], written["recipe"]["rollout"]["stop"], written["recipe"]["policy"]["template_arguments"]
    key.write_text(json.dumps(written))
    run.step("preparation")
    assert json.loads(key.read_text())["date"]
