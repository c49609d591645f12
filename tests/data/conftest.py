"""Real files for tests of data: MNIST and CIFAR-10, where they are beside the project."""

import functools
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real files; tests that need it are skipped where it is not."""
    if not (SHARED / "mnist").is_dir():
        pytest.skip(f"there are no real files in {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def cifar10_folder(shared_data, tmp_path_factory):
    """A data home with CIFAR-10's six binary files: half a minute, for slow tests."""
    home = tmp_path_factory.mktemp("cifar10")
    script = shared_data / "make_cifar10_bin.py"
    subprocess.run([sys.executable, str(script), str(home)], check=True, timeout=300)
    return home


@pytest.fixture
def data_home(tmp_path, monkeypatch):
    """An empty data home of a test's own."""
    home = tmp_path / "home"
    monkeypatch.setenv("NNLAB_DATA", str(home))
    return home


class Server(ThreadingHTTPServer):
    """Serves files of a folder; what it is asked for, and how it misbehaves, can be told."""

    daemon_threads = True

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
        self.folder = folder
        self.asked = []
        """The path and the Range header of every request."""
        self.cuts = []
        """So many bytes are sent of the next answers, which are then cut."""
        self.ranges = True
        """Does it know Range?"""
        self.lengths = True
        """Does it say how long an answer is?"""

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        pass  # a client that leaves is no error


class Handler(SimpleHTTPRequestHandler):
    """Answers GET, with Range."""

    def do_GET(self):
        server, wanted = self.server, self.headers.get("Range")
        server.asked.append((self.path, wanted))
        path = server.folder / self.path.lstrip("/")
        if not path.is_file():
            self.send_error(404)
            return
        content, start = path.read_bytes(), 0
        if wanted and server.ranges:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        if server.lengths:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        cut = server.cuts.pop(0) if server.cuts else len(content)
        self.wfile.write(content[start:][:cut])
        self.close_connection = True

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(tmp_path):
    """A server on this machine, whose folder is empty."""
    folder = tmp_path / "served"
    folder.mkdir()
    with Server(folder) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.02,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()
