"""What the doctor's tests look at, and how."""

from nashflow.components.core.version import VERSION
from nashflow.pipelines.doctor.case import Case
from nashflow.pipelines.doctor.examination import CHECKS, examine
from nashflow.pipelines.doctor.finding import Finding
from nashflow.pipelines.recipe import Recipe, load_recipe

RUNNER = "system:serviceaccount:team:nashflow-runner"
KEYS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
VARIABLES = dict.fromkeys(("MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"), "x")
IMAGES = tuple(
    f"cluster.images.{name}=registry.example.com/team/nashflow-{name}:{VERSION}"
    for name in ("steps", "vllm", "training")
)
"""Overrides that take the images from a registry."""
RETRY_POLICY = "spec:\n  templateDefaults:\n    retryStrategy:\n      limit: '2'\n      retryPolicy: {}\n"
IN_CLUSTER = (
    *("submitting", "service account", "retries", "secrets", "config maps", "images", "quotas", "nodes"),
    *("model cache", "Trainer"),
)


def paper(*overrides: str) -> Recipe:
    """The paper's recipe, which names something of everything."""
    return load_recipe("inpo-llama3-8b", overrides)


def look(case: Case, *names: str) -> list[Finding]:
    """What some checks find."""
    return list(examine(case, tuple(name for name in CHECKS if name not in names)))


def states(findings: list[Finding]) -> list[str]:
    return [finding.state for finding in findings]


def the_failure(case: Case, name: str) -> Finding:
    """The one failure that a check finds."""
    (failure,) = (found for found in look(case, name) if found.state == "failed")
    assert failure.advice
    return failure
