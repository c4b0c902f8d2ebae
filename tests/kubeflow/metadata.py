"""ML Metadata as KFP uses it: artifacts, executions, and the events between them, with the store's own unique keys."""

import json
import sqlite3
import threading
from dataclasses import dataclass, field
from typing import Any

_SCHEMA = """
CREATE TABLE artifact (id INTEGER PRIMARY KEY, kind TEXT, uri TEXT, properties TEXT);
CREATE TABLE execution (id INTEGER PRIMARY KEY, kind TEXT, name TEXT, run TEXT, parent INTEGER, task TEXT,
                        number INTEGER, state TEXT, properties TEXT, UNIQUE (kind, name));
CREATE TABLE event (artifact INTEGER, execution INTEGER, kind TEXT, path TEXT, UNIQUE (artifact, execution, kind));
CREATE INDEX family ON execution (run, parent);
"""
DAG, CONTAINER = "system.DAGExecution", "system.ContainerExecution"


class AlreadyExists(Exception):
    """A row that breaks a unique key."""


@dataclass
class Execution:
    """One execution, as a driver made it."""

    kind: str
    run: str
    task: str = ""
    parent: int = 0
    number: int | None = None
    """Which item of a loop."""
    name: str | None = None
    state: str = "RUNNING"
    properties: dict[str, Any] = field(default_factory=dict)
    """display_name; inputs and outputs, by name; of a graph its producers, tasks, and a loop's iteration_count."""
    id: int = 0


@dataclass
class Artifact:
    """One artifact."""

    kind: str
    uri: str
    properties: dict[str, Any]
    id: int = 0


class Metadata:
    """The store."""

    def __init__(self) -> None:
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._database.executescript(_SCHEMA)
        self._lock = threading.RLock()

    def create(self, execution: Execution, inputs: dict[str, list[int]]) -> Execution:
        """Put an execution with its input artifacts, all or nothing.

        Raises:
            AlreadyExists: the name is taken; or one artifact is given twice, as the store keeps one event of a kind
                for an artifact and an execution.
        """
        with self._lock:
            try:
                with self._database:
                    cursor = self._database.execute(
                        "INSERT INTO execution (kind, name, run, parent, task, number, state, properties)"
                        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                        self._row(execution),
                    )
                    execution.id = cursor.lastrowid or 0
                    for name, artifacts in inputs.items():
                        for artifact in artifacts:
                            self._event(artifact, execution.id, "INPUT", name)
            except sqlite3.IntegrityError as error:
                raise AlreadyExists(str(error)) from error
        return execution

    def update(self, execution: Execution) -> None:
        """Keep what has changed of an execution."""
        with self._lock, self._database:
            self._database.execute(
                "UPDATE execution SET state = ?, properties = ? WHERE id = ?",
                (execution.state, json.dumps(execution.properties), execution.id),
            )

    def get(self, key: int) -> Execution:
        """An execution by its id."""
        (found,) = self._executions("id = ?", (key,))
        return found

    def named(self, kind: str, name: str) -> Execution | None:
        """An execution by its name."""
        return next(iter(self._executions("kind = ? AND name = ?", (kind, name))), None)

    def children(self, graph: Execution) -> list[Execution]:
        """The executions of a graph's tasks."""
        return self._executions("run = ? AND parent = ?", (graph.run, graph.id))

    def record(self, artifact: Artifact, execution: int, name: str) -> Artifact:
        """Put an output of an execution."""
        with self._lock, self._database:
            cursor = self._database.execute(
                "INSERT INTO artifact (kind, uri, properties) VALUES (?, ?, ?)",
                (artifact.kind, artifact.uri, json.dumps(artifact.properties)),
            )
            artifact.id = cursor.lastrowid or 0
            self._event(artifact.id, execution, "OUTPUT", name)
        return artifact

    def artifacts(self, execution: int, kind: str) -> dict[str, Artifact]:
        """The artifacts of an execution by name, INPUT or OUTPUT; of a list, the last one."""
        with self._lock:
            rows = self._database.execute(
                "SELECT event.path, artifact.kind, uri, properties, id FROM event JOIN artifact ON artifact = id"
                " WHERE execution = ? AND event.kind = ? ORDER BY id",
                (execution, kind),
            ).fetchall()
        return {path: Artifact(of, uri, json.loads(text), key) for path, of, uri, text, key in rows}

    def _event(self, artifact: int, execution: int, kind: str, path: str) -> None:
        self._database.execute("INSERT INTO event VALUES (?, ?, ?, ?)", (artifact, execution, kind, path))

    def _row(self, execution: Execution) -> tuple[Any, ...]:
        first = (execution.kind, execution.name, execution.run, execution.parent, execution.task, execution.number)
        return (*first, execution.state, json.dumps(execution.properties))

    def _executions(self, condition: str, values: tuple[Any, ...]) -> list[Execution]:
        with self._lock:
            rows = self._database.execute(
                f"SELECT kind, run, task, parent, number, name, state, properties, id FROM execution WHERE {condition}"
                " ORDER BY id",
                values,
            ).fetchall()
        return [Execution(*row[:7], json.loads(row[7]), row[8]) for row in rows]
