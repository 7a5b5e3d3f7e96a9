"""Servers on loopback. Each is a context manager that yields its port."""

import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import requests

HOST = "127.0.0.1"


@contextmanager
def s3(bucket: str) -> Iterator[int]:
    """Moto's S3, with a bucket. It accepts any key."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(HOST, port=0, verbose=False)
    server.start()
    try:
        _, port = server.get_host_and_port()
        requests.put(f"http://{HOST}:{port}/{bucket}", timeout=10).raise_for_status()
        yield port
    finally:
        server.stop()


@contextmanager
def webdav(folder: Path, user: str, password: str) -> Iterator[int]:
    """WsgiDAV, which serves `folder` to one user."""
    from cheroot.wsgi import Server
    from wsgidav.wsgidav_app import WsgiDAVApp

    users = {user: {"password": password}}
    application = WsgiDAVApp(
        {
            "provider_mapping": {"/": str(folder)},
            "simple_dc": {"user_mapping": {"*": users}},
            "verbose": 0,
        }
    )
    server = Server((HOST, 0), application)
    server.prepare()
    thread = Thread(target=server.serve)
    thread.start()
    try:
        yield server.bind_addr[1]
    finally:
        server.stop()
        thread.join()


@contextmanager
def sftp(program: str, folder: Path) -> Iterator[int]:
    """OpenSSH's server, for SFTP alone, run by the user of the tests, whose `key` is in `folder`.

    `program` is an absolute path, by which sshd starts itself again for each connection.
    """
    for name in ("host_key", "key"):
        subprocess.run(
            ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name), check=True
        )
    with socket.create_server((HOST, 0)) as free:
        port: int = free.getsockname()[1]
    settings = {
        "ListenAddress": f"{HOST}:{port}",
        "HostKey": folder / "host_key",
        "AuthorizedKeysFile": folder / "key.pub",
        "AuthenticationMethods": "publickey",
        "StrictModes": "no",  # the temporary folder's parent is writable for all
        "PidFile": "none",
        "Subsystem": "sftp internal-sftp",
        "ForceCommand": "internal-sftp",
    }
    config = folder / "sshd_config"
    config.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    log = folder / "sshd.log"
    server = subprocess.Popen((program, "-D", "-f", config, "-E", log))
    try:
        while not _listens(port):
            assert server.poll() is None, log.read_text()
            time.sleep(0.05)
        yield port
    finally:
        server.terminate()
        server.wait()


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex((HOST, port)) == 0


@contextmanager
def json_server(answer: Callable[[str, Any], object]) -> Iterator[int]:
    """Answers each POST with what `answer` makes of its path and its JSON."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            answered = json.dumps(answer(self.path, json.loads(self.rfile.read(length)))).encode()
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Length", str(len(answered)))
            self.end_headers()
            self.wfile.write(answered)

        def log_message(self, *_: object) -> None:
            """Prints nothing."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
