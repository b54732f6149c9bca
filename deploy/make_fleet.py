"""Writes the fleet's files from THE table, so that a new stage has its Deployment.

    python deploy/make_fleet.py     compose.yaml and kubernetes/stages.yaml

`tests/unit/test_deploy.py` holds the files to it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from bagline.wiring import LINES
from bagline.worker.line import Step
from bagline.worker.run import ROLES

HERE = Path(__file__).parent
IMAGE = "bagline:latest"
HEALTH_PORT = 9090
GRACE_SECONDS = 20
"""Above work.drain_seconds: a stage that does not let go ends by itself before this."""

ALONE = "bucket-reader"
"""Two of it at once could make two items of one bag."""
OWN_DATABASE = ("spot-tester", "fixity")
"""What they keep stands in the Registry's database, which no API of the Registry tells."""
MOVES_BYTES = (
    *OWN_DATABASE,
    "pre-fetch",
    "staging-uploader",
    "preservation-uploader",
    "bag-restorer",
    "file-restorer",
)
MEMORY = {True: ("384Mi", "768Mi"), False: ("192Mi", "512Mi")}
"""Requested and most, for stages that move a bag's bytes and for the others."""

MADE = "# Made by deploy/make_fleet.py; change that.\n"

COMPOSE_ENVIRONMENT = {
    "BAGLINE_S3_ENDPOINT": "http://s3:8333",
    "BAGLINE_S3_ALLOW_HTTP": "true",
    "BAGLINE_S3_ACCESS_KEY": "${S3_ACCESS_KEY:?}",
    "BAGLINE_S3_SECRET_KEY": "${S3_SECRET_KEY:?}",
    "BAGLINE_REDIS_URL": "redis://:${REDIS_PASSWORD:?}@redis:6379/0",
    "BAGLINE_QUEUE_KIND": "nsq",
    "BAGLINE_QUEUE_NSQLOOKUPD": "nsqlookupd:4161",
    "BAGLINE_QUEUE_NSQD_HTTP": "nsqd:4151",
    "BAGLINE_REGISTRY_URL": "http://registry:8080",
    "BAGLINE_REGISTRY_USER": "${REGISTRY_USER:?}",
    "BAGLINE_REGISTRY_KEY": "${REGISTRY_KEY:?}",
}
DATABASE = "postgresql+psycopg://bagline:${POSTGRES_PASSWORD:?}@postgres:5432/registry"


def compose() -> dict[str, Any]:
    """Everything on one Docker host; `docker compose up --scale pre-fetch=4`."""
    workers = [step.name for step in LINES.steps()] + list(ROLES)
    services: dict[str, Any] = {
        "s3": {
            "image": "chrislusf/seaweedfs:4.48",
            "command": "server -dir=/data -s3 -s3.port=8333 -s3.config=/etc/seaweedfs/s3.json",
            "volumes": ["s3:/data", "./s3.json:/etc/seaweedfs/s3.json:ro"],
        },
        "redis": {
            "image": "valkey/valkey:9",
            "command": "valkey-server --appendonly yes --appendfsync always "
            "--maxmemory-policy noeviction --requirepass ${REDIS_PASSWORD:?}",
            "volumes": ["redis:/data"],
        },
        "nsqlookupd": {"image": "nsqio/nsq:v1.3.0", "command": "/nsqlookupd"},
        "nsqd": {
            "image": "nsqio/nsq:v1.3.0",
            "command": "/nsqd --lookupd-tcp-address=nsqlookupd:4160 --broadcast-address=nsqd "
            "--data-path=/data --mem-queue-size=0 --sync-every=1",
            "volumes": ["nsq:/data"],
            "depends_on": ["nsqlookupd"],
        },
        "postgres": {
            "image": "postgres:17",
            "environment": {
                "POSTGRES_USER": "bagline",
                "POSTGRES_DB": "registry",
                "POSTGRES_PASSWORD": "${POSTGRES_PASSWORD:?}",
            },
            "volumes": ["postgres:/var/lib/postgresql/data"],
        },
        "registry": {
            "image": IMAGE,
            "build": {"context": "..", "dockerfile": "deploy/Dockerfile"},
            "command": ["registry", "serve", "--host", "0.0.0.0", "--port", "8080"],
            "environment": {"BAGLINE_DATABASE_URL": DATABASE},
            "depends_on": ["postgres"],
            "restart": "unless-stopped",
        },
    }
    for name in workers:
        services[name] = {
            "image": IMAGE,
            "command": ["worker", name],
            "environment": _environment(name),
            "depends_on": ["s3", "redis", "nsqd", "registry"],
            "restart": "unless-stopped",
            "stop_grace_period": f"{GRACE_SECONDS}s",
        }
    return {"name": "bagline", "services": services, "volumes": dict.fromkeys(
        ("s3", "redis", "nsq", "postgres"))}  # fmt: skip


