"""kfp.local with container components as child processes: what a pipeline may be made of, and what comes out."""

import builtins
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kfp import compiler, dsl
from kfp.dsl import Artifact, Input, Metrics, Output, OutputPath
from kfp.local import config

from nashflow.pipelines.local import Event, StepFailed, execute

TOY = """
import atexit, json, multiprocessing, os, signal, sys, time
from pathlib import Path

verb, value, executor_input = sys.argv[1:]
given = json.loads(executor_input)
inputs, outputs = given.get("inputs", {}), given["outputs"]
artifacts = {name: listed["artifacts"] for name, listed in sorted(inputs.get("artifacts", {}).items())}
seen = {"value": value, "parameters": inputs.get("parameterValues", {}), "argv0": sys.argv[0]}
seen |= {"metadata": {name: listed[0].get("metadata") for name, listed in artifacts.items()}}
seen |= {"environment": os.environ.get("TOY", ""), "start_method": multiprocessing.get_start_method()}
print("some library says hello {")
print(json.dumps(seen))

if verb == "write":
    for file in outputs.get("parameters", {}).values():
        Path(file["outputFile"]).write_text(value)
    described = {}
    for name, listed in outputs.get("artifacts", {}).items():
        artifact = listed["artifacts"][0]
        contents = [Path(one["uri"]).read_text() for several in artifacts.values() for one in several]
        Path(artifact["uri"]).write_text("+".join([*contents, value]))
        if name == "metrics":
            described[name] = {"artifacts": [{"name": name, "uri": artifact["uri"], "metadata": {"score": 0.5}}]}
    if described:
        Path(outputs["outputFile"]).write_text(json.dumps({"artifacts": described}))
elif verb == "exit":
    print("a warning\\ntoy: this is the reason\\n", file=sys.stderr)
    sys.exit(int(value))
elif verb == "flaky":
    tries = Path(value)
    tries.write_text(tries.read_text() + "x" if tries.exists() else "x")
    sys.exit(0 if len(tries.read_text()) == 3 else 1)
elif verb == "speak":
    from nashflow.components.runtime.progress import Progress
    from nashflow.components.runtime.voice import speaking
    place = {"step": "toy", "iteration": 1, "phase": "main", "shard": 0}
    with speaking(place, "text"), Progress("updates", 4) as work:
        work.add(3, {"loss": 0.5})
        while not Path(value).exists():
            time.sleep(0.01)
elif verb == "raise":
    raise LookupError("no such thing")
elif verb == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
elif verb == "atexit":
    atexit.register(Path(value).touch)
"""


def toy(verb: str, value: object) -> dsl.ContainerSpec:
    arguments = [verb, value, dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER]
    return dsl.ContainerSpec(image="toy", command=["python3", "-m", "toy.step"], args=arguments)


@dsl.container_component
def say(value: str, answer: OutputPath(str)):
    return toy("write", value)


@dsl.container_component
def decide(value: str, go: OutputPath(bool)):
    return toy("write", value)


@dsl.container_component
def prepare(text: Output[Artifact]):
    return toy("write", "reference")


@dsl.container_component
def sample(shard: int, policy: str, text: Output[Artifact], metrics: Output[Metrics]):
    return toy("write", f"{policy}.{shard}")


@dsl.container_component
def train(
    before: Input[Artifact], texts: Input[list[Artifact]], name: str, policy: OutputPath(str), model: Output[Artifact]
):
    return toy("write", name)


@dsl.container_component
def read(metrics: Input[Metrics]):
    return toy("nothing", "")


@dsl.container_component
def act(value: str):
    return toy("nothing", value)


@dsl.container_component
def leave(code: int):
    return toy("exit", code)


@dsl.container_component
def flaky(tries: str):
    return toy("flaky", tries)


@dsl.container_component
def die():
    return toy("kill", "")


@dsl.container_component
def blow_up():
    return toy("raise", "")


@dsl.container_component
def forget(answer: OutputPath(str)):
    return toy("nothing", "")


@dsl.container_component
def speak(until: str):
    return toy("speak", until)


@dsl.container_component
def tidy(path: str):
    return toy("atexit", path)


class Trained(NamedTuple):
    model: Artifact
    policy: str


@dsl.pipeline
def improve(name: str, policy: str, before: Input[Artifact]) -> Trained:
    with dsl.ParallelFor(items=[0, 1, 2], parallelism=2) as shard:
        sampled = sample(shard=shard, policy=policy)
    trained = train(before=before, texts=dsl.Collected(sampled.outputs["text"]), name=name)
    return Trained(trained.outputs["model"], trained.outputs["policy"])


