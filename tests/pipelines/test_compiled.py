"""A compiled file read back: KFP's own words for it, and what is refused."""

from pathlib import Path

import pytest

from nashflow.components.core.errors import UserError
from nashflow.pipelines.compiled import read_graph

NO_GRAPH = (
    "",
    "x: 1",
    "[1",
    "- 1",
    "deploymentSpec: {}",
    "root: {dag: {tasks: {}}}",
    "&a [*a]",
    "[" * 10_000,
    "2020-13-45",
    "&a {root: *a, deploymentSpec: {}}",
)
ROOT = "deploymentSpec: {}\nroot: {dag: {tasks: {}}}\n"


@pytest.mark.parametrize("content", NO_GRAPH)
def test_what_is_no_graph_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(content)
    with pytest.raises(UserError, match=r"p\.yaml: (no compiled pipeline|cannot be read)"):
        read_graph(tmp_path / "p.yaml")
    with pytest.raises(UserError, match="cannot be read"):
        read_graph(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (f"{ROOT}colour: red", 'no field named "colour"'),
        ("deploymentSpec: {executors: {a: {box: {}}}}\nroot: {dag: {tasks: {}}}", 'no field named "box"'),
        ("deploymentSpec: {}\nroot: {dag: {tasks: {a: {inputs: 3}}}}", "inputs"),
        ("deploymentSpec: {}\nroot: {dag: {tasks: {a: 2020-01-01}}}", "not JSON"),
        (f"{ROOT}---\n- 1", "PlatformSpec"),
        (f"{ROOT}---\nplatforms: 3", "platforms"),
        (f"{ROOT}---\nplatforms: {{kubernetes: {{deploymentSpec: {{executors: {{a: {{pvc: 1}}}}}}}}}}", '"pvc"'),
    ],
)
def test_what_kfp_does_not_know_is_one_line(content: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(content)
    with pytest.raises(UserError) as caught:
        read_graph(tmp_path / "p.yaml")
    assert str(caught.value).startswith(f"{tmp_path}/p.yaml: no compiled pipeline: ")
    assert complaint in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_graph_is_read_as_kfp_reads_it(tmp_path: Path) -> None:
    """Nulls are absent, and the schema's other spelling is its first."""
    (tmp_path / "p.yaml").write_text(
        "deploymentSpec: {executors: {e: {importer: {}}, f: {container: {args: null}}}}\n"
        "pipelineInfo: null\n"
        "root: {dag: {tasks: {b: {component_ref: {name: c}}, a: {inputs: null}}}}\n"
        "components: {c: {executor_label: f}}\n"
        "---\n"
        "platforms: {kubernetes: {deploymentSpec: {executors: {f: {active_deadline_seconds: 60}}}}}\n"
    )
    graph = read_graph(tmp_path / "p.yaml")
    assert [(name, task) for _, name, task in graph.tasks()] == [("a", {}), ("b", {"componentRef": {"name": "c"}})]
    assert graph.executors == {"e": {}, "f": {}}
    assert graph.placed("f") == {"activeDeadlineSeconds": "60"}
    assert list(graph.users()) == [("f", {"executorLabel": "f"})]
    assert "pipelineInfo" not in graph.ir
