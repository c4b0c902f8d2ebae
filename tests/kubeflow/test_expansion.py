"""What Argo and the kubelet make of texts on their way to a step."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ..pipelines.cluster.server import Refused
from .argo.template import TemplateError, substitute
from .cluster import Kubeflow
from .conftest import Submit
from .pods.expansion import expand
from .toy import pipeline, task

_KNOWN = {"NAME": "value", "PASSWORD": "hunter2"}


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("$(NAME)", "value"),
        ("a$(NAME)b$(PASSWORD)", "avaluebhunter2"),
        ("$(OTHER)", "$(OTHER)"),
        ("$$(NAME)", "$(NAME)"),
        ("$$$(NAME)", "$value"),
        ("$NAME $", "$NAME $"),
        ("$(NAME", "$(NAME"),
        ("${NAME}", "${NAME}"),
        ("5$ and $$", "5$ and $"),
    ],
)
def test_the_kubelet_expands(text: str, made: str) -> None:
    assert expand(text, _KNOWN) == made


@given(st.text(st.sampled_from("ab()N{}\\\"'\n")))
def test_without_a_dollar_nothing_is_expanded(text: str) -> None:
    assert expand(text, _KNOWN) == text


@given(st.text(st.sampled_from("$()NAME")))
def test_jsons_escapes_carry_dollars_through(text: str) -> None:
    escaped = json.dumps(text).replace("$", "\\u0024")
    assert json.loads(expand(escaped, _KNOWN)) == text


@given(st.text(st.sampled_from("{} worflwname.$=")))
def test_jsons_escapes_carry_braces_through(text: str) -> None:
    escaped = json.dumps(text).replace("{", "\\u007b")
    assert json.loads(substitute({"text": escaped}, {"workflow.name": "w"})["text"]) == text


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("{{workflow.name}}", "w"),
        ("{{ workflow.name }}", "w"),
        ("{{$.inputs.parameters['x']}}", "{{$.inputs.parameters['x']}}"),
        ("{{$}}", "{{$}}"),
        ("}} alone", "}} alone"),
        ("{{other {{workflow.name}}", "{{other w"),
    ],
)
def test_argo_substitutes(text: str, made: str) -> None:
    assert substitute({"text": text}, {"workflow.name": "w"})["text"] == made


def test_an_expression_does_not_stay() -> None:
    assert "{{" not in substitute({"text": "{{=1 + 1}}"}, {})["text"]


def test_braces_that_do_not_close_are_an_error() -> None:
    with pytest.raises(TemplateError):
        substitute({"text": "{{ never closed"}, {})


def test_a_constant_is_changed_on_its_way(cluster: Kubeflow, submit: Submit) -> None:
    cluster.cluster.secrets["keys"] = {"password": "hunter2"}
    source = {"secretName": "keys", "keyToEnv": [{"secretKey": "password", "envVar": "PASSWORD"}]}
    platform = {
        "platforms": {"kubernetes": {"deploymentSpec": {"executors": {"exec-only": {"secretAsEnv": [source]}}}}}
    }
    word = "{{workflow.name}} $(PASSWORD) $$(PASSWORD) $$$$(PASSWORD)"
    run = submit(pipeline({"only": task('echo "said: $1"', inputs={"word": word})}), platform)
    name = cluster.server.workflows[run.run_id].name
    # A driver's arguments are expanded too, from the driver's own environment, and then the step's.
    assert f"said: {name} hunter2 hunter2 $(PASSWORD)\n" in cluster.log(run, "(0).root(0).only(0).executor(0)")


def test_a_constant_that_argo_cannot_resolve_is_refused_at_once(cluster: Kubeflow, submit: Submit) -> None:
    with pytest.raises(Refused, match=r"failed to resolve \{\{inputs\.parameters\.x\}\}") as refused:
        submit(pipeline({"only": task("true", inputs={"word": "{{inputs.parameters.x}}"})}))
    assert refused.value.status == 500


def test_a_parameter_of_the_run_is_changed_too(cluster: Kubeflow, submit: Submit) -> None:
    only = task('echo "said: $1"', inputs={"word": {"componentInputParameter": "word"}})
    run = submit(pipeline({"only": only}, word=""), word="{{workflow.namespace}}")
    assert "said: kubeflow\n" in cluster.log(run, "(0).root(0).only(0).executor(0)")
