"""What a compiled graph asks of a cluster, step by step."""

import json
from pathlib import Path

import pytest

from nashflow.components.core.errors import UserError
from nashflow.pipelines.graph import compile_graph
from nashflow.pipelines.recipe import load_recipe
from tests.fixtures.graphs import Task, unrolled

MODEL_STEPS = ("rollout", "judging", "logprobs", "training", "evaluation")
BY_A_JOB = ("training.engine={kind: deepspeed, precision: float32}", "training.launcher=trainjob")
ON_GPUS = {**dict.fromkeys(MODEL_STEPS, "vllm_image"), "training": "training_image"}


def placed(tmp_path: Path, *overrides: str) -> dict[str, Task]:
    """What the pods of each step are asked for: two iterations with two phases each."""
    compile_graph(load_recipe("sandbox-egpo", ["run.iterations=2", *overrides]), tmp_path / "p.yaml")
    return {place.step: task for place, task in unrolled(tmp_path / "p.yaml").items()}


def test_what_kubernetes_takes_and_kfp_does_not_is_said_in_kfps_words(tmp_path: Path) -> None:
    asked = "{memory: 1.5Gi, tolerations: [{effect: ''}]}"
    reporting = placed(tmp_path, f"cluster.steps={{reporting: {asked}}}")["reporting"]
    assert reporting.resources["resourceMemoryLimit"] == "1536Mi"
    assert reporting.placed["tolerations"] == [{"operator": "Exists"}]


def test_every_pod_says_its_step_and_is_no_root(tmp_path: Path) -> None:
    for step, task in placed(tmp_path).items():
        assert task.placed["podMetadata"]["labels"] == {"nashflow/step": step}
        assert task.placed["securityContext"] == {"runAsNonRoot": True}


def test_a_profile_and_what_differs_from_it(tmp_path: Path) -> None:
    tasks = placed(
        tmp_path,
        "cluster.profile=one-node",
        "cluster.steps={training: {memory: 400Gi, node_selector: {pool: a}, timeout_seconds: 60}}",
    )
    training, rollout = tasks["training"].resources, tasks["rollout"].resources
    assert training["resourceMemoryLimit"] == "400Gi"
    assert training["accelerator.resourceCount"] == "8"
    assert training["accelerator.resourceType"] == "nvidia.com/gpu"
    assert (rollout["resourceMemoryLimit"], rollout["accelerator.resourceCount"]) == ("96Gi", "1")
    there = tasks["training"].placed
    assert there["nodeSelector"] == {"labels": {"pool": "a"}}
    assert there["activeDeadlineSeconds"] == "60"
    assert there["tolerations"] == [{"effect": "NoSchedule", "key": "nvidia.com/gpu", "operator": "Exists"}]
    (shm,) = there["emptyDirMounts"]
    assert (shm["mountPath"], shm["medium"], shm["sizeLimit"]) == ("/dev/shm", "Memory", "64Gi")
    assert not any("accelerator" in key for key in tasks["preparation"].resources)


def test_a_step_that_makes_a_job_asks_for_little_and_hands_on_what_its_nodes_ask_for(tmp_path: Path) -> None:
    tasks = placed(
        tmp_path,
        *("cluster.profile=many-nodes", *BY_A_JOB),
        "cluster.steps={training: {cpu_limit: 96, node_selector: {pool: a}, timeout_seconds: 60, retries: 1}}",
    )
    training = tasks["training"]
    assert training.resources["resourceCpuLimit"] == "1"
    assert not any("accelerator" in key for key in training.resources)
    assert not {"nodeSelector", "tolerations", "emptyDirMounts"} & set(training.placed)
    assert training.placed["activeDeadlineSeconds"] == "60"
    assert training.placed["fieldPathAsEnv"] == [
        {"name": "NASHFLOW_POD", "fieldPath": "metadata.name"},
        {"name": "NASHFLOW_NAMESPACE", "fieldPath": "metadata.namespace"},
    ]
    assert json.loads(training.variables["NASHFLOW_NODE"]) == {
        "requests": {"cpu": "64", "memory": "640Gi", "nvidia.com/gpu": "8"},
        "limits": {"cpu": "96", "memory": "640Gi", "nvidia.com/gpu": "8"},
        "accelerators": 8,
        "shared_memory": "64Gi",
        "node_selector": {"pool": "a"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    }
    assert tasks["rollout"].resources["accelerator.resourceCount"] == "1"
    assert not tasks["rollout"].variables


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ("cluster.profile=one-node",),
            "nodes is 2, and cluster.profile is one-node: set cluster.profile to many",
        ),
        (
            ("cluster.profile=many-nodes", "training.launcher.processes=9"),
            "processes is 9, and a pod has 8 accelerators: lower it, or raise cluster.steps.training.accelerators",
        ),
    ],
)
def test_a_job_that_the_profile_has_no_room_for_is_refused(overrides: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=said):
        load_recipe("sandbox-egpo", [*BY_A_JOB, *overrides])
    load_recipe("sandbox-egpo", [*BY_A_JOB, "training.launcher.nodes=1", "cluster.profile=one-node"])