@pytest.fixture(autouse=True, scope="module")
def server() -> Iterator[None]:
    """Leave no fork server behind: it would serve the next test module, which may want other modules preloaded."""
    yield
    forkserver._forkserver._stop()


@pytest.fixture(autouse=True)
def toy_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "packages" / "toy"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "step.py").write_text(TOY)
    monkeypatch.syspath_prepend(str(package.parent))


Run = Callable[..., dict[str, Any]]


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def run(tmp_path: Path, events: list[Event]) -> Run:
    """Compile a pipeline function, execute the file, gather the events."""

    def compile_and_execute(
        pipeline: Any, environment: dict[str, str] | None = None, **arguments: object
    ) -> dict[str, Any]:
        package = tmp_path / "pipeline.yaml"
        compiler.Compiler().compile(dsl.pipeline(pipeline), str(package))
        return execute(package, arguments, tmp_path / "root", [], environment or {}, events.append)

    return compile_and_execute


def ended(events: list[Event]) -> dict[str, Event]:
    """The last event of each task, by name without the sub-pipelines around it."""
    return {event.task.rpartition("/")[2]: event for event in events}


def test_a_task_at_work_says_how_it_gets_on(tmp_path: Path, events: list[Event]) -> None:
    def hear(event: Event) -> None:
        events.append(event)
        if event.status.get("done"):
            (tmp_path / "heard").touch()

    def spoken() -> None:
        speak(until=str(tmp_path / "heard"))

    compiler.Compiler().compile(dsl.pipeline(spoken), str(tmp_path / "pipeline.yaml"))
    execute(tmp_path / "pipeline.yaml", {}, tmp_path / "root", [], {}, hear)
    assert [events[0].state, *{event.state for event in events[1:-1]}, events[-1].state] == [
        "started",
        "working",
        "succeeded",
    ]
    status = events[-2].status
    assert (status["unit"], status["done"], status["total"]) == ("updates", 3, 4)
    assert status["words"].endswith("loss 0.5")


def test_iterations_unrolled_hand_models_and_shards_on(run: Run, events: list[Event]) -> None:
    def unrolled() -> Trained:
        first = improve(name="a", policy="start", before=prepare().outputs["text"])
        second = improve(name="b", policy=first.outputs["policy"], before=first.outputs["model"])
        return Trained(second.outputs["model"], second.outputs["policy"])

    outputs = run(unrolled)

    first = "reference+start.0+start.1+start.2+a"
    assert Path(outputs["model"].uri).read_text() == f"{first}+a.0+a.1+a.2+b"
    assert outputs["policy"] == "b"
    tasks = [event.task for event in events if event.state == "succeeded"]
    shards = {
        f"{place}/for-loop-2-iteration-{shard}/sample" for place in ("improve", "improve-2") for shard in range(3)
    }
    assert set(tasks) == {"prepare", "improve/train", "improve-2/train"} | shards
    assert len(tasks) == len(set(tasks))


def test_everything_may_hang_on_one_condition(run: Run, events: list[Event]) -> None:
    def guarded():
        with dsl.If(decide(value="true").outputs["go"] == True):  # noqa: E712
            first = improve(name="a", policy="start", before=prepare().outputs["text"])
            second = improve(name="b", policy=first.outputs["policy"], before=first.outputs["model"])
            act(value="after the second").after(second)

    run(guarded)

    tasks = [event.task for event in events if event.state == "succeeded"]
    assert tasks.index("condition-1/improve/train") < tasks.index("condition-1/improve-2/train")
    assert tasks[-1] == "condition-1/act"
    assert len(tasks) == 1 + 1 + 2 * 4 + 1


@pytest.mark.parametrize("value", ["true", "false"])
def test_a_condition_reads_a_named_output(value: str, run: Run, events: list[Event]) -> None:
    def conditional():
        with dsl.If(say(value=value).outputs["answer"] == "true"):
            act(value="text")
        with dsl.If(decide(value=value).outputs["go"] == True):  # noqa: E712
            act(value="truth")

    run(conditional)

    acted = {event.argv[4] for event in events if "/act" in event.task}
    assert acted == ({"text", "truth"} if value == "true" else set())


def test_nested_pipelines_wait_for_each_other(run: Run, events: list[Event]) -> None:
    @dsl.pipeline
    def inner(value: str):
        act(value=value)

    def ordered():
        last = inner(value="last")
        middle = inner(value="middle")
        last.after(middle)
        middle.after(inner(value="first"))

    run(ordered)

    assert [event.argv[4] for event in events if event.state == "succeeded"] == ["first", "middle", "last"]


