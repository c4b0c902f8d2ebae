"""An API server of Kubeflow Pipelines on a loopback port: its real JSON over real HTTP, stateful, with faults to order.

Bodies are read and written by kfp_server_api's own models. What the server accepts, refuses and leaves out follows the
API server of KFP 2.17: unpopulated fields are absent, what has not happened has the time 1970, a run that was cancelled
ends as failed, names are compared without regard to case, filters are unescaped twice.
"""

import base64
import contextlib
import email
import json
import re
import socket
import ssl
import struct
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote_plus, urlsplit

import kfp_server_api as api
import yaml

NEVER = datetime(1970, 1, 1, tzinfo=UTC)
BEGINNING = datetime(2026, 8, 21, 3, 0, tzinfo=UTC)
_PROXY = "/api/v1/namespaces/kubeflow/services/ml-pipeline:http/proxy"
_CLIENT = api.ApiClient()
_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 409: 6, 500: 13, 503: 14}


class Refused(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, message: str, body: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = body or {"error": message, "code": _CODES.get(status, 2), "message": message, "details": []}


@dataclass
class Fault:
    """What shall go wrong with the next requests that match: before their effect, after it, or instead of it."""

    match: str
    """Pattern of method and path, such as POST .*/runs$."""
    kind: str
    """A status; reset; slow: no answer until the client has gone; page: a login page; empty: nothing is listed."""
    when: str = "before"
    """before: no effect; after: with its effect; later: it comes after the next request; last: with `catch_up`."""
    times: int = 1
    skip: int = 0
    """Matching requests that go well first."""


def node(
    name: str, state: str | None = "SUCCEEDED", start: float = 0, seconds: float | None = None, error: str = ""
) -> Any:
    """One node of a workflow, as a run's details have it; no `seconds`: it has not ended."""
    begun = BEGINNING + timedelta(seconds=start)
    return api.V2beta1PipelineTaskDetail(
        task_id=str(uuid.uuid4()),
        display_name=name,
        create_time=BEGINNING,
        start_time=begun,
        end_time=datetime(1, 1, 1, tzinfo=UTC) if seconds is None else begun + timedelta(seconds=seconds),
        state=state,
        error=api.GoogleRpcStatus(code=2, message=error) if error else None,
        child_tasks=[api.PipelineTaskDetailChildTask(pod_name="workflow-123")],
    )


@dataclass
class Snapshot:
    """A run at one poll: its state, and the nodes that its workflow has by then; no nodes: the server knows of none."""

    state: str | None
    nodes: list[Any] = field(default_factory=list)


class KfpServer:
    """The server. Everything that it knows survives `stop` and `start`."""

    def __init__(self) -> None:
        self.experiments: dict[str, Any] = {}
        self.pipelines: dict[str, Any] = {}
        self.versions: dict[str, Any] = {}
        self.runs: dict[str, Any] = {}
        self.recurring: dict[str, Any] = {}
        self.script: list[Snapshot] = [Snapshot("RUNNING"), Snapshot("SUCCEEDED")]
        self.faults: list[Fault] = []
        self.tokens: set[str] | None = None
        self.multi_user = False
        self.seen: list[str] = []
        self.on_request: Callable[[], object] = lambda: None
        self.on_poll: Callable[[int], None] = lambda polls: None
        self.late: dict[str, list[Callable[[], object]]] = {"later": [], "last": []}
        self._polls: dict[str, int] = {}
        self._lock = threading.RLock()
        self._clock = 0
        self._http: ThreadingHTTPServer | None = None
        self._restarting: threading.Thread | None = None
        self._closed = threading.Event()
        self._certificate: Path | None = None
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"{'https' if self._certificate else 'http'}://127.0.0.1:{self.port}"

    def secure(self, certificate: Path) -> None:
        """Speak TLS from now on, with this certificate and key."""
        self.stop()
        self._certificate = certificate
        self.start()

    def start(self) -> None:
        """Open the port, the same as before."""
        handler = type("Handler", (self.handler(),), {"kfp": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", self.port), handler)
        self.port = self._http.server_port
        if self._certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._certificate)
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def handler(self) -> type["Handler"]:
        """What takes its requests."""
        return Handler

    def stop(self) -> None:
        """Close the port."""
        if self._http:
            self._http.shutdown()
            self._http.server_close()
            self._http = None

    def away(self, seconds: float) -> None:
        """Go away now and come back by itself."""
        self.stop()
        self._restarting = threading.Thread(target=self._restart, args=(seconds,), daemon=True)
        self._restarting.start()

    def _restart(self, seconds: float) -> None:
        if not self._closed.wait(seconds):
            self.start()

    def close(self) -> None:
        """End everything."""
        self._closed.set()
        if self._restarting:
            self._restarting.join()
        self.stop()

    def fault_for(self, request: str) -> Fault | None:
        with self._lock:
            fault = self._matching(request)
            if fault and fault.skip:
                fault.skip -= 1
                return None
            if fault:
                fault.times -= 1
            return fault

    def will_be_slow(self, request: str) -> bool:
        """Whether such a request, if it came now, would get no answer."""
        with self._lock:
            fault = self._matching(request)
            return fault is not None and fault.kind == "slow" and not fault.skip

    def _matching(self, request: str) -> Fault | None:
        return next((fault for fault in self.faults if fault.times and re.fullmatch(fault.match, request)), None)

    def catch_up(self, when: str = "last") -> None:
        """Let the requests have their effects that have none yet."""
        with self._lock:
            effects, self.late[when] = self.late[when], []
        for effect in effects:
            effect()

    def fire(self, name: str) -> Any:
        """What the controller of scheduled workflows does when a recurring run's time has come."""
        (job,) = (job for job in self.recurring.values() if job.display_name == name)
        assert job.mode == "ENABLE", f"{name} is paused"
        run = api.V2beta1Run(
            display_name=f"{name}-{len(self.runs) + 1}",
            experiment_id=job.experiment_id,
            recurring_run_id=job.recurring_run_id,
            pipeline_version_reference=job.pipeline_version_reference,
            runtime_config=job.runtime_config,
        )
        return self._create_run(run)

    def now(self) -> datetime:
        self._clock += 1
        return BEGINNING + timedelta(seconds=self._clock)

    # --- answers -----------------------------------------------------------------------------------------------------

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes, kind: str) -> Any:
        """The body of the answer: a model, a dict, or text."""
        path = path.removeprefix(_PROXY)
        with self._lock:
            if "/pipelines/upload_version" in path:
                return self._upload(query, body, kind)
            for route, call in self._routes.items():
                if match := re.fullmatch(route, f"{method} {path.removeprefix('/apis/v2beta1')}"):
                    return call(self, *match.groups(), **({"query": query} if method == "GET" else {"body": body}))
        raise Refused(404, "Not Found")

    def _healthz(self, query: dict[str, str]) -> Any:
        return api.V2beta1GetHealthzResponse(multi_user=True) if self.multi_user else {}

    def _list_experiments(self, query: dict[str, str]) -> Any:
        return self._page("experiments", "V2beta1ListExperimentsResponse", self.experiments, query)

    def _create_experiment(self, body: bytes) -> Any:
        new = parsed(body, "V2beta1Experiment")
        self._check_unused(self.experiments, new.display_name, "experiment")
        new.experiment_id, new.created_at = str(uuid.uuid4()), self.now()
        self.experiments[new.experiment_id] = new
        return new

    def _list_pipelines(self, query: dict[str, str]) -> Any:
        return self._page("pipelines", "V2beta1ListPipelinesResponse", self.pipelines, query)

    def _create_pipeline(self, body: bytes) -> Any:
        new = parsed(body, "V2beta1Pipeline")
        self._check_unused(self.pipelines, new.display_name, "pipeline")
        new.pipeline_id, new.created_at = str(uuid.uuid4()), self.now()
        self.pipelines[new.pipeline_id] = new
        return new

    def _get_pipeline(self, key: str, query: dict[str, str]) -> Any:
        return _known(self.pipelines, key, "Pipeline")

    def _list_versions(self, pipeline: str, query: dict[str, str]) -> Any:
        mine = {key: version for key, version in self.versions.items() if version.pipeline_id == pipeline}
        return self._page("pipeline_versions", "V2beta1ListPipelineVersionsResponse", mine, query)

    def _get_version(self, pipeline: str, key: str, query: dict[str, str]) -> Any:
        return _known(self.versions, key, "PipelineVersion")

    def _upload(self, query: dict[str, str], body: bytes, kind: str) -> Any:
        message = email.message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
        (part,) = message.get_payload()  # type: ignore[misc]
        spec, *platform = yaml.load_all(part.get_payload(decode=True), yaml.CSafeLoader)  # type: ignore[union-attr]
        return self.add_version(query["pipelineid"], query["name"], spec, platform[0] if platform else None)

    def add_version(self, pipeline: str, name: str, spec: dict[str, Any], platform: dict[str, Any] | None) -> Any:
        """Put a version of a pipeline, unless there is one of this name."""
        if any(v.pipeline_id == pipeline and v.display_name == name for v in self.versions.values()):
            failed = "Failed to create a pipeline version"
            raise Refused(409, failed, {"error_message": failed, "error_details": failed})
        new = api.V2beta1PipelineVersion(
            pipeline_id=pipeline,
            pipeline_version_id=str(uuid.uuid4()),
            name=name,
            display_name=name,
            created_at=self.now(),
            pipeline_spec={"pipeline_spec": spec, "platform_spec": platform} if platform else spec,
        )
        self.versions[new.pipeline_version_id] = new
        return new

    def _list_runs(self, query: dict[str, str]) -> Any:
        return self._page("runs", "V2beta1ListRunsResponse", self.runs, query)

    def _post_run(self, body: bytes) -> Any:
        return self._create_run(parsed(body, "V2beta1Run"))

    def _create_run(self, new: Any) -> Any:
        self._check_parameters(new)
        new.run_id, new.state, new.created_at, new.finished_at = str(uuid.uuid4()), "PENDING", self.now(), NEVER
        new.state_history = [api.V2beta1RuntimeStatus(state="PENDING", update_time=new.created_at)]
        self.runs[new.run_id] = new
        return new

    def _get_run(self, key: str, query: dict[str, str]) -> Any:
        run = _known(self.runs, key, "Run")
        polls = self._polls.get(key, 0)
        self._polls[key] = polls + 1
        self.on_poll(polls)
        if run.state not in ("SUCCEEDED", "FAILED", "CANCELED") and self.script:
            self.advance(run, self.script[min(polls, len(self.script) - 1)])
        return run

    def advance(self, run: Any, to: Snapshot) -> None:
        """Take a run to a snapshot of its script; one that is being cancelled fails instead."""
        cancelled = any(entry.state == "CANCELING" for entry in run.state_history)
        run.state = "FAILED" if cancelled else to.state
        run.run_details = api.V2beta1RunDetails(task_details=to.nodes) if to.nodes else None
        if run.state in ("SUCCEEDED", "FAILED"):
            run.finished_at = run.created_at + timedelta(seconds=125)
        run.state_history = [*run.state_history, api.V2beta1RuntimeStatus(state=run.state)]

    def _terminate(self, key: str, body: bytes) -> Any:
        run = _known(self.runs, key, "Run")
        run.state = "CANCELING"
        run.state_history = [*run.state_history, api.V2beta1RuntimeStatus(state="CANCELING")]
        return {}

    def _list_recurring(self, query: dict[str, str]) -> Any:
        return self._page("recurring_runs", "V2beta1ListRecurringRunsResponse", self.recurring, query)

    def _create_recurring(self, body: bytes) -> Any:
        new = parsed(body, "V2beta1RecurringRun")
        self._check_parameters(new)
        if not 1 <= int(new.max_concurrency or 0) <= 10:
            raise Refused(400, "Max concurrency of a recurring run must be at least 1 and at most 10")
        if new.trigger.cron_schedule and len(new.trigger.cron_schedule.cron.split()) not in (5, 6):
            raise Refused(400, "Schedule cron is not a supported format")
        new.recurring_run_id, new.created_at = str(uuid.uuid4()), self.now()
        new.service_account = new.service_account or "pipeline-runner"
        new.no_catchup = new.no_catchup or None
        self.recurring[new.recurring_run_id] = new
        return new

    def _switch(self, key: str, mode: str, body: bytes) -> Any:
        _known(self.recurring, key, "recurring run").mode = mode.upper()
        return {}

    def _delete_recurring(self, key: str, body: bytes) -> Any:
        del self.recurring[_known(self.recurring, key, "recurring run").recurring_run_id]
        return {}

    _routes: ClassVar[dict[str, Callable[..., Any]]] = {
        "GET /healthz": _healthz,
        "GET /experiments": _list_experiments,
        "POST /experiments": _create_experiment,
        "GET /pipelines": _list_pipelines,
        "POST /pipelines": _create_pipeline,
        "GET /pipelines/([^/]+)": _get_pipeline,
        "GET /pipelines/([^/]+)/versions": _list_versions,
        "GET /pipelines/([^/]+)/versions/([^/]+)": _get_version,
        "GET /runs": _list_runs,
        "POST /runs": _post_run,
        "GET /runs/([^/:]+)": _get_run,
        "POST /runs/([^/:]+):terminate": _terminate,
        "GET /recurringruns": _list_recurring,
        "POST /recurringruns": _create_recurring,
        "POST /recurringruns/([^/:]+):(enable|disable)": _switch,
        "DELETE /recurringruns/([^/:]+)": _delete_recurring,
    }

    # --- what all answers need ---------------------------------------------------------------------------------------

    def _page(self, name: str, model: str, items: dict[str, Any], query: dict[str, str]) -> Any:
        """One page of a listing: filtered, sorted, cut."""
        if self.multi_user and name != "pipeline_versions" and not query.keys() & {"namespace", "experiment_id"}:
            raise Refused(400, "Invalid input error: In multi-user mode, listing needs a namespace")
        found = [item for item in items.values() if _passes(item, query)]
        column, _, order = query.get("sort_by", "").partition(" ")
        if column:
            found.sort(key=lambda item: getattr(item, column), reverse=order == "desc")
        start = int(base64.b64decode(query["page_token"])) if query.get("page_token") else 0
        size = int(query.get("page_size") or 20)
        assert size <= 200
        end = start + size
        token = base64.b64encode(str(end).encode()).decode() if end < len(found) else None
        return getattr(api, model)(
            **{name: found[start:end] or None}, total_size=len(found) or None, next_page_token=token
        )

    def _check_unused(self, items: dict[str, Any], name: str, what: str) -> None:
        if any(item.display_name == name for item in items.values()):
            raise Refused(409, f"Already exist error: The {what} {name} exists already")

    def _check_parameters(self, new: Any) -> None:
        """As the server's template: the version exists, and every parameter is declared by it."""
        reference = new.pipeline_version_reference
        version = _known(self.versions, reference.pipeline_version_id, "PipelineVersion")
        assert version.pipeline_id == reference.pipeline_id
        spec = version.pipeline_spec.get("pipeline_spec", version.pipeline_spec)
        declared = spec["root"]["inputDefinitions"]["parameters"]
        if unknown := sorted((new.runtime_config.parameters or {}).keys() - declared.keys()):
            raise Refused(400, f"Invalid input error: Unrecognized input parameters: {', '.join(unknown)}")
        _known(self.experiments, new.experiment_id, "Experiment")


def parsed(body: bytes, model: str) -> Any:
    """A request's body as the model that it is; a key that the model lacks is refused, as by the real gateway."""
    data = json.loads(body)
    if unknown := data.keys() - set(getattr(api, model).attribute_map.values()):
        raise Refused(400, f"unknown fields {unknown}")
    return _CLIENT.deserialize(SimpleNamespace(data=body), model)


def _known(items: dict[str, Any], key: str, what: str) -> Any:
    if key not in items:
        raise Refused(404, f"ResourceNotFoundError: {what} {key} not found")
    return items[key]


def _passes(item: Any, query: dict[str, str]) -> bool:
    """Whether an item is listed: the experiment, and every predicate of the filter."""
    if query.get("experiment_id") and item.experiment_id != query["experiment_id"]:
        return False
    text = unquote_plus(query.get("filter", ""))
    predicates = json.loads(text)["predicates"] if text else []
    for predicate in predicates:
        assert predicate["operation"] in ("EQUALS", 1)
        if getattr(item, predicate["key"]).casefold() != predicate["stringValue"].casefold():
            return False
    return True


class Handler(BaseHTTPRequestHandler):
    """Requests, with what shall go wrong with them."""

    kfp: KfpServer

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        request = f"{self.command} {url.path}"
        self.kfp.seen.append(request)
        self.kfp.on_request()
        fault = self.kfp.fault_for(request)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        kind = self.headers.get("Content-Type", "")

        def effect() -> Any:
            return self.kfp.answer(self.command, url.path, query, body, kind)

        try:
            if self.kfp.tokens is not None and self.headers.get("Authorization") not in {
                f"Bearer {token}" for token in self.kfp.tokens
            }:
                raise Refused(401, "Request header error: there is no user identity header.")
            if fault:
                self._spoil(fault, effect)
            else:
                self._send(200, effect())
                self.kfp.catch_up("later")
        except Refused as refused:
            self._send(refused.status, refused.body)

    do_POST = do_DELETE = do_GET

    def _spoil(self, fault: Fault, effect: Callable[[], Any]) -> None:
        if fault.when == "after":
            effect()
        elif fault.when != "before":
            self.kfp.late[fault.when].append(effect)
        if fault.kind == "reset":
            # Closed without an answer, and with no time to linger.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif fault.kind == "slow":
            self.rfile.read(1)
        elif fault.kind == "page":
            self._send(200, "<html>Log in</html>", "text/html")
        elif fault.kind == "empty":
            self._send(200, {})
        elif fault.kind == "302":
            self._send(302, "", "text/html")
        elif fault.kind in ("502", "504"):
            self._send(int(fault.kind), "<html>Bad Gateway</html>", "text/html")
        else:
            raise Refused(int(fault.kind), "try again later")

    def _send(self, status: int, answer: Any, kind: str = "") -> None:
        text = isinstance(answer, str)
        body = answer if text else json.dumps(_CLIENT.sanitize_for_serialization(answer))
        with contextlib.suppress(OSError):  # a client that has gone
            self.send_response(status)
            self.send_header("Content-Type", kind or ("text/plain" if text else "application/json"))
            if status == 302:
                self.send_header("Location", "/dex/auth")
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

    def log_message(self, format: str, *arguments: Any) -> None:
        pass