def test_environment_and_volumes_go_by_name_into_every_pod(tmp_path: Path) -> None:
    tasks = placed(
        tmp_path,
        "cluster.secrets=[{name: s3, keys: {key: AWS_ACCESS_KEY_ID}}]",
        "cluster.config_maps=[{name: env, keys: {tracking: MLFLOW_TRACKING_URI}}]",
        "cluster.image_pull_secrets=[registry]",
        "cluster.models={claim: models}",
    )
    for step, task in tasks.items():
        (secret,), (config,), (pull,) = (
            task.placed[kind] for kind in ("secretAsEnv", "configMapAsEnv", "imagePullSecret")
        )
        assert secret == {"secretName": "s3", "keyToEnv": [{"envVar": "AWS_ACCESS_KEY_ID", "secretKey": "key"}]}
        assert config["configMapName"] == "env"
        assert config["keyToEnv"] == [{"envVar": "MLFLOW_TRACKING_URI", "configMapKey": "tracking"}]
        assert pull == {"secretName": "registry"}
        if step in ("preparation", *MODEL_STEPS):
            assert task.placed["pvcMount"] == [{"constant": "models", "mountPath": "/models"}]
        else:
            assert "pvcMount" not in task.placed


ATTEMPTS = [(1, 60), (3, 3600), (7, 100), (30, 1), (100, 366 * 24 * 3600)]


@pytest.mark.parametrize(("retries", "timeout"), ATTEMPTS)
def test_argos_limit_of_all_attempts_together_leaves_time_for_each(retries: int, timeout: int, tmp_path: Path) -> None:
    """Argo adds them up, waits included; waits that double for days are cut short."""
    asked = f"{{training: {{retries: {retries}, timeout_seconds: {timeout}}}}}"
    policy = placed(tmp_path, f"cluster.steps={asked}")["training"].retries
    assert policy["maxRetryCount"] == retries
    first = int(policy["backoffDuration"].removesuffix("s"))
    waits = sum(first * int(policy["backoffFactor"]) ** attempt for attempt in range(min(retries, 20)))
    assert int(policy["backoffMaxDuration"].removesuffix("s")) >= (retries + 1) * timeout + waits


IMAGES = {
    # The image of every step that works on models: without accelerators by its engine, with them one that knows them.
    ("cpu", "transformers", "torch"): dict.fromkeys(MODEL_STEPS, "image"),
    ("cpu", "vllm", "deepspeed"): {
        **dict.fromkeys(("rollout", "evaluation"), "vllm_image"),
        **dict.fromkeys(("judging", "logprobs"), "image"),
        "training": "training_image",
    },
    ("one-node", "transformers", "torch"): ON_GPUS,
    ("one-node", "vllm", "deepspeed"): ON_GPUS,
    ("many-nodes", "vllm", "torch"): ON_GPUS,
}


@pytest.mark.parametrize("case", IMAGES, ids="-".join)
def test_images_are_parameters_one_for_each_runtime(tmp_path: Path, case: tuple[str, str, str]) -> None:
    profile, generation, training = case
    overrides = [f"cluster.profile={profile}", f"rollout.engine={generation}", f"training.engine={training}"]
    overrides += ["logprobs.dtype=bfloat16"] if training == "deepspeed" else []
    overrides += ["rollout.dtype=float32"] if generation == "vllm" else []
    tasks = placed(tmp_path, *overrides)
    expected = {**IMAGES[case], **dict.fromkeys(("preparation", "reporting", "closing"), "image")}
    assert {step: task.image for step, task in tasks.items()} == {
        step: f"<{image}>" for step, image in expected.items()
    }


def test_one_steps_accelerators_choose_its_image_alone(tmp_path: Path) -> None:
    tasks = placed(tmp_path, "cluster.steps={judging: {accelerators: 1, shared_memory: 1Gi}}")
    assert {step for step, task in tasks.items() if task.image == "<vllm_image>"} == {"judging"}


@pytest.mark.parametrize(("cores", "text"), [(0.001, "0.001"), (1, "1"), (9999.999, "9999.999"), (10_000, "10000")])
def test_cores_are_written_plainly(cores: float, text: str, tmp_path: Path) -> None:
    assert placed(tmp_path, f"cluster.steps.training.cpu={cores}")["training"].resources["resourceCpuLimit"] == text


def test_idle_cores_may_be_borrowed(tmp_path: Path) -> None:
    asked = [task.resources for task in placed(tmp_path, "cluster.profile=laptop").values()]
    assert {(each["resourceCpuRequest"], each["resourceCpuLimit"]) for each in asked} == {("0.25", "2")}
