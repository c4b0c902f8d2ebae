"""Where the API server of Kubeflow Pipelines is, and who asks: options that many commands have."""

import functools
import inspect
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from nashflow.components.core.redaction import redact


@dataclass(frozen=True)
class Access:
    """Where the API server is, and who asks; as text, without secrets."""

    host: Annotated[
        str,
        typer.Option(
            metavar="URL",
            envvar="KF_PIPELINES_ENDPOINT",
            help="The API server, such as https://kubeflow.example.com/pipeline. Default in a pod: the cluster's own.",
        ),
    ] = ""
    namespace: Annotated[
        str, typer.Option(envvar="KFP_NAMESPACE", help="Namespace of the runs, where Kubeflow has several users.")
    ] = ""
    token: Annotated[str, typer.Option(envvar="KFP_EXISTING_TOKEN", help="Bearer token.", show_envvar=True)] = ""
    token_file: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            envvar="KF_PIPELINES_SA_TOKEN_PATH",
            help="A projected service account token, read again at every call. Default: where Kubeflow projects it.",
        ),
    ] = ""
    kube_context: Annotated[
        str,
        typer.Option(
            help="Reach Kubernetes with this context of the kubeconfig; and through it the API server, "
            "unless --host is given, too."
        ),
    ] = ""
    ca_cert: Annotated[
        str, typer.Option(metavar="FILE", help="Certificates of the authority that the server's is from.")
    ] = ""

    def __str__(self) -> str:
        return f"kube context {self.kube_context}" if self.through_kubernetes else redact(self.host)

    @property
    def through_kubernetes(self) -> bool:
        """Whether the way to the API server is through Kubernetes, which then is the one that asks who it is."""
        return bool(self.kube_context and not self.host)

    @property
    def flags(self) -> str:
        """The options that lead to the same server, for a command line to be shown; never the token."""
        options = {
            "--kube-context": self.kube_context,
            "--host": redact(self.host),
            "--namespace": self.namespace,
            "--token-file": self.token_file,
            "--ca-cert": self.ca_cert,
        }
        return shlex.join(part for option, value in options.items() if value for part in (option, value))


_OVERRULED = {"host": "kube_context", "token": "token_file"}
"""Options that count from the environment only if the other one is not on the command line."""


def on_command_line(context: typer.Context, name: str) -> bool:
    """Whether the parameter `name` of a command was given on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def with_access(command: Callable[..., None]) -> Callable[..., None]:
    """A command with the options above after its own, in the place of its parameter `access`.

    It may also have a parameter `context`, which is typer's.
    """
    options = inspect.signature(Access).parameters
    own = dict(inspect.signature(command).parameters)
    context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)

    @functools.wraps(command)
    def wrapped(context: typer.Context, **given: Any) -> None:
        values = {name: given.pop(name) for name in options}
        for name, rival in _OVERRULED.items():
            if on_command_line(context, rival) and not on_command_line(context, name):
                values[name] = ""
        if "context" in own:
            given["context"] = context
        command(access=Access(**values), **given)

    others = [parameter for name, parameter in own.items() if name not in ("access", "context")]
    shown = [context, *others, *options.values()]
    wrapped.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
    return wrapped
