"""Another user of the machine, who has no key: what it gets out of ports, sockets and files.

Every act runs in a process of its own as `nobody`; only root can become somebody else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

NOBODY = 65534

ACT = """
import http.client, json, os, socket, ssl, stat, sys
import encodings.idna, encodings.latin_1  # all before: nobody may not read where Python lies
PREFACE = b"PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n" + bytes(3) + bytes([4]) + bytes(5)
os.setgroups([]); os.setgid({nobody}); os.setuid({nobody})
os.chdir("/")
{what}
"""

PLAIN = """
def answer(port):
    '''The first bytes of an answer to HTTP/2's preface and an empty SETTINGS frame.'''
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as sock:
            sock.settimeout(5)
            sock.sendall(PREFACE)
            return sock.recv(64).hex()
    except OSError as fault:
        return type(fault).__name__
print(json.dumps({port: answer(port) for port in ARGUMENTS}))
"""

WITHOUT_CERTIFICATE = """
def answer(port):
    '''What is answered over TLS by one who shows no certificate.'''
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as plain:
            plain.settimeout(5)
            with context.wrap_socket(plain) as sock:
                sock.sendall(PREFACE)
                return sock.recv(64).hex()
    except OSError as fault:
        return type(fault).__name__
print(json.dumps({port: answer(port) for port in ARGUMENTS}))
"""

ASK = """
def answer(method, port, path, body):
    status, said = 0, b""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path, body=body or None)
        got = connection.getresponse()
        status = got.status
        said = got.read(100_000)
    except (OSError, http.client.HTTPException) as fault:
        said = type(fault).__name__.encode()
    finally:
        connection.close()
    return [status, said.decode("latin-1")]
print(json.dumps([answer(*each) for each in ARGUMENTS]))
"""

OPEN = """
def opened(path):
    try:
        if stat.S_ISSOCK(os.stat(path).st_mode):
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(path)
                return "connected"
        if os.path.isdir(path):
            os.listdir(path)
            return "listed"
        with open(path, "rb") as file:
            file.read(1)
        return "read"
    except OSError as fault:
        return type(fault).__name__
print(json.dumps({path: opened(path) for path in ARGUMENTS}))
"""


def as_nobody(what: str, arguments: object) -> Any:
    """What the act prints, decoded. Skips where we are not root; in CI that fails."""
    if os.getuid() != 0:
        if os.environ.get("CI"):
            pytest.fail("the tests of another user's reach must run as root in CI")
        pytest.skip("only root can become another user; `sudo make test` runs this too")
    code = ACT.format(nobody=NOBODY, what=f"ARGUMENTS = json.loads(sys.argv[1])\n{what}")
    python = os.path.realpath(sys.executable)
    ended = subprocess.run(
        [python, "-I", "-S", "-c", code, json.dumps(arguments)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd="/",
        env={"PATH": os.defpath},
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def listening(pids: list[int]) -> dict[int, str]:
    """Every TCP port on which one of the processes listens → its address."""
    return {
        each.laddr.port: each.laddr.ip
        for pid in pids
        for each in psutil.Process(pid).net_connections("tcp")
        if each.status == psutil.CONN_LISTEN
    }


def sockets(pids: list[int]) -> list[str]:
    """The unix sockets that the processes hold and that have a name in the file system."""
    return sorted(
        {
            str(each.laddr)
            for pid in pids
            for each in psutil.Process(pid).net_connections("unix")
            if each.laddr and Path(str(each.laddr)).exists()
        }
    )
