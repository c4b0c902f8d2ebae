"""Kubeflow Pipelines: does its API answer, may who asks list what there is, and do pods run in the namespace?"""

from collections.abc import Iterator

from .case import Case
from .finding import Finding


def kubeflow(case: Case) -> Iterator[Finding]:
    """Its health, a list of experiments, and the namespace of the pods."""
    opened = case.opened_kubeflow
    if isinstance(opened, Exception):
        raise opened
    connection = opened.connection
    mode = "several users" if opened.several_users else "one user"
    yield Finding("Kubeflow", "ok", f"health of {connection.access}", f"answers; installed for {mode}")
    tried = "a list of experiments" + (f" in {connection.namespace}" if connection.namespace else "")
    if opened.several_users and not connection.namespace:
        advice = "give --namespace, the namespace of your Kubeflow profile"
        yield Finding("Kubeflow", "failed", tried, "Kubeflow has several users, and no namespace is given", advice)
        return
    options = {"namespace": connection.namespace} if connection.namespace else {}
    connection.call(connection.client.experiments.experiment_service_list_experiments, page_size=1, **options)
    yield Finding("Kubeflow", "ok", tried, "allowed")
    if case.namespace_mismatch:
        where = f"--namespace {opened.namespace}" if opened.namespace else "its own with --namespace"
        advice = (
            f"give {where} and install the chart there, for Kubeflow, installed for one user, has no other "
            "namespace; or use one for several users, with a profile for each namespace"
        )
        yield Finding("Kubeflow", "failed", f"the namespace {case.namespace}", case.namespace_mismatch, advice)
