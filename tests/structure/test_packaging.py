"""The packaging files agree with each other, with the settings and with the catalogue of metrics.

A test is skipped, with the reason, if its tool (compose, promtool, systemd-analyze) is missing.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dnsd.metrics import METRICS
from dnsd.settings.file import load_settings
from dnsd.settings.server import Settings
from tests.limits import HANG_S
from tests.live.server import Dnsd

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "config" / "monitoring"
SYSTEMD = ROOT / "config" / "systemd"
GUIDE = ROOT / "docs" / "packaging.md"
DASHBOARD = json.loads((MONITORING / "grafana" / "dnsd.json").read_text())
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
ALERTS = [
    rule for group in yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"] for rule in group["rules"]
]
TARGET_LABELS = {"instance", "job"}  # Prometheus adds them to every scrape
MAX_EXPOSURE = {"capability": 1.6, "socket": 1.2}  # out of 10, by systemd 252; stated in docs/packaging.md


def run(*command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=2 * HANG_S)


def need(*tools: str) -> str:
    """The first of the tools found on this machine; skips the test if all are missing."""
    for tool in tools:
        if shutil.which(tool):
            return tool
    pytest.skip(f"none of {', '.join(tools)} is installed")


# The image


def instructions(keyword: str) -> list[str]:
    """The arguments of each instruction of a kind in the Dockerfile, the last stage included."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    whole = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [line.partition(" ")[2].strip() for line in whole.splitlines() if line.partition(" ")[0] == keyword]


def image_environment() -> dict[str, str]:
    return dict(word.split("=", 1) for text in instructions("ENV") for word in shlex.split(text))


def settings_of(environment: dict[str, str]) -> Settings:
    """The settings of the image with more variables."""
    return load_settings(ROOT / "config" / "dnsd.yaml", image_environment() | environment).settings


def health_check() -> list[str]:
    (text,) = instructions("HEALTHCHECK")
    return json.loads(text.partition("CMD ")[2])


def test_image_runs_as_a_user_by_number() -> None:
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", instructions("USER")[-1]), "Kubernetes checks runAsNonRoot by number"


def test_image_has_pinned_bases_and_exec_forms() -> None:
    bases = [text.split()[0] for text in instructions("FROM")]
    assert bases == ["python:3.12", "python:3.12-slim"]  # of one Debian release, the first with a compiler
    assert [json.loads(text) for text in (*instructions("ENTRYPOINT"), *instructions("CMD"))] == [["dnsd"], ["serve"]]
    assert instructions("STOPSIGNAL") == ["SIGTERM"]
    assert "--no-cache-dir" in " ".join(instructions("RUN"))
    assert not instructions("ADD")


def test_build_context_has_only_copied_files() -> None:
    copied = [word for text in instructions("COPY") if "--from" not in text for word in text.split()[:-1]]
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert rules == ["*", *(f"!{name}" for name in copied), "**/__pycache__"]
    assert all((ROOT / name).exists() for name in copied)


def test_image_settings_are_valid() -> None:
    settings = load_settings(ROOT / "config" / "dnsd.yaml", image_environment()).settings
    assert [str(address) for address in settings.listen] == ["0.0.0.0:5300", "[::]:5300"]
    assert settings.state == "/state" == instructions("VOLUME")[0]
    assert settings.metrics is not None
    assert settings.api is not None
    ports = [settings.metrics.listen.port, settings.api.listen.port]
    assert instructions("EXPOSE")[0].split() == ["5300/udp", "5300/tcp", *(f"{port}/tcp" for port in ports)]


@pytest.mark.slow
def test_health_check_asks_the_server_for_an_answer(tmp_path: Path) -> None:
    assert health_check()[0] == "python"
    check = [sys.executable, *health_check()[1:]]
    ports = {"DNSD_LISTEN": "127.0.0.1:0", "DNSD_API__LISTEN": "127.0.0.1:0"}
    environment = ports | {"DNSD_STATE": str(tmp_path / "state")}
    with Dnsd(ROOT / "config" / "dnsd.yaml", env=environment) as server:
        listen = os.environ | {"DNSD_LISTEN": f"127.0.0.1:{server.port}, [::]:{server.port}"}
        assert subprocess.run(check, env=listen, check=False, capture_output=True).returncode == 0
    assert subprocess.run(check, env=listen, check=False, capture_output=True).returncode == 1


