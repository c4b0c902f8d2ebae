"""The API server of Kubeflow Pipelines over a cluster that runs what is submitted."""

import json
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, ClassVar

import kfp_server_api as api

from ...pipelines.cluster.server import NEVER, Handler, KfpServer, Refused, parsed
from ..argo.packing import LIMIT
from ..compiler.workflow import Job, compiled
from ..pods.kubelet import Kubelet
from ..trainer.api import TrainerApi
from ..trainer.jobs import Trainer
from .details import STATES, Details
from .handler import StreamingHandler, asking
from .kubernetes import Kubernetes
from .users import Users
from .workflows import Workflow, WorkflowRefused

PIPELINE_ROOT = "minio://mlpipeline/v2/artifacts"
_FINAL = ("SUCCEEDED", "FAILED")


class KubeflowServer(KfpServer):
    """The server; `users` where there are several."""

    def __init__(self, kubelet: Kubelet, namespace: str, users: Users | None = None) -> None:
        self.kubelet, self.namespace, self.users = kubelet, namespace, users
        self.workflows: dict[str, Workflow] = {}
        self.workflow_limit = LIMIT
        """Bytes from which on Argo compresses a workflow, and cannot store it."""
        self._details: dict[str, Details] = {}
        self._namespaces: dict[str, str] = {}
        self._kubernetes_api = Kubernetes(kubelet, self._stored)
        self.trainer = Trainer(kubelet.runtime.cluster, namespace)
        self._trainer_api = TrainerApi(self.trainer)
        super().__init__()
        self.multi_user = users is not None

    def handler(self) -> type[Handler]:
        return StreamingHandler

    def now(self) -> datetime:
        return datetime.now(UTC).replace(microsecond=0)

    def close(self) -> None:
        super().close()
        self.trainer.close()
        for workflow in list(self.workflows.values()):
            workflow.close()

    def expire(self) -> None:
        """An hour later: workflows that have ended are gone, and their pods."""
        for run_id, workflow in list(self.workflows.items()):
            if self.runs[run_id].state in _FINAL:
                del self.workflows[run_id]
                with self.kubelet.runtime.changed:
                    mine = [name for name in self.kubelet.runtime.pods if name.startswith(f"{workflow.name}-")]
                for name in mine:
                    self.kubelet.delete(name)

    def fire(self, name: str) -> Any:
        (job,) = (job for job in self.recurring.values() if job.display_name == name)
        assert job.mode == "ENABLE", f"{name} is paused"
        number = sum(run.recurring_run_id == job.recurring_run_id for run in self.runs.values()) + 1
        swf = re.sub("[^a-z0-9]", "", name.lower()) + uuid.uuid5(uuid.NAMESPACE_URL, job.recurring_run_id).hex[:5]
        run = api.V2beta1Run(
            display_name=f"{swf}-{number}-{uuid.uuid4().int % 2**32}",
            experiment_id=job.experiment_id,
            recurring_run_id=job.recurring_run_id,
            pipeline_version_reference=job.pipeline_version_reference,
            runtime_config=job.runtime_config,
            service_account=job.service_account,
        )
        return self._create_run(run, self._namespaces.get(job.recurring_run_id, self.namespace))

    def post(self, what: str, body: dict[str, Any]) -> Any:
        """What the server answers to a POST."""
        return self.answer("POST", f"/apis/v2beta1/{what}", {}, json.dumps(body).encode(), "application/json")

    # --- answers -----------------------------------------------------------------------------------------------------

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes, kind: str) -> Any:
        if "/services/ml-pipeline" not in path and path.startswith(("/api/", "/apis/argoproj.io/", "/apis/trainer")):
            if (answer := self._trainer_api.answer(method, path, query, body)) is not None:
                return answer
            if (answer := self._kubernetes_api.answer(method, path, query)) is not None:
                return answer
            raise Refused(404, "the server could not find the requested resource")
        return super().answer(method, path, query, body, kind)

    def _post_run(self, body: bytes) -> Any:
        return self._create_run(parsed(body, "V2beta1Run"))

    def _create_run(self, new: Any, namespace: str = "") -> Any:
        self._check_parameters(new)
        namespace = namespace or self._namespaces.get(new.experiment_id, self.namespace)
        self._allow("create runs", namespace)
        new.run_id, new.created_at = str(uuid.uuid4()), self.now()
        new.storage_state, new.finished_at, new.scheduled_at = "AVAILABLE", NEVER, new.created_at
        new.service_account = new.service_account or ("default-editor" if self.users else "pipeline-runner")
        version = self.versions[new.pipeline_version_reference.pipeline_version_id].pipeline_spec
        spec, platform = version.get("pipeline_spec", version), version.get("platform_spec")
        root = f"{new.runtime_config.pipeline_root or PIPELINE_ROOT}/{spec['pipelineInfo']['name']}/{new.run_id}"
        parameters = new.runtime_config.parameters or {}
        job = Job(new.run_id, new.display_name, parameters, new.service_account)
        try:
            workflow = Workflow(compiled(spec, platform, job), self.kubelet, root, namespace, self._report)
        except WorkflowRefused as error:
            raise Refused(
                500, f"Failed to create a run: InternalServerError: Failed to create a workflow: {error}"
            ) from error
        workflow.limit = self.workflow_limit
        new.state = "PENDING"
        new.state_history = [api.V2beta1RuntimeStatus(state="PENDING", update_time=new.created_at)]
        self.runs[new.run_id], self.workflows[new.run_id] = new, workflow
        self._namespaces[new.run_id] = namespace
        self._details[new.run_id] = Details(new.run_id, new.created_at)
        workflow.thread.start()
        return new

    def _report(self, workflow: Workflow) -> None:
        """What KFP's persistence agent does; nodes that are compressed it cannot read."""
        run_id = workflow.manifest["metadata"]["labels"]["pipeline/runid"]
        with self.kubelet.runtime.changed:
            state = "CANCELING" if workflow.terminating else STATES[workflow.phase]
            nodes = {} if workflow.compressed else workflow.manifest["status"]["nodes"]
            tasks = self._details[run_id].report(nodes)
        run = self.runs[run_id]
        run.run_details = api.V2beta1RunDetails(task_details=tasks) if tasks else None
        self._turn(run, state)

    def _turn(self, run: Any, state: str) -> None:
        if run.state == state or (run.state == "CANCELING" and state not in _FINAL):
            return
        moment = self.now()
        entry = api.V2beta1RuntimeStatus(state=state, update_time=moment)
        run.state_history = [*run.state_history, entry]
        if state in _FINAL:
            run.finished_at = moment
        run.state = state

    def _get_run(self, key: str, query: dict[str, str]) -> Any:
        run = self._known_run(key, "get")
        self.on_poll(0)
        return run

    def _terminate(self, key: str, body: bytes) -> Any:
        run = self._known_run(key, "terminate")
        if run.state in _FINAL:
            raise Refused(400, f"Failed to terminate run {key}: row not found with a state that can be terminated")
        self._turn(run, "CANCELING")
        self.workflows[key].terminate()
        return {}

    def _retry(self, key: str, body: bytes) -> Any:
        run = self._known_run(key, "retry")
        workflow = self.workflows.get(key)
        if workflow is None or run.state != "FAILED":
            raise Refused(400, "workflow cannot be retried: Workflow must be Failed/Error to retry")
        run.finished_at = NEVER
        self._turn(run, "RUNNING")
        workflow.retry()
        return {}

    def _delete_run(self, key: str, body: bytes) -> Any:
        run = self._known_run(key, "delete")
        if workflow := self.workflows.pop(key, None):
            workflow.close()
        del self.runs[run.run_id]
        return {}

    def _create_experiment(self, body: bytes) -> Any:
        new = super()._create_experiment(body)
        self._place(new, new.experiment_id, "create experiments")
        new.storage_state = "AVAILABLE"
        return new

    def _create_pipeline(self, body: bytes) -> Any:
        new = super()._create_pipeline(body)
        self._place(new, new.pipeline_id, "create pipelines")
        return new

    def _create_recurring(self, body: bytes) -> Any:
        new = super()._create_recurring(body)
        if self.users and new.service_account == "pipeline-runner":
            new.service_account = "default-editor"
        self._namespaces[new.recurring_run_id] = self._namespaces.get(new.experiment_id, self.namespace)
        self._allow("create jobs", self._namespaces[new.recurring_run_id])
        new.status = f"{new.mode}D"
        return new

    def _page(self, name: str, model: str, items: dict[str, Any], query: dict[str, str]) -> Any:
        answer = super()._page(name, model, items, query)
        if self.users and name != "pipeline_versions":
            named = query.get("namespace") or self._namespaces.get(query.get("experiment_id", ""))
            self._allow(f"list {name}", named)
            mine = {key: item for key, item in items.items() if self._namespaces.get(key, named) == named}
            answer = super()._page(name, model, mine, query)
        return answer

    # --- what all answers need ---------------------------------------------------------------------------------------

    def _known_run(self, key: str, verb: str) -> Any:
        if key not in self.runs:
            raise Refused(404, f"ResourceNotFoundError: Run {key} not found")
        self._allow(f"{verb} runs", self._namespaces[key])
        return self.runs[key]

    def _place(self, new: Any, key: str, what: str) -> None:
        """Put what is new into the namespace that it names."""
        namespace = getattr(new, "namespace", None) or (None if self.users else self.namespace)
        self._allow(what, namespace)
        self._namespaces[key] = namespace or self.namespace
        new.namespace = self._namespaces[key]

    def _allow(self, what: str, namespace: str | None) -> None:
        """Hold what is asked against the user's rights; what the cluster does itself has none to ask for."""
        if self.users and asking():
            self.users.check(asking(), namespace, what)

    def _stored(self) -> list[dict[str, Any]]:
        with self.kubelet.runtime.changed:
            return [workflow.stored() for workflow in list(self.workflows.values())]

    _routes: ClassVar[dict[str, Callable[..., Any]]] = {
        **KfpServer._routes,
        "POST /experiments": _create_experiment,
        "POST /pipelines": _create_pipeline,
        "POST /runs": _post_run,
        "GET /runs/([^/:]+)": _get_run,
        "POST /runs/([^/:]+):terminate": _terminate,
        "POST /runs/([^/:]+):retry": _retry,
        "DELETE /runs/([^/:]+)": _delete_run,
        "POST /recurringruns": _create_recurring,
    }