def test_loop_items_stay_integers(run: Run, events: list[Event]) -> None:
    def sharded():
        with dsl.ParallelFor(items=[0, 1]) as shard:
            sample(shard=shard, policy="p")

    run(sharded)

    shards = [event.records[0]["parameters"]["shard"] for event in events if event.state == "succeeded"]
    assert sorted(map(repr, shards)) == ["0", "1"]
    assert {event.argv[4] for event in events} == {"p.0", "p.1"}


def test_metadata_of_metrics_reaches_the_next_task(run: Run, events: list[Event]) -> None:
    def measured():
        read(metrics=sample(shard=0, policy="p").outputs["metrics"])

    run(measured)

    assert ended(events)["read"].records[0]["metadata"] == {"metrics": {"score": 0.5}}


def test_events_tell_what_ran_and_how(run: Run, events: list[Event]) -> None:
    def single():
        say(value="hello")

    begun = time.monotonic()
    run(single)
    elapsed = time.monotonic() - begun

    started, succeeded = events
    assert (started.state, started.exit_code, started.records) == ("started", None, ())
    assert (succeeded.state, succeeded.exit_code, succeeded.attempt) == ("succeeded", 0, 1)
    assert succeeded.argv[:5] == ("python3", "-m", "toy.step", "write", "hello")
    assert 0 < succeeded.seconds <= elapsed
    assert [record["value"] for record in succeeded.records] == ["hello"]
    assert succeeded.log.read_text().startswith("$ python3 -m toy.step write hello")
    assert "some library says hello" in succeeded.log.with_suffix(".out").read_text()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")).filter(lambda text: "{{" not in text))
def test_a_parameter_arrives_to_the_letter(run: Run, events: list[Event], text: str) -> None:
    def echo(value: str) -> str:
        return say(value=value).outputs["answer"]

    outputs = run(echo, value=text)

    assert events[-1].records[0]["value"] == text
    assert outputs["Output"] == text.replace("\r\n", "\n").replace("\r", "\n")  # as any text file that is read


def test_a_step_runs_as_under_python_m(run: Run, events: list[Event], tmp_path: Path) -> None:
    def single(path: str):
        tidy(path=path)

    run(single, path=str(tmp_path / "left"))

    (record,) = events[-1].records
    assert record["argv0"].endswith("step.py")
    assert record["start_method"] == "fork" if sys.platform == "linux" else "spawn"
    assert (tmp_path / "left").exists()  # its exit handlers ran


def test_environment_is_the_child_s_alone(run: Run, events: list[Event]) -> None:
    def two():
        act(value="run's")
        act(value="task's").set_env_variable("TOY", "task")

    run(two, environment={"TOY": "run"})

    seen = {event.argv[4]: event.records[0]["environment"] for event in events if event.state == "succeeded"}
    assert seen == {"run's": "run", "task's": "task"}
    assert "TOY" not in os.environ


@pytest.mark.parametrize("code", [1, 2, 75])
def test_a_failing_step_says_its_last_line(code: int, run: Run, events: list[Event]) -> None:
    def failing():
        act(value="never").after(leave(code=code))

    with pytest.raises(StepFailed) as caught:
        run(failing)

    assert (str(caught.value), caught.value.task, caught.value.exit_code) == ("toy: this is the reason", "leave", code)
    assert "a warning" in caught.value.log.read_text()
    assert [(event.task, event.state) for event in events] == [("leave", "started"), ("leave", "failed")]


def test_an_exception_s_last_line_is_its_message(run: Run) -> None:
    with pytest.raises(StepFailed, match=r"^LookupError: no such thing$") as caught:
        run(lambda: blow_up() and None)
    assert caught.value.exit_code == 1


def test_a_failure_inside_a_loop_is_named(run: Run) -> None:
    def sharded():
        with dsl.ParallelFor(items=[0, 7]) as code:
            leave(code=code)

    with pytest.raises(StepFailed, match="toy: this is the reason") as caught:
        run(sharded)
    assert (caught.value.task, caught.value.exit_code) == ("for-loop-2-iteration-1/leave", 7)


def test_retries_go_on_until_it_works(run: Run, events: list[Event], tmp_path: Path) -> None:
    def retried(tries: str):
        flaky(tries=tries).set_retry(3)

    run(retried, tries=str(tmp_path / "tries"))

    states = [(event.attempt, event.state) for event in events if event.state != "started"]
    assert states == [(1, "failed"), (2, "failed"), (3, "succeeded")]


@pytest.mark.parametrize(("code", "attempts"), [(1, 3), (2, 1), (3, 1)])
def test_mistakes_and_waits_are_not_retried(code: int, attempts: int, run: Run, events: list[Event]) -> None:
    def retried():
        leave(code=code).set_retry(2)

    with pytest.raises(StepFailed):
        run(retried)
    assert events[-1].attempt == attempts


def test_an_exit_task_runs_after_a_failure(run: Run, events: list[Event]) -> None:
    @dsl.container_component
    def close(status: dsl.PipelineTaskFinalStatus):
        return toy("nothing", "")

    def handled():
        with dsl.ExitHandler(close()):
            leave(code=2)

    with pytest.raises(StepFailed, match="toy: this is the reason"):
        run(handled)
    assert ended(events)["close"].state == "succeeded"


def test_a_killed_step_is_a_failed_step(run: Run, events: list[Event]) -> None:
    with pytest.raises(StepFailed, match=r"^die: killed by SIGKILL \(out of memory\?\)$") as caught:
        run(lambda: die() and None)
    assert caught.value.exit_code == events[-1].exit_code == 137


def test_an_output_parameter_left_out_is_a_failure_as_on_a_cluster(run: Run, events: list[Event]) -> None:
    with pytest.raises(StepFailed, match="forget: did not write its output answer"):
        run(lambda: forget() and None)
    assert (events[-1].state, events[-1].exit_code) == ("failed", 1)


def test_other_commands_are_refused(run: Run) -> None:
    @dsl.container_component
    def shell():
        return dsl.ContainerSpec(image="toy", command=["sh", "-c"], args=["true"])

    with pytest.raises(ValueError, match=r"task shell: only `python3 -m module …` runs here, not `sh -c true`"):
        run(lambda: shell() and None)


def test_an_error_of_the_listener_is_not_lost_in_a_loop(tmp_path: Path) -> None:
    @dsl.pipeline
    def sharded():
        with dsl.ParallelFor(items=[0, 1]) as shard:
            sample(shard=shard, policy="p")

    def listener(event: Event) -> None:
        raise OSError("the terminal is gone")

    compiler.Compiler().compile(sharded, str(tmp_path / "pipeline.yaml"))
    with pytest.raises(OSError, match="the terminal is gone"):
        execute(tmp_path / "pipeline.yaml", {}, tmp_path / "root", [], {}, listener)


def test_nothing_reaches_the_terminal_and_nothing_stays_changed(
    run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    before = (builtins.print, root.handlers[:], root.level, config.LocalExecutionConfig.instance)

    def whole():
        prepare().set_cpu_limit("1")
        with dsl.ParallelFor(items=[0, 1]) as shard:
            sample(shard=shard, policy="p")
        leave(code=1)

    with pytest.raises(StepFailed):
        run(whole)

    assert capfd.readouterr() == ("", "")
    assert before == (builtins.print, root.handlers[:], root.level, config.LocalExecutionConfig.instance)
    assert "FAILURE" not in (tmp_path / "root/logs/leave.log").read_text()
    assert "Running pipeline" in (tmp_path / "root/kfp.log").read_text()


def test_a_second_run_adds_to_the_logs_and_reads_only_its_own(run: Run, events: list[Event]) -> None:
    def single(value: str):
        act(value=value)

    run(single, value="one")
    run(single, value="two")
    assert [record["value"] for event in events for record in event.records] == ["one", "two"]
    assert len(events[-1].log.read_text().splitlines()) == 2


@pytest.mark.parametrize("temporary", [".", "long" * 50])
def test_modules_are_preloaded_but_not_from_the_current_folder(tmp_path: Path, temporary: str) -> None:
    """With a temporary folder too whose path is longer than a socket's may be."""
    (tmp_path / temporary).mkdir(exist_ok=True)
    for module in ("fractions.py", "runpy.py"):
        (tmp_path / module).write_text("raise SystemExit('from the current folder')")
    script = """
import os, sys
from pathlib import Path
from nashflow.pipelines.local.processes import StepProcesses

Path("packages/peek.py").write_text("import sys; print('fractions' in sys.modules)")
sys.path = [path for path in sys.path if path] + ["packages"]
if StepProcesses(["fractions"], {}).run("peek", [], dict(os.environ), Path("out"), Path("err")):
    sys.exit("failed")
print(Path("out").read_text(), end="")  # an unguarded script: the child must not run it again
"""
    (tmp_path / "packages" / "script.py").write_text(script)
    command, there = [sys.executable, "packages/script.py"], {**os.environ, "TMPDIR": str(tmp_path / temporary)}
    done = subprocess.run(command, cwd=tmp_path, env=there, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("True\n", "", 0)


def test_compiling_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    def unrolled():
        first = improve(name="a", policy="start", before=prepare().outputs["text"])
        improve(name="b", policy=first.outputs["policy"], before=first.outputs["model"]).after(first)

    for name in ("one.yaml", "two.yaml"):
        compiler.Compiler().compile(dsl.pipeline(unrolled), str(tmp_path / name))
    assert (tmp_path / "one.yaml").read_bytes() == (tmp_path / "two.yaml").read_bytes()
