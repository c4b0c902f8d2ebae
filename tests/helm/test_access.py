"""Who may do what: each identity has what it needs and nothing else."""

from typing import Any

import pytest

from tests.helm.rendering import Object, Values, of_kind, only, releases, render

Right = tuple[str, str, str, str]
"""API group, resource, name ("*": any), verb."""
ANY = "*"
KFP = "pipelines.kubeflow.org"
TRAINER = "trainer.kubeflow.org"
READ = ("get", "list", "watch")


def rights(role: Object) -> set[Right]:
    """What a role allows, one by one."""
    return {
        (group, resource, name, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [ANY])
        for verb in rule["verbs"]
    }


def rights_of(objects: list[Object], account: str) -> dict[str, set[Right]]:
    """What a service account may do in its namespace, and in the cluster, through the bindings that there are."""
    found: dict[str, set[Right]] = {"Role": set(), "ClusterRole": set()}
    for binding in of_kind(objects, "RoleBinding") + of_kind(objects, "ClusterRoleBinding"):
        if {"kind": "ServiceAccount", "name": account, "namespace": "team"} in binding["subjects"]:
            kind = binding["roleRef"]["kind"]
            assert binding["kind"] == f"{kind}Binding"
            (role,) = [o for o in of_kind(objects, kind) if o["metadata"]["name"] == binding["roleRef"]["name"]]
            found[kind] |= rights(role)
    return found


def all_of(group: str, resource: str, *verbs: str, names: tuple[str, ...] = (ANY,)) -> set[Right]:
    return {(group, resource, name, verb) for verb in verbs for name in names}


RUNNER = (
    all_of("argoproj.io", "workflowtaskresults", "create", "patch")
    | all_of("", "pods", "get")
    | all_of("", "configmaps", "get", names=("kfp-launcher",))
    | all_of("", "secrets", "get", names=("nashflow-s3", "mlpipeline-minio-artifact"))
)
TRAIN = (
    all_of(TRAINER, "trainjobs", "create", "delete", "get")
    | all_of(TRAINER, "trainingruntimes", "list")
    | all_of("", "pods", "list")
    | all_of("", "pods/log", "get")
    | all_of("", "events", "list")
)
SUBMIT = set().union(*(all_of(KFP, kind, "create", "get", "list") for kind in ("pipelines", "experiments", "runs")))
"""Pipelines are their versions too: KFP 2.17 asks Kubernetes about no resource of that name."""
CLIENT = (
    SUBMIT
    | all_of(KFP, "runs", "readArtifact", "retry", "terminate")
    | all_of(KFP, "jobs", "create", "delete", "disable", "enable", "get", "list")
    | all_of("", "pods", *READ)
    | all_of("", "pods/log", *READ)
    | all_of("", "events", *READ)
    | all_of("argoproj.io", "workflows", "list")
    | all_of("", "configmaps", "get", names=("nashflow-env", "kfp-launcher", "workflow-controller-configmap"))
    | all_of("", "resourcequotas", "list")
    | all_of("", "limitranges", "list")
    | all_of("authorization.k8s.io", "localsubjectaccessreviews", "create")
    | all_of("", "serviceaccounts", "get", names=("nashflow-client", "nashflow-runner"))
    | all_of("", "persistentvolumeclaims", "get", names=("nashflow-models",))
)


def test_steps_may_report_and_read_what_kfp_needs() -> None:
    assert rights_of(render(), "nashflow-runner") == {"Role": RUNNER, "ClusterRole": set()}


def test_steps_may_run_trainjobs_where_that_is_asked_for() -> None:
    objects, runtimes = render({"trainer": {"enabled": True}}), all_of(TRAINER, "clustertrainingruntimes", "list")
    assert rights_of(objects, "nashflow-runner") == {"Role": RUNNER | TRAIN, "ClusterRole": runtimes}
    tidies = all_of(TRAINER, "trainjobs", "delete", "list") | all_of(TRAINER, "trainingruntimes", "list")
    own = all_of("", "secrets", "get", names=("nashflow-s3",))
    assert rights_of(objects, "nashflow-client") == {"Role": CLIENT | own | tidies, "ClusterRole": runtimes}


def test_the_client_may_submit_and_schedule() -> None:
    own = all_of("", "secrets", "get", names=("nashflow-s3", "registry"))
    found = rights_of(render({"imagePullSecrets": ["registry"]}), "nashflow-client")
    assert found == {"Role": CLIENT | own, "ClusterRole": set()}


