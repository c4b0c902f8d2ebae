"""KFP's launcher: input artifacts down, the step as a process of its own, outputs up, what became of it into MLMD."""

import json
import os
import signal
import subprocess
from typing import Any, Protocol

from kfp.pipeline_spec.pipeline_spec_pb2 import ExecutorInput

from ..driver.drive import STORE, local_path
from ..driver.patch import text
from ..flags import parsed
from ..metadata import Artifact, Execution, Metadata
from ..wire import compact, message
from .log import Log
from .objects import Objects
from .said import kfp
from .sandbox import Sandbox

LOGS = "executor-logs"
_LAUNCHER, _MAIN = "launcher_v2.go", "main.go"


class LaunchError(Exception):
    """Why the launcher fails; its log says so."""


class Killed(Exception):
    """The launcher has gone with its step."""


class Watch(Protocol):
    """What minds the step's process."""

    @property
    def stopping(self) -> bool:
        """Whether the pod is being ended: nothing is uploaded or published then."""

    def begins(self, group: int) -> None:
        """The step runs, in a process group of its own."""

    def ends(self) -> None:
        """It has ended."""


class Launcher:
    """One run of the launcher, in the thread that calls `run`."""

    def __init__(self, sandbox: Sandbox, objects: Objects, metadata: Metadata, log: Log) -> None:
        self._sandbox, self._objects, self._metadata, self._log = sandbox, objects, metadata, log

    def run(self, command: list[str], environment: dict[str, str], watch: Watch) -> int:
        """Run the launcher's command line; its exit code."""
        own, step = command[1 : command.index("--")], command[command.index("--") + 1 :]
        flags = parsed(own)
        self._log.say(kfp(f"{_MAIN}:139", f"Setting log level to: '{flags['log_level']}'"))
        address = f"{flags['ml_pipeline_server_address']}:{flags['ml_pipeline_server_port']}"
        self._log.say(kfp("cache.go:89", f"Connecting to cache endpoint {address}"))
        self._log.say(kfp("registry.go:68", "No task-level plugins enabled, returning no-op dispatcher"))
        execution = self._metadata.get(int(flags["execution_id"]))
        executor_input = json.loads(flags["executor_input"])
        component = json.loads(flags["component_spec"])
        _qualify_logs(executor_input, environment.get("KFP_RETRY_INDEX", "0"))
        try:
            self._execute(executor_input, component, step, environment, execution, watch)
        except Killed:
            return 143
        except LaunchError as error:
            execution.state = "FAILED"
            self._publish(execution)
            self._log.say(kfp(f"{_MAIN}:130", f"failed to execute component: {error}", "F"))
            return 1
        execution.state = "COMPLETE"
        self._publish(execution)
        return 0

    def _execute(
        self,
        executor_input: dict[str, Any],
        component: dict[str, Any],
        step: list[str],
        environment: dict[str, str],
        execution: Execution,
        watch: Watch,
    ) -> None:
        inputs, outputs = executor_input.setdefault("inputs", {}), executor_input["outputs"]
        values = inputs.setdefault("parameterValues", {})
        for name, declared in component.get("inputDefinitions", {}).get("parameters", {}).items():
            if "defaultValue" in declared:
                values.setdefault(name, declared["defaultValue"])
        command = _filled(executor_input, step)
        self._download(inputs)
        self._make_folders(outputs)
        if code := self._step(command, environment, outputs, watch):
            how = f"exit status {code}" if code > 0 else f"signal: {signal.Signals(-code).name.lower()[3:]}"
            how = how.replace("signal: kill", "signal: killed").replace("signal: term", "signal: terminated")
            self._log.say(kfp(f"{_LAUNCHER}:449", f"Component failed to execute successfully: {how}", "E"))
            self._upload({LOGS: outputs["artifacts"][LOGS]}, {}, execution)
            raise LaunchError(how)
        said = self._said(outputs)
        execution.properties["outputs"] = self._parameters(outputs, component, said)
        self._upload(outputs.get("artifacts", {}), said.get("artifacts", {}), execution)

    def _download(self, inputs: dict[str, Any]) -> None:
        for name, several in inputs.get("artifacts", {}).items():
            for artifact in several["artifacts"]:
                uri = artifact["uri"]
                try:
                    self._objects.download(self._key(uri), self._sandbox.file(local_path(uri)))
                except FileNotFoundError as error:
                    raise LaunchError(
                        f'failed to download input artifact "{name}" from remote storage URI "{uri}": {error}'
                    ) from error

    def _make_folders(self, outputs: dict[str, Any]) -> None:
        files = [parameter["outputFile"] for parameter in outputs.get("parameters", {}).values()]
        files += [_path(several["artifacts"][0]) for several in outputs.get("artifacts", {}).values()]
        for file in files:
            self._sandbox.file(file).parent.mkdir(parents=True, exist_ok=True)

    def _step(
        self,
        command: list[str],
        environment: dict[str, str],
        outputs: dict[str, Any],
        watch: Watch,
    ) -> int:
        """Run the step; its output is the pod's log, and a file that is uploaded."""
        logs = self._sandbox.file(_path(outputs["artifacts"][LOGS]["artifacts"][0]))
        process = subprocess.Popen(
            self._sandbox.command(command),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        watch.begins(process.pid)
        assert process.stdout
        with logs.open("wb") as file:
            while data := os.read(process.stdout.fileno(), 65536):
                file.write(data)
                file.flush()
                self._log.write(data)
        code = process.wait()
        watch.ends()
        if watch.stopping:
            raise Killed
        return code

    def _said(self, outputs: dict[str, Any]) -> dict[str, Any]:
        """The executor output, if the step wrote one."""
        file = self._sandbox.file(outputs["outputFile"])
        if not file.exists():
            self._log.say(kfp(f"{_LAUNCHER}:1216", f"output metadata file does not exist in {outputs['outputFile']}"))
            return {}
        said: dict[str, Any] = json.loads(file.read_text())
        self._log.say(kfp(f"{_LAUNCHER}:1230", f"ExecutorOutput: {json.dumps(said, indent=2)}"))
        return said

    def _parameters(self, outputs: dict[str, Any], component: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
        """Every declared output parameter: from the executor output, or from its file."""
        values = dict(said.get("parameterValues", {}))
        for name, parameter in outputs.get("parameters", {}).items():
            if name in values:
                continue
            kind, file = component["outputDefinitions"]["parameters"][name]["parameterType"], parameter["outputFile"]
            try:
                content = self._sandbox.file(file).read_text()
                values[name] = content if kind == "STRING" else json.loads(content)
            except (OSError, ValueError) as error:
                why = f"open {file}: no such file or directory" if isinstance(error, OSError) else str(error)
                raise LaunchError(
                    f'failed to read output parameter name="{name}" type="{kind}" path="{file}": {why}'
                ) from error
        return values

    def _upload(self, artifacts: dict[str, Any], said: dict[str, Any], execution: Execution) -> None:
        self._log.say(kfp(f"{_LAUNCHER}:867", "Executing uploadOutputArtifacts attempt: 1"))
        for name, several in artifacts.items():
            (artifact,) = several["artifacts"]
            self._log.say(kfp(f"{_LAUNCHER}:800", f"outputArtifact in uploadOutputArtifacts call: {name}"))
            if name != LOGS and (told := said.get(name, {}).get("artifacts")):
                artifact["uri"] = told[0].get("uri") or artifact["uri"]
                artifact["metadata"] = {**artifact.get("metadata", {}), **told[0].get("metadata", {})}
            try:
                self._objects.upload(self._sandbox.file(_path(artifact)), self._key(artifact["uri"]))
                blob = f'localFilePath="{_path(artifact)}", blobFilePath="{_blob(artifact["uri"])}"'
                self._log.say(kfp("object_store.go:231", f"uploadFile({blob})"))
            except FileNotFoundError:
                self._log.say(kfp(f"{_LAUNCHER}:827", f'Local filepath "{_path(artifact)}" does not exist', "W"))
                if name == LOGS:
                    continue
            properties = {"display_name": name, "store_session_info": compact(STORE), **artifact.get("metadata", {})}
            kind = artifact["type"].get("schemaTitle", "")
            self._metadata.record(Artifact(kind, artifact["uri"], properties), execution.id, name)

    def _key(self, uri: str) -> str:
        bucket, _, key = uri.partition("://")[2].partition("/")
        if bucket != self._objects.bucket:
            raise LaunchError(f"failed to open bucket {bucket}: the pipeline root is in {self._objects.bucket}")
        return key

    def _publish(self, execution: Execution) -> None:
        self._metadata.update(execution)
        self._log.say(kfp(f"{_LAUNCHER}:206", "publish success."))
        graph = self._metadata.get(execution.parent)
        while self._settle(graph) and graph.parent:
            self._log.say(kfp("client.go:871", f"Propagating state update to parent DAG {graph.parent}"))
            graph = self._metadata.get(graph.parent)

    def _settle(self, graph: Execution) -> bool:
        """Let a graph take the state that its tasks give it; whether they do. Nothing but a launcher ever does this."""
        expected = graph.properties.get("iteration_count", graph.properties.get("total_dag_tasks"))
        if expected is None:
            return False
        self._log.say(kfp("client.go:847", f"Attempting to update DAG state for execution {graph.id}"))
        states = [child.state for child in self._metadata.children(graph)]
        if sum(state in ("COMPLETE", "CACHED", "CANCELED") for state in states) == expected:
            graph.state = "COMPLETE"
        elif "FAILED" in states:
            graph.state = "FAILED"
        else:
            return False
        self._metadata.update(graph)
        return True


def _qualify_logs(executor_input: dict[str, Any], attempt: str) -> None:
    """Each attempt's logs have a name of their own."""
    artifact = executor_input["outputs"]["artifacts"][LOGS]["artifacts"][0]
    artifact["uri"] += f"-{attempt}"


def _filled(executor_input: dict[str, Any], step: list[str]) -> list[str]:
    """The step's command line with what its placeholders stand for."""
    inputs, outputs = executor_input["inputs"], executor_input["outputs"]
    values: dict[str, str] = {}
    for kind, artifacts in (("inputs", inputs.get("artifacts", {})), ("outputs", outputs.get("artifacts", {}))):
        for name, several in artifacts.items():
            artifact = several["artifacts"][0]
            values[f"{{{{$.{kind}.artifacts['{name}'].uri}}}}"] = artifact["uri"]
            values[f"{{{{$.{kind}.artifacts['{name}'].path}}}}"] = _path(artifact)
    for name, value in inputs["parameterValues"].items():
        values[f"{{{{$.inputs.parameters['{name}']}}}}"] = text(value)
    for name, parameter in outputs.get("parameters", {}).items():
        values[f"{{{{$.outputs.parameters['{name}'].output_file}}}}"] = parameter["outputFile"]
    whole = message(executor_input, ExecutorInput)
    return [step[0]] + [_replaced(word.replace("{{$}}", whole), values) for word in step[1:]]


def _replaced(word: str, values: dict[str, str]) -> str:
    # In any order, and what one of them has brought in is looked through for the others, as by the launcher.
    for placeholder, value in values.items():
        word = word.replace(placeholder, value)
    return word


def _path(artifact: dict[str, Any]) -> str:
    return artifact.get("customPath") or local_path(artifact["uri"])


def _blob(uri: str) -> str:
    """An object's name below the run's folder."""
    return "/".join(uri.split("/")[-3:])
