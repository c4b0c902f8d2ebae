"""The way to the server: who asks, what cannot be reached, what every failure says."""

import json
import socket
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from nashflow.pipelines.cluster.api.access import Access
from nashflow.pipelines.cluster.api.connection import Connection

from ..conftest import Call
from ..server import Fault, KfpServer


@pytest.fixture
def kubeconfig(kfp: KfpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kube context `test` whose Kubernetes API is the server."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": kfp.url}}],
        "users": [{"name": "me", "user": {"token": "kube"}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "me"}}],
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    # Read once, when kubernetes is imported.
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig"))


def refused(call: Call, *options: object) -> tuple[int, str]:
    done = call("runs", *options)
    assert done.out == ""
    return done.code, done.line


# --- who asks --------------------------------------------------------------------------------------------------------


def test_a_token_goes_with_every_call(call: Call, kfp: KfpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    kfp.tokens = {"mine"}
    assert call("runs", "--host", kfp.url, "--token", "mine").code == 0
    monkeypatch.setenv("KFP_EXISTING_TOKEN", "mine")
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", kfp.url)
    assert call("runs").code == 0


def test_a_projected_token_is_found_where_kubeflow_says(
    call: Call, kfp: KfpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kfp.tokens = {"projected"}
    (tmp_path / "token").write_text("projected\n")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "token"))
    assert call("runs", "--host", kfp.url).code == 0
    monkeypatch.delenv("KF_PIPELINES_SA_TOKEN_PATH")
    assert refused(call, "--host", kfp.url)[0] == 2
    monkeypatch.setattr("kfp.client.KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "token"))
    assert call("runs", "--host", kfp.url).code == 0


@pytest.mark.usefixtures("kubeconfig")
def test_a_kube_context_leads_through_the_kubernetes_api(call: Call, kfp: KfpServer) -> None:
    kfp.tokens = {"kube"}
    assert call("runs", "--kube-context", "test", "--namespace", "team").code == 0
    assert kfp.seen[-1] == ("GET /api/v1/namespaces/kubeflow/services/ml-pipeline:http/proxy/apis/v2beta1/runs")
    code, line = refused(call, "--kube-context", "tset")
    assert (code, line) == (2, "nashflow: --kube-context tset: unknown; did you mean test?")
    kfp.tokens = {"another"}
    assert refused(call, "--kube-context", "test")[1].endswith("sign in to the kube context test again")


def test_the_command_line_wins_over_a_rival_in_the_environment(
    call: Call, kfp: KfpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kfp.tokens = {"fresh"}
    (tmp_path / "token").write_text("fresh\n")
    monkeypatch.setenv("KFP_EXISTING_TOKEN", "stale")
    assert refused(call, "--host", kfp.url)[0] == 2
    assert call("runs", "--host", kfp.url, "--token-file", tmp_path / "token").code == 0
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "token"))
    assert refused(call, "--host", kfp.url, "--token", "stale")[0] == 2


