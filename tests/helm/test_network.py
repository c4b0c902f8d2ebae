"""Who reaches whom: nothing but what each part needs, in both scopes."""

from collections.abc import Mapping

import pytest
import yaml

from tests.helm.rendering import CHART, Values, merged, of_kind, pod_specs, render
from tests.helm.traffic import Host, Network, Pod, selects

EVERYTHING: Values = {
    "judge": {"enabled": True, "model": "m"},
    "mlflow": {
        "backend": "postgresql",
        "postgresql": {"secretName": "db"},
        "artifacts": {"destination": "s3://b/mlflow"},
    },
    "schedules": {"enabled": True},
    "trainer": {"enabled": True},
    "serviceMonitor": {"enabled": True},
}
KFP_LABEL = {"pipelines.kubeflow.org/v2_component": "true"}
STEP = Pod(KFP_LABEL | {"nashflow/step": "rollout", "nashflow/run": "x"})
TRAINING = Pod(KFP_LABEL | {"nashflow/step": "training"})
DRIVER = Pod(KFP_LABEL)
BYSTANDER = Pod({"app": "notebook"})
DNS = Pod({"k8s-app": "kube-dns"}, "kube-system")
KFP = Pod({"app": "ml-pipeline"}, "kubeflow")
PROMETHEUS = Pod({"app": "prometheus"}, "monitoring")
STRANGER = Pod({"app": "stranger"}, "elsewhere")
INTERNET = Host("198.51.100.7")
METADATA = Host("169.254.169.254")


def network(values: Values | None = None) -> tuple[Network, Mapping[str, Pod]]:
    """The policies of a release, and its pods by the ends of their names."""
    objects = render(values)
    kinds = ("Deployment", "Job", "Pod")
    templates = {o["metadata"]["name"]: o["spec"].get("template", o) for o in objects if o["kind"] in kinds}
    pods = {name.rpartition("-")[2]: Pod(found["metadata"]["labels"]) for name, found in templates.items()}
    return Network(of_kind(objects, "NetworkPolicy")), pods


def scope(name: str) -> Values:
    return merged(EVERYTHING, {"networkPolicies": {"scope": name}})


@pytest.mark.parametrize("where", ["nashflow", "namespace"])
def test_each_part_reaches_what_it_needs(where: str) -> None:
    wires, pods = network(scope(where))
    needs: list[tuple[Pod, Pod | Host, int]] = [
        *((source, target, port) for source in (STEP, pods["schedules"], pods["doctor"]) for target, port in [
            (KFP, 8888), (KFP, 8887), (KFP, 8080), (INTERNET, 443), (Host("10.0.0.1"), 6443), (Host("10.9.9.9"), 9000),
            (pods["mlflow"], 5000), (pods["judge"], 8000), (DNS, 53),
        ]),
        (pods["unschedule"], KFP, 8888),
        (DRIVER, KFP, 8080),
        (pods["mlflow"], INTERNET, 443),
        (pods["mlflow"], Host("10.1.1.1"), 5432),
        (pods["mlflow"], DNS, 53),
        (PROMETHEUS, pods["judge"], 8000),
        (TRAINING, TRAINING, 29500),
        (TRAINING, INTERNET, 443),
    ]  # fmt: skip
    assert [need for need in needs if not wires.allows(*need)] == []
    assert wires.allows(STEP, DNS, 53, "UDP")
    assert wires.allows(pods["mlflow"], DNS, 53, "UDP")


@pytest.mark.parametrize("where", ["nashflow", "namespace"])
def test_and_nothing_else(where: str) -> None:
    wires, pods = network(scope(where))
    forbidden: list[tuple[Pod | Host, Pod | Host, int]] = [
        (STEP, INTERNET, 80),
        (STEP, METADATA, 443),
        (STEP, STRANGER, 443),
        (STEP, STEP, 29500),
        (STEP, TRAINING, 29500),
        (STEP, Host("10.1.1.1"), 5432),
        (pods["judge"], INTERNET, 443),
        (pods["judge"], DNS, 53),
        (pods["judge"], pods["mlflow"], 5000),
        (pods["mlflow"], KFP, 8888),
        (pods["mlflow"], INTERNET, 25),
        (pods["mlflow"], pods["judge"], 8000),
        (BYSTANDER, pods["mlflow"], 5000),
        (BYSTANDER, pods["judge"], 8000),
        (DRIVER, pods["mlflow"], 5000),
        (STRANGER, pods["mlflow"], 5000),
        (STRANGER, STEP, 8080),
        (INTERNET, pods["judge"], 8000),
        (PROMETHEUS, pods["mlflow"], 5000),
        (PROMETHEUS, pods["judge"], 22),
        (STRANGER, pods["doctor"], 80),
        (pods["mlflow"], pods["doctor"], 80),
    ]
    assert [flow for flow in forbidden if wires.allows(*flow)] == []