# docker-compose.yml


def test_compose_accepts_the_file() -> None:
    if shutil.which("docker") and run("docker", "compose", "version").returncode == 0:
        checked = run("docker", "compose", "config", "--quiet")
    else:
        checked = run(need("docker-compose"), "config", "--quiet")
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_service_is_confined_to_its_volumes_and_to_loopback(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == "unless-stopped"
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    for volume in service["volumes"]:
        source, _, options = volume.partition(":")
        if source.startswith("."):
            assert (ROOT / source).exists(), volume
            assert options.endswith(":ro"), volume
        else:
            assert source in COMPOSE["volumes"], volume


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_service_is_pinned_and_waits_for_healthy_ones(name: str) -> None:
    service = COMPOSE["services"][name]
    assert "build" in service or re.search(r":v?\d+\.\d+\.\d+@sha256:[0-9a-f]{64}$", service["image"])
    assert "build" in service or service["healthcheck"]["test"][0] == "CMD"
    for other, how in service.get("depends_on", {}).items():
        assert how == {"condition": "service_healthy"}
        assert "healthcheck" in COMPOSE["services"][other] or instructions("HEALTHCHECK")


def test_prometheus_and_grafana_find_their_files() -> None:
    prometheus = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    port = image_environment()["DNSD_METRICS__LISTEN"].rpartition(":")[2]
    assert prometheus["scrape_configs"] == [
        {"job_name": "dnsd", "static_configs": [{"targets": [f"dnsd:{port}"]}]},
    ]
    for service in ("api", "metrics"):
        assert getattr(settings_of(COMPOSE["services"]["dnsd"]["environment"]), service).hosts == ("dnsd",)
    mounts = [volume.split(":")[1] for volume in COMPOSE["services"]["grafana"]["volumes"]]
    provisioning = MONITORING / "grafana" / "provisioning"
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "dnsd.yml").read_text())["providers"]
    assert f"{provider['options']['path']}/dnsd.json" in mounts
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert source["type"] == "prometheus"
    assert source["url"] == "http://prometheus:9090"


# Dashboard and alerts


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def queries() -> Iterator[tuple[str, str, str]]:
    """Each query's place, its expression, and the text that shows its labels."""
    for panel in panels():
        for target in panel["targets"]:
            yield f"panel {panel['title']}", target["expr"], target["legendFormat"]
    for annotation in DASHBOARD["annotations"]["list"]:
        yield f"annotation {annotation['name']}", annotation["expr"], annotation["textFormat"]
    for rule in ALERTS:
        yield f"alert {rule['alert']}", rule["expr"], re.sub(r"\$labels\.", "", " ".join(rule["annotations"].values()))


QUERIES = list(queries())


def metrics_in(expression: str) -> dict[str, set[str]]:
    """The metrics of the catalogue in an expression, each with the labels that it matches."""
    found: dict[str, set[str]] = {}
    for name, suffix, matchers in re.findall(
        r"\b(dnsd_\w+?)(_bucket|_sum|_count)?(?![\w.])(?:\{([^}]*)\})?", expression
    ):
        known = name if name in METRICS else name + suffix
        labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)) - ({"le"} if suffix else set())
        found.setdefault(known, set()).update(labels)
    return found


