"""Academic tasks: the numbers are those of lm-eval called by hand, with every setting recorded."""

import contextlib
import functools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nashflow.components.benchmarks.academic.harness import Harness
from nashflow.components.benchmarks.academic.settings import METRICS, Academic
from nashflow.components.benchmarks.base import Measured, Subject
from nashflow.components.core.errors import UserError
from nashflow.components.iterations.work import AtWork
from nashflow.components.measuring.stages import measure_folder
from nashflow.components.models.dialogues import DEFAULT_TEMPLATE
from nashflow.components.models.folders import load_causal_lm
from nashflow.components.models.policies import LocalPolicy
from nashflow.components.runtime.protocol import Call, StepRun, StepSettings
from nashflow.components.sampling.settings import GenerationSettings
from nashflow.components.storage.records import TASK_FIGURES, table, to_bytes
from nashflow.components.storage.store import open_store
from nashflow.components.storage.units import Manifest
from tests.fixtures import models
from tests.fixtures.tasks import write_tasks

TaskManager = pytest.importorskip("lm_eval.tasks").TaskManager

COLOURS = {"name": "colours", "metric": "acc,none", "shots": 2}
SUMS = {"name": "sums", "metric": "exact_match,none"}


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the tasks of these tests are looked for, and lm-eval does not describe the machine."""
    monkeypatch.setattr("lm_eval.tasks.TaskManager", functools.partial(TaskManager, include_defaults=False))
    monkeypatch.setattr("lm_eval.evaluator.add_env_info", lambda results: None)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tasks(tmp_path_factory.mktemp("tasks"))


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.llama(tmp_path_factory.mktemp("policy"))


def subject(policy: Path, **more: Any) -> Subject:
    rollout = GenerationSettings(batch_size=4, **more)
    return Subject(
        policy=LocalPolicy(policy, "digest", "digest"),
        rollout=rollout,
        template=DEFAULT_TEMPLATE,
        day="2026-01-02",
        load=load_causal_lm,
    )


def measured(policy: Path, data: Path, *tasks: Any, **settings: Any) -> Measured:
    return Academic(data=str(data), tasks=tasks, **settings).measure(subject(policy))


def by_hand(policy: Path, data: Path, task: str, **arguments: Any) -> dict[str, Any]:
    from lm_eval import simple_evaluate

    with contextlib.chdir(data):
        found = simple_evaluate(
            model="hf",
            model_args={"pretrained": str(policy), "dtype": "float32"},
            device="cpu",
            tasks=[task],
            batch_size=4,
            task_manager=TaskManager(include_path=str(data), include_defaults=False),
            **arguments,
        )
    return dict(found or {})


def test_the_figures_are_those_of_lm_eval(
    policy: Path, data: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    capfd.readouterr()
    found = measured(policy, data, COLOURS, SUMS)
    assert capfd.readouterr() == ("", "")
    assert {record.name.partition(".")[0] for record in caplog.records} <= {"nashflow"}
    colours, sums = by_hand(policy, data, "colours", num_fewshot=2), by_hand(policy, data, "sums")
    theirs = {**colours["results"], **sums["results"]}
    for row in found.records[TASK_FIGURES]:
        assert row["value"] == theirs[row["member"]][f"{row['metric']},{row['filter']}"]
    shown = [(row["member"], row["metric"], row["shots"], row["questions"]) for row in found.records[TASK_FIGURES]]
    assert sorted(shown) == [
        *(("colours", "acc", 2, 17), ("fruits", "acc", 2, 12), ("fruits", "acc_norm", 2, 12)),
        *(("skies", "acc", 2, 5), ("skies", "acc_norm", 2, 5), ("sums", "exact_match", 0, 4)),
    ]
    assert found.figures["academic/colours"] == 100 * theirs["colours"]["acc,none"] > 0
    assert found.figures["academic/colours_error"] == 100 * theirs["colours"]["acc_stderr,none"]
    assert found.figures["academic/mean"] == pytest.approx(found.figures["academic/colours"] / 2)  # type: ignore[operator]
    assert set(found.figures) == {figure.name for figure in Academic(tasks=(COLOURS, SUMS)).measures(None)}
    assert found.figures["academic/cut"] == 0
    assert to_bytes(table(found.records[TASK_FIGURES], TASK_FIGURES), TASK_FIGURES, "here")


def test_every_setting_is_recorded(policy: Path, data: Path) -> None:
    (row,) = measured(policy, data, SUMS).records[TASK_FIGURES]
    said = json.loads(row["settings"])
    assert {name: said[name] for name in ("engine", "dtype", "chat_template", "bos", "max_length", "seeds")} == {
        "engine": "transformers",
        "dtype": "float32",
        "chat_template": False,
        "bos": 0,
        "max_length": 512,
        "seeds": {"random": 0, "numpy": 1234, "torch": 1234, "examples": 1234},
    }
    assert said["task"]["generation_kwargs"]["max_gen_toks"] == 4
    assert said["lm_eval"].startswith("0.4.")


def test_with_the_chat_template_there_is_the_bos_of_the_template_alone(policy: Path, data: Path) -> None:
    found = measured(policy, data, COLOURS, chat_template=True)
    assert {json.loads(row["settings"])["bos"] for row in found.records[TASK_FIGURES]} == {1}
    theirs = by_hand(policy, data, "colours", num_fewshot=2, apply_chat_template=True, fewshot_as_multiturn=True)
    assert found.figures["academic/colours"] == 100 * theirs["results"]["colours"]["acc,none"]


def test_a_task_that_was_measured_before_is_not_measured_again(policy: Path, data: Path) -> None:
    kept: dict[str, Any] = {}

    def keep(name: str, make: Callable[[], Any]) -> Any:
        return kept.setdefault(name, json.loads(json.dumps(make()))) if name not in kept else kept[name]

    benchmark = Academic(data=str(data), tasks=(COLOURS, SUMS))
    first = benchmark.measure(replace(subject(policy), kept=keep))
    again = benchmark.measure(replace(subject(policy / "gone"), kept=keep))
    assert again.figures == first.figures
    assert list(kept) == ["colours", "sums"]


def test_a_unit_of_work_goes_on_after_the_tasks_that_are_done(
    policy: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, benchmark = open_store(str(tmp_path)), Academic(data=str(data), tasks=(COLOURS, SUMS))
    run, done = Harness.run, list[str]()

    def stopped(harness: Harness, task: Any) -> Any:
        if task.name == "sums" and len(done) == 1:
            raise KeyboardInterrupt
        return run(harness, task)

    def carried_out() -> tuple[Manifest, bool]:
        at_work = AtWork(Call(store, 0, "", 0, StepSettings()), "evaluation")
        done.append("")
        return measure_folder(store, 0, at_work, benchmark, subject(policy), StepRun())

    monkeypatch.setattr(Harness, "run", stopped)
    with pytest.raises(KeyboardInterrupt):
        carried_out()
    monkeypatch.setattr(Harness, "run", lambda harness, task: run(harness, task) if task.name == "sums" else 1 / 0)
    manifest, _ = carried_out()
    monkeypatch.setattr(Harness, "run", run)
    assert manifest.metrics["academic/mean"] == measured(policy, data, COLOURS, SUMS).figures["academic/mean"]


def test_each_answer_of_a_batch_ends_by_itself(policy: Path) -> None:
    """What stands after its end, while others of its batch go on, is no part of it."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    def answers(model: Any) -> list[str]:
        asked = [f"Write about {number}." for number in range(8)]
        settings = {"until": [], "max_gen_toks": 200, "do_sample": False}
        requests = [Instance("generate_until", {}, (text, dict(settings)), at) for at, text in enumerate(asked)]
        return list(model.generate_until(requests, disable_tqdm=True))

    theirs = answers(HFLM(pretrained=str(policy), dtype="float32", device="cpu", batch_size=8))
    with GenerationSettings().engine.harness(policy, "float32", load_causal_lm, 8) as model:
        assert answers(model) == theirs
    assert min(map(len, theirs)) < max(map(len, theirs)) / 2