def test_the_doctor_may_look_for_the_addresses_of_webhooks() -> None:
    found = rights_of(render({"notifications": {"secretName": "hooks"}}), "nashflow-client")
    assert found["Role"] == CLIENT | all_of("", "secrets", "get", names=("nashflow-s3", "hooks"))


def test_the_client_reads_no_secret_where_that_is_forbidden() -> None:
    found = rights_of(render({"client": {"readSecrets": False}}), "nashflow-client")
    assert found == {"Role": CLIENT, "ClusterRole": set()}


def test_the_client_sees_nodes_and_what_is_free_on_them_where_that_is_asked_for() -> None:
    found = rights_of(render({"client": {"readNodes": True}}), "nashflow-client")
    assert found["ClusterRole"] == all_of("", "nodes", "list") | all_of("", "pods", "list")


def test_the_launcher_reads_the_secrets_of_its_overrides() -> None:
    credentials = {"secretName": "other-s3", "accessKeyIdKey": "a", "secretAccessKeyKey": "b"}
    overrides = [{"bucketName": "x", "credentials": credentials}, {"bucketName": "y", "credentials": {}}]
    launcher = {"create": True, "pipelineRoot": "s3://b/p", "overrides": overrides}
    values = {"kfp": {"launcher": launcher}, "runner": {"readSecrets": []}, "s3": {"credentials": {"secretName": ""}}}
    secrets = {right for right in rights_of(render(values), "nashflow-runner")["Role"] if right[1] == "secrets"}
    assert secrets == all_of("", "secrets", "get", names=("other-s3",))


def test_a_role_of_their_own_needs_no_secret() -> None:
    values = {"s3": {"credentials": {"secretName": ""}}, "runner": {"readSecrets": []}}
    for account in ("nashflow-runner", "nashflow-client"):
        assert not [right for right in rights_of(render(values), account)["Role"] if right[1] == "secrets"]


def test_no_release_has_more_than_that() -> None:
    """In every combination: no wildcard, no secret but by name, and in the cluster only reading."""
    for release in releases():
        for role in of_kind(release, "Role") + of_kind(release, "ClusterRole"):
            for rule in role["rules"]:
                assert "*" not in rule["apiGroups"] + rule["resources"] + rule["verbs"] + rule.get("resourceNames", [])
                assert "secrets" not in rule["resources"] or rule["resourceNames"]
                assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"])
        for role in of_kind(release, "ClusterRole"):
            assert {verb for rule in role["rules"] for verb in rule["verbs"]} <= set(READ)
            assert {name for rule in role["rules"] for name in rule["resources"]} <= {
                *("nodes", "pods", "clustertrainingruntimes"),
            }


def test_cluster_roles_of_two_namespaces_differ() -> None:
    values: Values = {"trainer": {"enabled": True}, "client": {"readNodes": True}}
    names = [
        {o["metadata"]["name"] for o in of_kind(render(values, namespace=space), "ClusterRole")} for space in ("a", "b")
    ]
    assert len(names[0]) == len(names[1]) == 2
    assert not names[0] & names[1]


def test_servers_have_no_rights_and_an_account_each() -> None:
    objects = render({"judge": {"enabled": True, "model": "m"}})
    for part in ("mlflow", "judge"):
        spec = only(objects, "Deployment", part)["spec"]["template"]["spec"]
        assert only(objects, "ServiceAccount", part)["metadata"]["name"] == spec["serviceAccountName"]
        assert rights_of(objects, spec["serviceAccountName"]) == {"Role": set(), "ClusterRole": set()}


@pytest.mark.parametrize(
    ("values", "kinds"),
    [
        ({"rbac": {"create": False}, "trainer": {"enabled": True}, "client": {"readNodes": True}}, set()),
        ({"runner": {"serviceAccount": {"create": False}}}, {"Role", "RoleBinding"}),
    ],
)
def test_accounts_and_roles_may_be_somebody_elses(values: Values, kinds: set[str]) -> None:
    objects = render(values)
    assert kinds == {o["kind"] for o in objects if "Role" in o["kind"]}
    accounts = {o["metadata"]["name"] for o in of_kind(objects, "ServiceAccount")}
    assert ("nashflow-runner" in accounts) == ("runner" not in values)


def test_accounts_carry_the_annotations_that_clouds_ask_for() -> None:
    role = {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/x"}
    account: dict[str, Any] = {"serviceAccount": {"annotations": role}}
    objects = render({"runner": account, "client": account, "mlflow": {"serviceAccountAnnotations": role}})
    for name in ("nashflow-runner", "nashflow-client", "nf-nashflow-mlflow"):
        assert only(objects, "ServiceAccount", name)["metadata"]["annotations"] == role
