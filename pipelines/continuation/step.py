"""Submit the next run of a chain, from inside the cluster: the last task of every run of it but the last."""

import os

from nashflow.components.shared.protocol import Call, Result

from ..client.access import Access
from ..client.chain import submit_next
from ..client.connection import connect
from ..recipe import Recipe as Step

FLAGS = ("job-id",)
"""`--job-id`: KFP's, which is the id of the run that this task is of."""


def run(call: Call[Step]) -> Result:
    """Submit the run of `--iteration` and those after it, under the same run root; a repeated call submits nothing.

    The API server is the cluster's own, unless KF_PIPELINES_ENDPOINT names one; the token is the projected one that
    Kubeflow's PodDefault `access-ml-pipeline` mounts, where the server wants any.

    Raises:
        UserError: the server refuses it. ConnectionError: it stays away.
    """
    connection = connect(Access(os.environ.get("KF_PIPELINES_ENDPOINT", "")))
    made = submit_next(connection, call.settings, call.iteration, call.flags["job-id"], call.store.uri)
    print(f"{made.display_name}: {connection.link(made.run_id)}", flush=True)
    return Result(figures={"first_iteration": call.iteration})