def test_other_pods_are_left_alone_unless_the_namespace_is_ours() -> None:
    flows: list[tuple[Pod | Host, Pod | Host]] = [(BYSTANDER, INTERNET), (INTERNET, BYSTANDER), (DRIVER, INTERNET)]
    for where, open_ in (("nashflow", True), ("namespace", False)):
        wires, _ = network(scope(where))
        assert [wires.allows(source, target, 80) for source, target in flows] == [open_] * 3


def test_what_is_not_there_opens_no_way() -> None:
    wires, pods = network({"mlflow": {"artifacts": {"destination": ""}}})
    assert not wires.allows(pods["mlflow"], INTERNET, 443)
    assert not wires.allows(pods["mlflow"], Host("10.1.1.1"), 5432)
    assert not wires.allows(TRAINING, TRAINING, 29500)
    alone, pods = network({"judge": {"enabled": True, "model": "m"}})
    assert not alone.allows(PROMETHEUS, pods["judge"], 8000)


def test_what_the_user_allows() -> None:
    ingress = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "elsewhere"}}}]
    away = [{"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}], "ports": [8443]}]
    ours = {"mlflowFrom": ingress, "judgeFrom": ingress, "stepsTo": away}
    wires, pods = network(merged(EVERYTHING, {"networkPolicies": ours}))
    assert wires.allows(STRANGER, pods["mlflow"], 5000)
    assert wires.allows(STRANGER, pods["judge"], 8000)
    for source in (STEP, pods["doctor"]):
        assert wires.allows(source, Host("192.0.2.9"), 8443)
    assert not wires.allows(STEP, Host("192.0.2.9"), 8444)
    for key in ("mlflow", "judge"):
        assert not wires.allows(pods[key], Host("192.0.2.9"), 8443)
        others, _ = network(merged(EVERYTHING, {"networkPolicies": {f"{key}To": away}}))
        assert others.allows(pods[key], Host("192.0.2.9"), 8443)
        assert others.allows(pods[key], DNS, 53, "UDP")
        assert not others.allows(STEP, Host("192.0.2.9"), 8443)


@pytest.mark.parametrize(
    ("example", "target", "port"),
    [
        ("openshift", Pod({"dns.operator.openshift.io/daemonset-dns": "default"}, "openshift-dns"), 5353),
        ("sandbox", Pod({"app": "seaweedfs"}, "kubeflow"), 8333),
        ("production", Pod({"app": "seaweedfs"}, "kubeflow"), 8333),
        ("production", Host("203.0.113.5"), 443),
    ],
)
def test_steps_reach_what_the_examples_are_for(example: str, target: Pod | Host, port: int) -> None:
    wires, _ = network(yaml.safe_load((CHART / f"examples/{example}.yaml").read_text()))
    assert wires.allows(STEP, target, port)
    assert network()[0].allows(STEP, target, port) == (target == Host("203.0.113.5"))


def test_the_default_is_denied_to_every_pod_of_the_release() -> None:
    for values in ({}, scope("nashflow"), scope("namespace")):
        wires, pods = network(values)
        (deny,) = [p for p in wires.policies if p["metadata"]["name"].endswith("default-deny")]
        assert deny["spec"]["policyTypes"] == ["Ingress", "Egress"]
        assert not {"ingress", "egress"} & deny["spec"].keys()
        assert all(selects(deny["spec"]["podSelector"], pod.labels) for pod in pods.values())


def test_every_policy_denies_what_it_does_not_allow() -> None:
    for policy in network(scope("namespace"))[0].policies:
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]


def test_no_policies_where_there_shall_be_none() -> None:
    assert of_kind(render({"networkPolicies": {"enabled": False}}), "NetworkPolicy") == []


def test_two_releases_do_not_reach_one_anothers_servers() -> None:
    one, two = (of_kind(render(EVERYTHING, name=name), "NetworkPolicy") for name in ("one", "two"))
    (doctor,) = [o["metadata"]["labels"] for o in render(EVERYTHING, name="one") if o["kind"] == "Pod"]
    (mlflow,) = [
        o["spec"]["template"]["metadata"]["labels"]
        for o in of_kind(render(EVERYTHING, name="two"), "Deployment", "mlflow")
    ]
    assert not Network([*one, *two]).allows(Pod(doctor), Pod(mlflow), 5000)


def test_ports_of_policies_are_ports_of_containers() -> None:
    objects = render(EVERYTHING)
    for name, spec in pod_specs(objects):
        for container in spec["containers"]:
            for port in container.get("ports", []):
                part = name.rpartition("-")[2]
                (policy,) = of_kind(objects, "NetworkPolicy", f"-{part}")
                (rule,) = policy["spec"]["ingress"]
                assert rule["ports"] == [{"port": port["containerPort"], "protocol": "TCP"}]


def test_servers_open_to_steps_and_to_the_client_whoever_else_there_is() -> None:
    """Looked at from the server's end alone: an unrestricted pod of the release is refused too."""
    wires, pods = network(merged(EVERYTHING, {"serviceMonitor": {"enabled": False}}))
    inwards = Network([p | {"spec": p["spec"] | {"policyTypes": ["Ingress"]}} for p in wires.policies])
    release = {key: value for key, value in pods["doctor"].labels.items() if not key.endswith("component")}
    for server, port in (("mlflow", 5000), ("judge", 8000)):
        assert inwards.allows(STEP, pods[server], port)
        assert inwards.allows(pods["doctor"], pods[server], port)
        assert not inwards.allows(Pod(release), pods[server], port)


# --- the model of the policies itself --------------------------------------------------------------------------------


def policy(selector: Values, **rules: list[Values]) -> Values:
    return {"spec": {"podSelector": selector, "policyTypes": [way.capitalize() for way in rules], **rules}}


A, B = Pod({"app": "a"}), Pod({"app": "b"})


def test_without_policies_everything_passes() -> None:
    assert Network([]).allows(A, B, 1)
    assert Network([policy({"matchLabels": {"app": "c"}}, ingress=[])]).allows(A, B, 1)


def test_policies_add_up_and_both_ends_have_to_agree() -> None:
    closed = policy({}, ingress=[], egress=[])
    out = policy({"matchLabels": {"app": "a"}}, egress=[{"to": [{"podSelector": {}}]}])
    into = policy({"matchLabels": {"app": "b"}}, ingress=[{"ports": [{"port": 1}]}])
    assert not Network([closed]).allows(A, B, 1)
    assert not Network([closed, out]).allows(A, B, 1)
    assert not Network([closed, into]).allows(A, B, 1)
    assert Network([closed, out, into]).allows(A, B, 1)
    assert not Network([closed, out, into]).allows(A, B, 2)
    assert not Network([closed, out, into]).allows(B, A, 1)


def test_a_peer_is_a_pod_in_a_namespace() -> None:
    both = [
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "n"}},
            "podSelector": {"matchLabels": {"app": "a"}},
        }
    ]
    wires = Network([policy({}, ingress=[{"from": both}])])
    assert wires.allows(Pod({"app": "a"}, "n"), B, 1)
    assert not wires.allows(Pod({"app": "b"}, "n"), B, 1)
    assert not wires.allows(Pod({"app": "a"}, "m"), B, 1)
    own = Network([policy({}, ingress=[{"from": [{"podSelector": {"matchLabels": {"app": "a"}}}]}])])
    assert own.allows(A, B, 1)
    assert not own.allows(Pod({"app": "a"}, "n"), B, 1)


def test_addresses_have_holes() -> None:
    wires = Network([policy({}, egress=[{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]}])])
    assert wires.allows(A, Host("10.2.0.1"), 1)
    assert not wires.allows(A, Host("10.1.0.1"), 1)
    assert not wires.allows(A, Host("11.0.0.1"), 1)


@pytest.mark.parametrize(
    ("operator", "values", "matches"),
    [
        ("In", ["a"], True),
        ("In", ["b"], False),
        ("NotIn", ["b"], True),
        ("Exists", [], True),
        ("DoesNotExist", [], False),
    ],
)
def test_expressions(operator: str, values: list[str], matches: bool) -> None:
    assert selects({"matchExpressions": [{"key": "app", "operator": operator, "values": values}]}, A.labels) is matches