@pytest.mark.usefixtures("kubeconfig")
def test_a_kube_context_wins_over_an_endpoint_in_the_environment(
    call: Call, kfp: KfpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", "http://elsewhere.invalid")
    assert call("runs", "--kube-context", "test", "--namespace", "team").code == 0


@pytest.mark.usefixtures("kubeconfig")
def test_beside_a_host_a_kube_context_leads_to_the_pods_alone(
    call: Call, kfp: KfpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    kfp.tokens = {"mine"}
    both = ("--kube-context", "test", "--host", kfp.url, "--namespace", "team")
    monkeypatch.setenv("KFP_EXISTING_TOKEN", "mine")
    assert call("runs", *both).code == 0
    assert kfp.seen == ["GET /apis/v2beta1/runs"]
    kfp.tokens = {"another"}
    assert "the token has expired" in refused(call, *both)[1]
    assert "--kube-context tset: unknown" in refused(call, *both, "--kube-context", "tset")[1]


def test_the_context_that_kfp_keeps_is_read_and_not_written(call: Call, kfp: KfpServer, tmp_path: Path) -> None:
    kfp.multi_user = True
    assert refused(call, "--host", kfp.url)[0] == 2
    assert not (tmp_path / "context.json").exists()
    (tmp_path / "context.json").write_text(json.dumps({"namespace": "team"}))
    assert call("runs", "--host", kfp.url).code == 0


# --- what is shown ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["http://ml-pipeline:8888", "http://ml-pipeline.kubeflow.svc.cluster.local:8888"])
def test_in_the_cluster_there_is_no_link_to_the_api_server_which_has_no_pages(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Connection(Access(host), None, 0.0)
    assert here.link("1") == "run 1"
    monkeypatch.setenv("KF_PIPELINES_UI_ENDPOINT", "https://kubeflow.example.com/pipeline/")
    assert here.link("1") == "https://kubeflow.example.com/pipeline/#/runs/details/1"


def test_suggested_options_lead_to_the_same_server_without_the_token() -> None:
    access = Access("https://me:hidden@a", "team", "secret", "/my tokens/a", ca_cert="/ca.pem")
    assert access.flags == "--host https://a --namespace team --token-file '/my tokens/a' --ca-cert /ca.pem"
    assert Connection(access, None, 0.0).link("1") == "https://a/#/runs/details/1"
    assert Access(kube_context="test").flags == "--kube-context test"
    assert Access("https://a", kube_context="test").flags == "--kube-context test --host https://a"


# --- what is wrong ---------------------------------------------------------------------------------------------------


def test_options_that_lead_nowhere_are_refused(call: Call, tmp_path: Path) -> None:
    assert refused(call) == (
        2,
        "nashflow: no API server: give --host, set KF_PIPELINES_ENDPOINT, or name a --kube-context",
    )
    assert "write https://kubeflow.example.com" in refused(call, "--host", "kubeflow.example.com")[1]
    absent = tmp_path / "absent"
    for option in ("--token-file", "--ca-cert"):
        code, line = refused(call, "--host", "http://a", option, absent)
        assert (code, line) == (2, f"nashflow: {option} {absent}: no file that can be read")
    assert refused(call, "--host", "http://[x")[1].startswith("nashflow: http://[x: no URL of a server")


@pytest.mark.usefixtures("impatient")
def test_an_unreachable_host_is_one_line_and_75(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        host = f"http://127.0.0.1:{closed.getsockname()[1]}"
        assert refused(call, "--host", host) == (
            75,
            f"nashflow: {host}: no answer: it cannot be connected to: check --host and the network, or try again later",
        )

    def unknown(*name: object, **options: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    code, line = refused(call, "--host", "http://kubeflow.invalid", "--namespace", "a")
    assert (code, "its name is not known" in line) == (75, True)


@pytest.mark.usefixtures("impatient")
def test_a_server_that_hangs_is_one_line_and_75(call: Call, kfp: KfpServer) -> None:
    kfp.faults = [Fault("GET .*", "slow", times=9)]
    code, line = refused(call, "--host", kfp.url)
    assert (code, "it does not answer in time" in line) == (75, True)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("kind", "code", "words"),
    [
        ("401", 2, "your credentials are not accepted (401): give --token, --token-file or --kube-context"),
        ("403", 2, "not allowed: try again later (403): ask for the role kubeflow-edit in the namespace"),
        ("302", 2, "leads to a login page (302): give --token"),
        ("page", 2, "answers with text/html instead of JSON"),
        ("400", 2, "try again later (400)"),
        ("502", 75, "no answer: bad gateway (502)"),
        ("503", 75, "no answer: try again later (503)"),
    ],
)
def test_what_a_refusal_says(call: Call, kfp: KfpServer, kind: str, code: int, words: str) -> None:
    kfp.faults = [Fault("GET .*", kind, times=999)]
    refusal = refused(call, "--host", kfp.url, "--namespace", "a")
    assert (refusal[0], words in refusal[1]) == (code, True), refusal


def test_a_refusal_of_the_very_first_question_is_one_line_too(call: Call, kfp: KfpServer) -> None:
    """Without a namespace the client begins by asking whether the server has several users."""
    kfp.faults = [Fault("GET .*/healthz", "403")]
    code, line = refused(call, "--host", kfp.url)
    assert (code, "not allowed: try again later (403)" in line) == (2, True)


def test_a_password_in_the_url_is_not_shown(call: Call, kfp: KfpServer) -> None:
    kfp.faults = [Fault("GET .*", "403")]
    _, line = refused(call, "--host", kfp.url.replace("//", "//me:hidden@"))
    assert (kfp.url in line, "hidden" in line) == (True, False)


def test_a_certificate_has_to_be_trusted(call: Call, kfp: KfpServer, tmp_path: Path) -> None:
    certificate = self_signed(tmp_path)
    kfp.secure(certificate)
    code, line = refused(call, "--host", kfp.url)
    assert (code, line) == (
        2,
        f"nashflow: {kfp.url}: its certificate is not trusted: give the authority's with --ca-cert",
    )
    assert call("runs", "--host", kfp.url, "--ca-cert", certificate).code == 0


def self_signed(folder: Path) -> Path:
    """A certificate of 127.0.0.1 and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    return file


def test_a_server_of_something_else_is_told(call: Call, kfp: KfpServer) -> None:
    code, line = refused(call, "--host", f"{kfp.url}/elsewhere")
    assert (code, line) == (2, f"nashflow: {kfp.url}/elsewhere: Not Found (404)")


def test_a_short_absence_is_not_noticed(call: Call, kfp: KfpServer) -> None:
    kfp.stop()
    kfp.away(0.2)
    assert call("runs", "--host", kfp.url).code == 0
