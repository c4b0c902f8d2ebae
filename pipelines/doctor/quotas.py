"""The quotas of the namespace: do they leave what each step asks for, and admit what Argo adds to its pods?"""

from collections.abc import Iterator, Mapping
from typing import Any

from ..recipe import Recipe
from ..steps import STEPS, steps_in
from .amounts import Amounts, amounts, amounts_of_step, shown
from .case import Case
from .cluster import NotTried
from .controller import CONFIG_MAP, executor_resources
from .finding import Finding

_COMPUTE = ("cpu", "memory")
_OTHERS = {"BestEffort", "NotTerminating"}


def quotas(case: Case) -> Iterator[Finding]:
    """The resource quotas of the namespace, and what they leave."""
    cluster = case.home
    listed = cluster.read("resource quotas", cluster.core.list_namespaced_resource_quota, cluster.namespace)
    ours = [quota for quota in (listed.items if listed else ()) if _holds(quota)]
    if not ours:
        yield Finding("quotas", "not needed", f"resource quotas of {cluster.namespace}", "there are none")
    asked = {step: _counted(case.needs, step) for step in steps_in(case.needs)}
    for quota in ours:
        tried = f"resource quota {quota.metadata.name} in {cluster.namespace}"
        yield _left(tried, quota, asked)
        yield from _admitted(case, tried, quota)


def _holds(quota: Any) -> bool:
    """Whether a quota counts the pods of steps, which have a deadline and ask for something."""
    return not (quota.spec.scope_selector or _OTHERS & set(quota.spec.scopes or ()))


def _counted(recipe: Recipe, step: str) -> Amounts:
    """The pods of a step's task as quotas count them."""
    resources, pods = recipe.cluster.resources(step), STEPS[step].together(recipe)
    asked = amounts_of_step(resources)
    limits = amounts_of_step(resources.model_copy(update={"cpu": resources.cpu_limit or resources.cpu}))
    both = {f"requests.{name}": amount for name, amount in asked.items()}
    both |= {f"limits.{name}": limits[name] for name in _COMPUTE} | {name: asked[name] for name in _COMPUTE}
    one = both | amounts({"pods": "1", "count/pods": "1"})
    return Amounts({name: pods * amount for name, amount in one.items()})


def _left(tried: str, quota: Any, asked: Mapping[str, Amounts]) -> Finding:
    """Whether a quota leaves enough for one task of each step."""
    used, short = amounts(quota.status.used), []
    for name, hard in amounts(quota.spec.hard).items():
        step = max(asked, key=lambda step: asked[step][name])
        if asked[step][name] > hard - used[name]:
            left = f"{shown(name, max(0, hard - used[name]))} of {shown(name, hard)} {name}"
            short.append(f"{left}, and {step} asks for {shown(name, asked[step][name])}")
    if not short:
        return Finding("quotas", "ok", tried, "leaves enough for each step")
    advice = "raise it (an administrator), let other pods end, or lower the requests in cluster.steps"
    return Finding("quotas", "failed", tried, f"leaves {'; '.join(short)}", advice)


def _admitted(case: Case, tried: str, quota: Any) -> Iterator[Finding]:
    """A quota of CPU or memory refuses every pod with a container that does not say how much of it it takes."""
    given = _defaults(case)
    missing = [name for name in sorted(quota.spec.hard) if name.rpartition(".")[2] in _COMPUTE and name not in given]
    if not missing:
        return
    try:
        given |= _given(executor_resources(case))
    except NotTried as reason:
        found = f"it counts {', '.join(missing)}, which the containers that Argo adds to each pod may not set: {reason}"
        yield Finding("quotas", "not known", tried, found, reason.advice)
        return
    if missing := [name for name in missing if name not in given]:
        found = f"it counts {', '.join(missing)}, which the containers that Argo adds do not set: no pod would start"
        advice = (
            f"make a LimitRange in {case.namespace} with default and defaultRequest of {' and '.join(_COMPUTE)}, type "
            f"Container, or let an administrator set executor.resources in {CONFIG_MAP}"
        )
        yield Finding("quotas", "failed", tried, found, advice)


def _defaults(case: Case) -> set[str]:
    """Default resources from the namespace's LimitRanges, under the names that quotas use."""
    cluster = case.home
    listed = cluster.read("limit ranges", cluster.core.list_namespaced_limit_range, cluster.namespace)
    found: set[str] = set()
    for limit_range in listed.items if listed else ():
        for item in limit_range.spec.limits:
            if item.type == "Container":
                found |= _given({"requests": item.default_request, "limits": item.default})
    return found


def _given(resources: Mapping[str, Any]) -> set[str]:
    """The resources that a container sets, under the names that quotas use; a limit also sets the request."""
    limits = set(resources.get("limits") or ())
    requests = limits | set(resources.get("requests") or ())
    return requests | {f"requests.{name}" for name in requests} | {f"limits.{name}" for name in limits}