def test_a_part_of_the_questions_may_be_asked(policy: Path, data: Path) -> None:
    found = measured(policy, data, COLOURS, questions=3)
    assert {row["questions"] for row in found.records[TASK_FIGURES]} == {3, 6}
    assert "academic-3/colours" in found.figures


def test_questions_that_are_longer_than_what_the_model_reads_are_counted(policy: Path, tmp_path: Path) -> None:
    """The tiny tokenizer has a token a byte, and the model 512 positions."""
    data = write_tasks(tmp_path)
    for name, room in (("fruits", 512 + 1 - len(" red")), ("sums", 512 - 4)):
        lengths = (room - len(" dark blue"), room, room + 1, 900)
        rows = [{"question": "x" * length, "answer": 0} for length in lengths]
        (data / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = measured(policy, data, {**COLOURS, "shots": 0}, SUMS)
    cut = {row["member"]: row["cut"] for row in found.records[TASK_FIGURES]}
    assert cut == {"colours": 3, "fruits": 3, "skies": 0, "sums": 2}
    assert found.figures["academic/cut"] == 5


def test_a_task_that_writes_more_than_the_model_has_room_for_is_refused(policy: Path, tmp_path: Path) -> None:
    data = write_tasks(tmp_path)
    (data / "sums.yaml").write_text((data / "sums.yaml").read_text().replace("max_gen_toks: 4", "max_gen_toks: 512"))
    with pytest.raises(UserError, match="sums has the model write up to 512 tokens, and this one has room for 512"):
        measured(policy, data, SUMS)


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ({"name": "colour", "metric": "acc,none"}, "has no task colour; did you mean colours"),
        ({**COLOURS, "metric": "acc"}, "colours has no metric 'acc': set metric to acc,none"),
        ({**SUMS, "shots": 1}, "sums takes no examples: set shots of sums to null, not 1"),
        ({"name": "absent", "metric": "acc,none"}, "the data of absent are not in "),
    ],
)
def test_what_cannot_be_measured_is_one_line(policy: Path, data: Path, task: Any, said: str) -> None:
    with pytest.raises(UserError, match="benchmark academic: ") as refused:
        measured(policy, data, task)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_six_tasks_go_by_their_bare_names() -> None:
    assert [task.name for task in Academic().tasks] == list(METRICS)
    assert Academic(tasks=("mmlu", {"name": "gsm8k", "shots": 8})).tasks[1].metric == "exact_match,strict-match"
    with pytest.raises(UserError, match=r"tasks\.0\.metric: required, but missing"):
        Academic.parse({"tasks": ["sums"]}, "recipe")
    with pytest.raises(UserError, match="tasks: mmlu is there twice"):
        Academic.parse({"tasks": ["mmlu", "mmlu"]}, "recipe")


def test_its_data_are_its_identity_and_their_place_is_not(data: Path, tmp_path: Path) -> None:
    one, other = Academic(data=str(data)), Academic(data=str(write_tasks(tmp_path)))
    assert (one.identity(), one.digest()) == (other.identity(), other.digest())
    (tmp_path / "sums.jsonl").write_text("{}\n")
    assert one.digest() != other.digest()
    with pytest.raises(UserError, match="data is not set"):
        Academic().check()
    with pytest.raises(UserError, match="there are no files in"):
        Academic(data=str(tmp_path / "nowhere")).check()