def _environment(name: str) -> dict[str, str]:
    if name not in OWN_DATABASE:
        return COMPOSE_ENVIRONMENT
    others = {n: v for n, v in COMPOSE_ENVIRONMENT.items() if "_REGISTRY_" not in n}
    return others | {"BAGLINE_DATABASE_URL": DATABASE}


def stages() -> list[dict[str, Any]]:
    """One Deployment a stage, each scaled by its own queue; the roles once."""
    found: list[dict[str, Any]] = []
    for step in LINES.steps():
        found += [_deployment(step.name, moves_bytes=step.name in MOVES_BYTES), _autoscaler(step)]
    return [*found, *(_deployment(role, moves_bytes=role in MOVES_BYTES) for role in ROLES)]


def _deployment(name: str, *, moves_bytes: bool = False) -> dict[str, Any]:
    asked, most = MEMORY[moves_bytes]
    labels = {"app": "bagline", "worker": name}
    container = {
        "name": "worker",
        "image": IMAGE,
        "args": ["worker", name],
        "envFrom": [
            {"configMapRef": {"name": "bagline"}},
            {"secretRef": {"name": "bagline"}},
        ],
        "ports": [{"name": "health", "containerPort": HEALTH_PORT}],
        "livenessProbe": _probe("/healthz", 20, 3),
        "readinessProbe": _probe("/readyz", 10, 2),
        "startupProbe": _probe("/healthz", 2, 30),
        "resources": {
            "requests": {"cpu": "500m" if moves_bytes else "100m", "memory": asked},
            "limits": {"memory": most},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},
            {"name": "data", "mountPath": "/var/lib/bagline"},
        ],
    }
    if name in OWN_DATABASE:
        secret = {"secretKeyRef": {"name": "bagline-registry", "key": "database_url"}}
        container["env"] = [
            {"name": "BAGLINE_REGISTRY_URL", "value": ""},
            {"name": "BAGLINE_DATABASE_URL", "valueFrom": secret},
        ]
    pod = {
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "data", "emptyDir": {}}],
    }
    annotations = {"prometheus.io/scrape": "true", "prometheus.io/port": str(HEALTH_PORT)}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"bagline-{name}", "labels": labels},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "strategy": {"type": "Recreate" if name == ALONE else "RollingUpdate"},
            "template": {
                "metadata": {"labels": labels, "annotations": annotations},
                "spec": pod,
            },
        },
    }


def _autoscaler(step: Step) -> dict[str, Any]:
    """By the items due at the stage's topic: two waiting ones a worker."""
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": f"bagline-{step.name}"},
        "spec": {
            "scaleTargetRef": {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "name": f"bagline-{step.name}",
            },
            "minReplicas": 1,
            "maxReplicas": 20,
            "metrics": [
                {
                    "type": "External",
                    "external": {
                        "metric": {
                            "name": "bagline_queue_depth",
                            "selector": {"matchLabels": {"topic": step.topic, "state": "due"}},
                        },
                        "target": {"type": "AverageValue", "averageValue": "2"},
                    },
                }
            ],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 600}},
        },
    }


def _probe(path: str, period: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": "health"},
        "periodSeconds": period,
        "timeoutSeconds": 10,
        "failureThreshold": failures,
    }


class _Plain(yaml.SafeDumper):
    """Writes a thing that stands twice twice, instead of by reference."""

    def ignore_aliases(self, _: Any) -> bool:
        return True


def files() -> dict[str, str]:
    """Path below deploy/ → what belongs there."""
    options: dict[str, Any] = {"Dumper": _Plain, "sort_keys": False, "width": 100}
    return {
        "compose.yaml": MADE + yaml.dump(compose(), **options),
        "kubernetes/stages.yaml": MADE + yaml.dump_all(stages(), **options),
    }


if __name__ == "__main__":
    for path, text in files().items():
        (HERE / path).write_text(text, "utf-8")