@pytest.mark.parametrize(("where", "expression", "shown"), QUERIES, ids=[query[0] for query in QUERIES])
def test_query_reads_metrics_and_labels_that_exist(where: str, expression: str, shown: str) -> None:
    used = metrics_in(expression)
    assert used or "up{" in expression, where
    assert used.keys() <= METRICS.keys(), where
    for name, matched in used.items():
        assert matched <= {*METRICS[name].labels, *TARGET_LABELS}, where
    histograms = {name for name in used if METRICS[name].kind == "histogram"}
    read = set(re.findall(r"\b(dnsd_\w+)_(?:bucket|sum|count)\b", expression))
    assert histograms == read, f"{where}: a histogram is read by its buckets, sum and count"
    known = (
        TARGET_LABELS | {label for name in used for label in METRICS[name].labels} | ({"le"} if histograms else set())
    )
    grouped = {word for by in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression) for word in by.split(", ")}
    assert grouped <= known, where
    legend = set(re.findall(r"\{\{\s*(\w+)", shown)) & {*re.findall(r"\{\{\s*(\w+)\s*\}\}", shown)}
    assert legend <= (grouped & known or known), where


@pytest.mark.parametrize(("where", "expression", "shown"), QUERIES, ids=[query[0] for query in QUERIES])
def test_counters_are_read_as_rates(where: str, expression: str, shown: str) -> None:
    for name in metrics_in(expression):
        if METRICS[name].kind != "gauge":
            bare = re.sub(r"(?:rate|increase)\(dnsd_\w+(?:\{[^}]*\})?\[[^\]]+\]\)", "", expression)
            assert name not in bare, f"{where}: {name} counts up; its rate says something"


def test_dashboard_shows_every_metric() -> None:
    shown = {name for panel in panels() for target in panel["targets"] for name in metrics_in(target["expr"])}
    missing = METRICS.keys() - shown
    assert not missing, f"config/monitoring/grafana/dnsd.json: no panel shows {', '.join(sorted(missing))}"


@pytest.mark.parametrize("panel", panels(), ids=[panel["title"] for panel in panels()])
def test_panel_is_explained_and_takes_the_chosen_source(panel: dict[str, Any]) -> None:
    assert panel["description"].endswith(".")
    sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
    assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in sources)
    assert panel["type"] == "heatmap" or panel["fieldConfig"]["defaults"]["unit"]
    for target in panel["targets"]:
        assert 'instance=~"$instance"' in target["expr"]


