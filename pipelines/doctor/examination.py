"""`nashflow doctor`: runs all checks in order, even if some fail."""

from collections.abc import Iterator, Mapping

from nashflow.components.core.errors import UserError, one_line
from nashflow.components.core.redaction import redact
from nashflow.components.core.settings import nearest

from .accounts import runner, submitter
from .case import Case
from .cluster import NotTried
from .controller import retries
from .engines import engines
from .environment import config_maps, secrets
from .finding import Check, Finding
from .images import images
from .judge import judge
from .kubeflow import kubeflow
from .kubernetes_api import kubernetes_api
from .mlflow_server import mlflow_server
from .nodes import nodes
from .object_store import object_store
from .quotas import quotas
from .trainer import trainer
from .volume import model_cache
from .webhooks import webhooks

_MEND = "fix what the line names, and run the check again"
_OURS = "this check has a mistake: report it with this line"

CHECKS: Mapping[str, Check] = {
    "engines": engines,
    "Kubeflow": kubeflow,
    "Kubernetes": kubernetes_api,
    "submitting": submitter,
    "service account": runner,
    "retries": retries,
    "secrets": secrets,
    "config maps": config_maps,
    "webhooks": webhooks,
    "object store": object_store,
    "MLflow": mlflow_server,
    "images": images,
    "quotas": quotas,
    "nodes": nodes,
    "model cache": model_cache,
    "Trainer": trainer,
    "judge": judge,
}


def examine(case: Case, skipped: tuple[str, ...] = ()) -> Iterator[Finding]:
    """Run the checks, all but the skipped ones.

    Raises:
        UserError: there is no such check to skip.
    """
    for name in skipped:
        if name not in CHECKS:
            raise UserError(f"--skip {name}: no such check{nearest(name, CHECKS)}")
    return (found for name, check in CHECKS.items() if name not in skipped for found in _whole(name, check, case))


def _whole(name: str, check: Check, case: Case) -> Iterator[Finding]:
    """The findings of a check, and how it ended."""
    tried = (check.__doc__ or name).splitlines()[0].rstrip(".")
    try:
        yield from check(case)
    except NotTried as reason:
        yield Finding(name, "not tried", tried, str(reason), reason.advice)
    except Exception as error:  # a check may fail in any way; the others go on
        said = redact(one_line(error)) or type(error).__name__
        expected = isinstance(error, UserError | OSError)
        advice = _MEND if expected else _OURS
        found = said if expected else f"{type(error).__name__}: {said}"
        yield Finding(name, "failed", tried, found, f"{advice}; to leave the check out: --skip '{name}'")
