"""Recurring runs: the file that `nashflow schedule apply --file` reads, and the hooks that run it."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_python.errors import HelmRenderError

from nashflow.pipelines.cluster.schedules.schedules import read_schedules
from nashflow.pipelines.recipe import load_recipe
from tests.helm.rendering import PINNED, SCHEDULE, Object, Values, merged, of_kind, only, render


def schedules(*items: Values, **others: Any) -> Values:
    return {"schedules": {"enabled": True, "items": list(items)}, **others}


def file(objects: list[Object], key: str = "schedules.yaml") -> dict[str, Any]:
    """A file of the ConfigMap that the hooks mount."""
    return yaml.safe_load(only(objects, "ConfigMap", "-schedules")["data"][key])


def spec(objects: list[Object], job: str) -> Object:
    return only(objects, "Job", job)["spec"]["template"]["spec"]


def test_what_a_schedule_says_when_nothing_but_the_needful_is_given() -> None:
    (found,) = file(render(schedules(SCHEDULE)))["schedules"]
    given = {"name": "weekly", "recipe": "quickstart", "cron": "0 0 3 * * 1", "run_root": "s3://runs/weekly/{job}"}
    defaults = {"concurrency": 1, "catchup": False, "only_new_prompts": True}
    assert found == given | defaults | {"set": found["set"], "service_account": "nashflow-runner"}


@pytest.mark.parametrize("paused", [True, False])
def test_whether_it_fires_is_said_only_where_it_is_given(paused: bool) -> None:
    """What somebody has paused by hand stays paused through an upgrade."""
    (silent,) = file(render(schedules(SCHEDULE)))["schedules"]
    (found,) = file(render(schedules(SCHEDULE | {"paused": paused})))["schedules"]
    assert "paused" not in silent
    assert found == silent | {"paused": paused}


def test_what_is_given_arrives() -> None:
    more = {"set": ["training.epochs=3"], "concurrency": 2, "catchup": True, "paused": True, "onlyNewPrompts": False}
    (found,) = file(render(schedules(SCHEDULE | more)))["schedules"]
    assert (found["concurrency"], found["catchup"], found["paused"], found["only_new_prompts"]) == (
        2,
        True,
        True,
        False,
    )
    assert found["set"][-1] == "training.epochs=3"


@pytest.mark.parametrize("key", ["schedules.yaml", "none.yaml"])
def test_the_command_reads_the_file(key: str, tmp_path: Path) -> None:
    more = {"set": ["training.epochs=3"], "concurrency": 10, "catchup": True, "paused": True, "onlyNewPrompts": False}
    objects = render(schedules(SCHEDULE, SCHEDULE | {"name": "other"} | more))
    path = tmp_path / key
    path.write_text(only(objects, "ConfigMap", "-schedules")["data"][key])
    read = read_schedules(path)
    assert read.owner == "team/nf"
    written = [found.model_dump(exclude_unset=True) for found in read.schedules]
    assert written == [found | {"set": tuple(found["set"])} for found in file(objects, key)["schedules"]]
    assert len(written) == (2 if key == "schedules.yaml" else 0)


def test_a_release_owns_its_schedules() -> None:
    for key in ("schedules.yaml", "none.yaml"):
        assert file(render(schedules(SCHEDULE), name="one", namespace="x"), key)["owner"] == "x/one"


def test_without_items_the_file_is_empty_so_that_all_are_deleted() -> None:
    assert file(render(schedules())) == {"owner": "team/nf", "schedules": []}


def test_the_release_says_what_recipes_cannot_know() -> None:
    """Read by the recipe's own reader, before the schedule's settings, which win."""
    values = schedules(
        SCHEDULE | {"set": ["cluster.images.steps=mine:1"]},
        production=True,
        images=PINNED | {"training": {"repository": "here:5000/training", "digest": "sha256:" + "a" * 64}},
        imagePullSecrets=["registry", "mirror"],
    )
    (found,) = file(render(values))["schedules"]
    cluster = load_recipe(found["recipe"], found["set"]).cluster
    assert cluster.images.steps == "mine:1"
    assert cluster.images.vllm == "nashflow-vllm:1.2.3"
    assert cluster.images.training == "here:5000/training@sha256:" + "a" * 64
    assert cluster.image_pull_secrets == ("registry", "mirror")
    assert cluster.production is True
    assert load_recipe(found["recipe"], found["set"][:-1]).cluster.images.steps == "nashflow-steps:1.2.3"


def test_images_without_a_tag_are_those_of_the_charts_version() -> None:
    (found,) = file(render(schedules(SCHEDULE)))["schedules"]
    cluster = load_recipe(found["recipe"], found["set"]).cluster
    assert cluster.images == type(cluster.images)()
    assert not cluster.production


@pytest.mark.parametrize("name", ["own", "own.yaml"])
def test_recipes_in_the_values_are_files(name: str) -> None:
    text = "extends: quickstart\nrun: {name: '{{ mine }}'}\n"
    objects = render(schedules(SCHEDULE | {"recipe": name}, recipes={"own.yaml": text}, doctor={"recipe": name}))
    assert only(objects, "ConfigMap", "-recipes")["data"] == {"own.yaml": text}
    (found,) = file(objects)["schedules"]
    assert found["recipe"] == "/etc/nashflow/recipes/own.yaml"
    doctors = [pod["spec"] for pod in of_kind(objects, "Pod")]
    for doctor in doctors:
        assert doctor["containers"][0]["args"][:2] == ["doctor", "/etc/nashflow/recipes/own.yaml"]
    for pod in (*doctors, spec(objects, "schedules"), spec(objects, "unschedule")):
        assert mounted(pod, "/etc/nashflow")["recipes/own.yaml"] == ("nf-nashflow-recipes", "own.yaml")


def mounted(pod: Object, where: str) -> dict[str, tuple[str, str]]:
    """(ConfigMap, key) of the files mounted at a place, by path; the key is "" where a whole ConfigMap is mounted."""
    (name,) = [mount["name"] for mount in pod["containers"][0]["volumeMounts"] if mount["mountPath"] == where]
    (volume,) = [found for found in pod["volumes"] if found["name"] == name]
    maps = [source["configMap"] for source in volume["projected"]["sources"]]
    items = [(m["name"], item) for m in maps for item in m.get("items", [{"path": "", "key": ""}])]
    return {item["path"]: (config, item["key"]) for config, item in items}


@pytest.mark.parametrize(
    ("job", "key", "hooks"),
    [
        ("schedules", "schedules.yaml", {"post-install", "post-upgrade", "post-rollback"}),
        ("unschedule", "none.yaml", {"pre-delete"}),
    ],
)
def test_a_hook_reconciles_with_a_file_that_is_mounted(job: str, key: str, hooks: set[str]) -> None:
    objects = render(schedules(SCHEDULE, kfp={"host": "https://kfp.example.com/pipeline"}))
    found = only(objects, "Job", f"-{job}")
    assert set(found["metadata"]["annotations"]["helm.sh/hook"].split(",")) == hooks
    pod = spec(objects, job)
    container = pod["containers"][0]
    where = ["--host", "https://kfp.example.com/pipeline", "--namespace", "team"]
    assert container["command"] + container["args"] == [
        "nashflow",
        "schedule",
        "apply",
        "--file",
        f"/etc/nashflow/{key}",
        *where,
    ]
    assert mounted(pod, "/etc/nashflow") == {"": ("nf-nashflow-schedules", "")}
    assert key in only(objects, "ConfigMap", "-schedules")["data"]
    assert pod["serviceAccountName"] == "nashflow-client"


def test_a_hook_is_made_anew_each_time_and_ends() -> None:
    for job in of_kind(render(schedules(SCHEDULE)), "Job"):
        assert job["metadata"]["annotations"]["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"
        assert job["spec"]["template"]["spec"]["activeDeadlineSeconds"] < 300, "as long as Helm waits"


def test_what_hooks_need_is_no_hook_so_that_it_is_there_before_them_and_after() -> None:
    objects = render(schedules(SCHEDULE, recipes={"own.yaml": "a: 1"}))
    hooks = {o["kind"] for o in objects if "helm.sh/hook" in o["metadata"].get("annotations", {})}
    assert hooks == {"Job", "Pod"}


def test_schedules_stay_after_the_release_where_that_is_asked_for() -> None:
    kept = merged(schedules(SCHEDULE), {"schedules": {"onUninstall": "keep"}})
    assert [o["metadata"]["name"] for o in of_kind(render(kept), "Job")] == ["nf-nashflow-schedules"]
    assert of_kind(render({"schedules": {"items": [SCHEDULE]}}), "Job") == []


def test_the_clients_token_is_kfps_and_lies_where_kfps_client_looks() -> None:
    objects = render(schedules(SCHEDULE))
    for pod in (spec(objects, "schedules"), *(found["spec"] for found in of_kind(objects, "Pod"))):
        container = pod["containers"][0]
        (path,) = [e["value"] for e in container["env"] if e["name"] == "KF_PIPELINES_SA_TOKEN_PATH"]
        assert path == "/var/run/secrets/kubeflow/pipelines/token"
        (name,) = [m["name"] for m in container["volumeMounts"] if path == f"{m['mountPath']}/token"]
        (volume,) = [v for v in pod["volumes"] if v["name"] == name]
        token = volume["projected"]["sources"][0]["serviceAccountToken"]
        assert (token["audience"], token["path"]) == ("pipelines.kubeflow.org", "token")


@pytest.mark.parametrize(
    ("values", "line"),
    [
        (schedules(SCHEDULE, SCHEDULE), r"schedules\.items\[1\]\.name: weekly is taken by an earlier one"),
        (schedules(SCHEDULE | {"recipe": "my.yaml"}), r"schedules\.items\[0\]\.recipe: recipes has no my\.yaml"),
        (
            schedules(SCHEDULE, SCHEDULE | {"name": "b", "recipe": "quickstrt"}),
            r"schedules\.items\[1\]\.recipe: recipes has no quickstrt: .*, quickstart, ",
        ),
        ({"doctor": {"recipe": "my.yaml"}}, r"doctor\.recipe: recipes has no my\.yaml"),
    ],
)
def test_what_a_schema_cannot_see_is_refused_all_the_same(values: Values, line: str) -> None:
    with pytest.raises(HelmRenderError, match=line):
        render(values)