def test_panels_have_ids_and_places_of_their_own() -> None:
    every = DASHBOARD["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    taken: set[tuple[int, int]] = set()
    for place in (panel["gridPos"] for panel in every):
        assert place["x"] + place["w"] <= 24
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, place
        taken |= cells


@pytest.mark.parametrize("rule", ALERTS, ids=[rule["alert"] for rule in ALERTS])
def test_alert_has_severity_and_instructions(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"].keys() == {"summary", "description"}


def test_prometheus_accepts_its_files_and_every_query(tmp_path: Path) -> None:
    promtool = need("promtool")
    checked = run(promtool, "check", "config", str(MONITORING / "prometheus.yml"))
    assert checked.returncode == 0, checked.stderr
    expressions = [expression.replace("$__rate_interval", "1m") for _, expression, _ in QUERIES]
    rules = [{"record": f"query:{number}", "expr": expression} for number, expression in enumerate(expressions)]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    checked = run(promtool, "check", "rules", str(file))
    assert checked.returncode == 0, checked.stderr


# systemd


def unit(name: str) -> list[tuple[str, str]]:
    lines = (SYSTEMD / name).read_text().splitlines()
    return [(line.partition("=")[0], line.partition("=")[2]) for line in lines if re.match(r"[A-Z]\w+=", line)]


def test_service_notifies_systemd_and_never_runs_as_root() -> None:
    service = dict(unit("dnsd.service"))
    assert {key: service[key] for key in ("Type", "Restart", "DynamicUser", "KillMode", "OOMPolicy")} == {
        "Type": "notify",
        "Restart": "always",
        "DynamicUser": "yes",
        "KillMode": "mixed",  # otherwise all processes would get SIGTERM at once
        "OOMPolicy": "continue",
    }
    assert service["AmbientCapabilities"] == service["CapabilityBoundingSet"] == "CAP_NET_BIND_SERVICE"
    assert service["ExecReload"] == service["ExecStart"].replace("serve", "reload")
    assert int(service["TimeoutStopSec"]) > 5  # the server's own limit


def test_service_settings_are_valid() -> None:
    words = dict(word.split("=", 1) for word in dict(unit("dnsd.service"))["Environment"].split())
    settings = load_settings(ROOT / "config" / "dnsd.yaml", words).settings
    assert settings.state == f"/var/lib/{dict(unit('dnsd.service'))['StateDirectory']}"
    assert words["DNSD_CONFIG"] == f"/etc/{dict(unit('dnsd.service'))['ConfigurationDirectory']}/dnsd.yaml"


def test_sockets_are_udp_and_tcp_of_both_families() -> None:
    listen = [(key, value) for key, value in unit("dnsd.socket") if key.startswith("Listen")]
    kinds = ("ListenDatagram", "ListenStream")
    assert sorted(listen) == sorted((kind, address) for kind in kinds for address in ("0.0.0.0:53", "[::]:53"))
    assert dict(unit("dnsd.socket"))["BindIPv6Only"] == "ipv6-only"


@pytest.mark.parametrize("kind", MAX_EXPOSURE)
def test_systemd_accepts_the_units_and_finds_little_exposed(kind: str, tmp_path: Path) -> None:
    analyze = need("systemd-analyze")
    for name in ("dnsd.service", "dnsd.socket"):
        text = (SYSTEMD / name).read_text()
        (tmp_path / name).write_text(text.replace("/opt/dnsd/bin/dnsd", shutil.which("true") or "/bin/true"))
    if kind == "socket":
        (tmp_path / "dnsd.service.d").mkdir()
        shutil.copy(SYSTEMD / "socket.conf", tmp_path / "dnsd.service.d")
    service = str(tmp_path / "dnsd.service")
    verified = run(analyze, "verify", "--man=no", service, str(tmp_path / "dnsd.socket"))
    assert verified.returncode == 0, verified.stderr
    assert "dnsd" not in verified.stderr  # warnings about unknown keys
    threshold = round(10 * MAX_EXPOSURE[kind])
    weighed = run(analyze, "security", "--offline=true", "--no-pager", f"--threshold={threshold}", service)
    assert weighed.returncode == 0, weighed.stdout + weighed.stderr
    assert f"{MAX_EXPOSURE[kind]} of 10" in GUIDE.read_text()


# docs/packaging.md


def test_files_named_in_the_guide_exist() -> None:
    for name in re.findall(r"\b(?:config|docs)/[\w./-]+\w", GUIDE.read_text()):
        assert (ROOT / name).exists(), name


def test_settings_in_the_guide_are_valid(tmp_path: Path) -> None:
    blocks = [yaml.safe_load(text) for text in re.findall(r"```yaml\n# dnsd\.yaml\n(.*?)```", GUIDE.read_text(), re.S)]
    assert blocks
    for block in blocks:
        file = tmp_path / "dnsd.yaml"
        file.write_text(yaml.safe_dump({"default_addresses": ["198.51.100.10"], **block}))
        load_settings(file, {})


def test_kubernetes_manifest_agrees_with_the_image() -> None:
    (text,) = re.findall(r"```yaml\n(apiVersion: apps/v1.*?)```", GUIDE.read_text(), re.S)
    deployment, service = yaml.safe_load_all(text)
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    user = int(instructions("USER")[-1].partition(":")[0])
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["fsGroup"] == user
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    exposed = {
        port["name"]: f"{port['containerPort']}/{port.get('protocol', 'TCP').lower()}" for port in container["ports"]
    }
    assert list(exposed.values()) == instructions("EXPOSE")[0].split()
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= exposed.keys()
    environment = image_environment()
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {environment["DNSD_STATE"], os.path.dirname(environment["DNSD_CONFIG"])} <= mounts
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    given = settings_of({one["name"]: one["value"] for one in container["env"] if "value" in one})
    assert given.api is not None
    assert given.metrics is not None
    assert service["metadata"]["name"] in {*given.api.hosts} & {*given.metrics.hosts}
    assert pod["terminationGracePeriodSeconds"] > 5
