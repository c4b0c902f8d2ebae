"""One artifact under two inputs of a task is found however it gets there; distinct ones are let be."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from kfp import compiler, dsl

from nashflow.pipelines.compiled import read_graph
from nashflow.pipelines.provenance import read_twice


@dsl.container_component
def make(made: dsl.Output[dsl.Artifact], other: dsl.Output[dsl.Artifact]) -> dsl.ContainerSpec:  # type: ignore[misc]
    return dsl.ContainerSpec(image="i", command=["make"])


@dsl.container_component
def compare(  # type: ignore[misc]
    one: dsl.Input[dsl.Artifact], two: dsl.Input[dsl.Artifact], made: dsl.Output[dsl.Artifact]
) -> dsl.ContainerSpec:
    return dsl.ContainerSpec(image="i", command=["compare"])


@dsl.container_component
def gather(  # type: ignore[misc]
    many: dsl.Input[list[dsl.Artifact]], one: dsl.Input[dsl.Artifact]
) -> dsl.ContainerSpec:
    return dsl.ContainerSpec(image="i", command=["gather"])


class Made(NamedTuple):
    made: dsl.Artifact


@dsl.pipeline
def inner(first: dsl.Input[dsl.Artifact], second: dsl.Input[dsl.Artifact]) -> Made:
    compared = compare(one=first, two=second)
    return Made(made=compared.outputs["made"])


@dsl.pipeline
def maker() -> Made:
    return Made(made=make().outputs["made"])


def at_once() -> None:
    source = make()
    compare(one=source.outputs["made"], two=source.outputs["made"])


def through_a_subpipeline() -> None:
    source = make()
    inner(first=source.outputs["made"], second=source.outputs["made"])


def out_of_a_subpipeline() -> None:
    source = maker()
    compare(one=source.outputs["made"], two=source.outputs["made"])


@dsl.container_component
def decide(go: dsl.OutputPath(str)) -> dsl.ContainerSpec:  # type: ignore[valid-type,misc]
    return dsl.ContainerSpec(image="i", command=["decide", go])


def in_a_condition() -> None:
    source = make()
    with dsl.If(decide().outputs["go"] == "true"):
        compare(one=source.outputs["made"], two=source.outputs["made"])


def in_a_loop() -> None:
    source = make()
    with dsl.ParallelFor([1, 2]):
        compare(one=source.outputs["made"], two=source.outputs["made"])


def collected_and_within() -> None:
    with dsl.ParallelFor([1, 2]):
        source = make()
    both(many=dsl.Collected(source.outputs["made"]), more=dsl.Collected(source.outputs["made"]))


@dsl.container_component
def both(  # type: ignore[misc]
    many: dsl.Input[list[dsl.Artifact]], more: dsl.Input[list[dsl.Artifact]]
) -> dsl.ContainerSpec:
    return dsl.ContainerSpec(image="i", command=["both"])


def imported_twice() -> None:
    one, two = (dsl.importer(artifact_uri="s3://b/k", artifact_class=dsl.Artifact) for _ in range(2))
    compare(one=one.output, two=two.output)


def two_outputs_of_one_task() -> None:
    source = make()
    compare(one=source.outputs["made"], two=source.outputs["other"])


def two_calls_of_one_subpipeline() -> None:
    compare(one=maker().outputs["made"], two=maker().outputs["made"])


def two_tasks_of_one_loop() -> None:
    with dsl.ParallelFor([1, 2]):
        compare(one=make().outputs["made"], two=make().outputs["made"])


def a_list_and_something_else() -> None:
    alone = make()
    with dsl.ParallelFor([1, 2]):
        source = make()
    gather(many=dsl.Collected(source.outputs["made"]), one=alone.outputs["made"])


def two_at_different_depths() -> None:
    source = make()
    done = inner(first=source.outputs["made"], second=source.outputs["other"])
    compare(one=source.outputs["made"], two=done.outputs["made"])


def found(build: Callable[[], None], folder: Path) -> list[tuple[str, str, str]]:
    @dsl.pipeline(name="toy")
    def pipeline() -> None:
        build()

    file: Any = folder / "p.yaml"
    compiler.Compiler().compile(pipeline, str(file))
    return list(read_twice(read_graph(file)))


@pytest.mark.parametrize(
    ("build", "inputs"),
    [
        (at_once, {"one", "two"}),
        (through_a_subpipeline, {"one", "two"}),
        (out_of_a_subpipeline, {"one", "two"}),
        (in_a_condition, {"one", "two"}),
        (in_a_loop, {"one", "two"}),
        (collected_and_within, {"many", "more"}),
        (imported_twice, {"one", "two"}),
    ],
)
def test_one_artifact_under_two_inputs(build: Callable[[], None], inputs: set[str], tmp_path: Path) -> None:
    complaints = found(build, tmp_path)
    assert complaints
    assert inputs in [{one, other} for _, one, other in complaints]


@pytest.mark.parametrize(
    "build",
    [
        two_outputs_of_one_task,
        two_calls_of_one_subpipeline,
        two_tasks_of_one_loop,
        a_list_and_something_else,
        two_at_different_depths,
    ],
)
def test_distinct_artifacts(build: Callable[[], None], tmp_path: Path) -> None:
    assert found(build, tmp_path) == []
