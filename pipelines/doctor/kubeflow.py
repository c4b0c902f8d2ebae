"""Kubeflow Pipelines: does its API answer, and may who asks list what is in the namespace?"""

import os
from collections.abc import Iterator

from .case import Case
from .cluster import NotTried
from .finding import Finding


def kubeflow(case: Case) -> Iterator[Finding]:
    """Ask for its health, then for one experiment."""
    if not (case.access.host or case.access.kube_context or "KUBERNETES_SERVICE_HOST" in os.environ):
        advice = "give --host, set KF_PIPELINES_ENDPOINT, or name a --kube-context"
        raise NotTried("it is not said where Kubeflow Pipelines is", advice)
    connection = case.kubeflow
    health = connection.call(connection.client._healthz_api.healthz_service_get_healthz)
    mode = "several users" if health.multi_user else "one user"
    yield Finding("Kubeflow", "ok", f"health of {connection.access}", f"answers; installed for {mode}")
    tried = "a list of experiments" + (f" in {connection.namespace}" if connection.namespace else "")
    if health.multi_user and not connection.namespace:
        advice = "give --namespace, that of your Kubeflow profile"
        yield Finding("Kubeflow", "failed", tried, "Kubeflow has several users, and no namespace is given", advice)
        return
    options = {"namespace": connection.namespace} if connection.namespace else {}
    connection.call(connection.client.experiments.experiment_service_list_experiments, page_size=1, **options)
    yield Finding("Kubeflow", "ok", tried, "allowed")
