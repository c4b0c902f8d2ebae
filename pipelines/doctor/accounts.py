"""The service account of the steps, and the rights that a run takes: of who submits it, and of its pods."""

from collections.abc import Iterator, Sequence

from .case import Case
from .cluster import NotTried, Right
from .finding import Finding
from .launcher import CONFIG_MAP, launcher_rights
from .trainer import needs_trainer

_KFP = "pipelines.kubeflow.org"
_RUNNER = "service account"
SUBMITTING = (
    *(Right(_KFP, kind, verb) for kind in ("pipelines", "experiments") for verb in ("create", "get", "list")),
    *(Right(_KFP, "runs", verb) for verb in ("create", "get", "list", "terminate")),
    *(Right(_KFP, "jobs", verb) for verb in ("create", "get", "list", "enable", "disable", "delete")),
)
"""Rights that `submit`, `runs`, `cancel` and `schedule` need, as Kubeflow with several users checks them."""
RUNNING = (
    Right("argoproj.io", "workflowtaskresults", "create"),
    Right("argoproj.io", "workflowtaskresults", "patch"),
    Right("", "pods", "get"),
    Right("", "configmaps", "get", CONFIG_MAP),
)
"""Rights that KFP's driver and launcher and Argo's executor need in the pods of a run."""
TRAINING = (
    *(Right("trainer.kubeflow.org", "trainjobs", verb) for verb in ("create", "get", "delete")),
    Right("trainer.kubeflow.org", "trainingruntimes", "list"),
    Right("", "pods", "list"),
    Right("", "pods", "get", subresource="log"),
    Right("", "events", "list"),
)
"""Further rights that training by a TrainJob needs."""


def submitter(case: Case) -> Iterator[Finding]:
    """Rights to submit and schedule runs."""
    if not case.kubeflow.several_users:
        yield Finding("submitting", "not needed", "rights to submit", "Kubeflow is installed for one user")
        return
    missing = [right for right in SUBMITTING if not case.cluster.may(right)]
    advice = f"bind the role kubeflow-edit, or the chart's client role, to who asks in {case.cluster.namespace}"
    yield _rights("submitting", f"own rights in {case.cluster.namespace} on {_KFP}", missing, advice)


def runner(case: Case) -> Iterator[Finding]:
    """The steps' service account and its rights."""
    cluster, name = case.home, account_of(case)
    tried, user = f"service account {name} in {cluster.namespace}", f"system:serviceaccount:{cluster.namespace}:{name}"
    read = cluster.core.read_namespaced_service_account
    if cluster.read(tried, read, name, cluster.namespace) is None:
        advice = f"install the chart helm/nashflow in {cluster.namespace}, or set cluster.service_account"
        yield Finding(_RUNNER, "failed", tried, "there is no such account, so no pod would start", advice)
        return
    yield Finding(_RUNNER, "ok", tried, "is there")
    wanted = RUNNING + (TRAINING if case.recipe and needs_trainer(case.recipe) else ())
    try:
        wanted += launcher_rights(case)
    except NotTried as reason:
        yield Finding(_RUNNER, "not tried", "the Secret of KFP's launcher", str(reason), reason.advice)
    except ValueError as error:
        advice = "correct it, by the chart's values or by the manual of Kubeflow Pipelines"
        yield Finding(_RUNNER, "failed", "the Secret of KFP's launcher", str(error), advice)
    try:
        missing = [right for right in wanted if not cluster.may(right, user)]
    except NotTried as reason:
        command = f"kubectl auth can-i --list -n {cluster.namespace} --as {user}"
        yield Finding(_RUNNER, "not tried", f"rights of {user}", str(reason), f"an administrator: {command}")
        return
    advice = f"bind the chart's runner role to {name}, or the role of Kubeflow's own pipeline-runner"
    if set(missing) & set(TRAINING):
        advice += "; for TrainJobs install the chart with trainer.enabled=true"
    yield _rights(_RUNNER, f"rights of {user}", missing, advice)


def account_of(case: Case) -> str:
    """The pods' service account: the recipe's, else Kubeflow's default for its kind of installation.

    Raises:
        NotTried: the recipe names none, and Kubeflow cannot be asked.
    """
    if case.recipe and case.recipe.cluster.service_account:
        return case.recipe.cluster.service_account
    try:
        several = case.kubeflow.several_users
    except NotTried as reason:
        why = "the recipe names none, and Kubeflow, which has a default, cannot be asked"
        raise NotTried(why, f"set cluster.service_account, or {reason.advice}") from None
    return "default-editor" if several else "pipeline-runner"


def _rights(check: str, tried: str, missing: Sequence[Right], advice: str) -> Finding:
    if missing:
        return Finding(check, "failed", tried, f"may not {', '.join(map(str, missing))}", advice)
    return Finding(check, "ok", tried, "all there")
