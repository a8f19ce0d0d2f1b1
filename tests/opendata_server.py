"""A web server on this machine that answers as those of ATLAS Open Data do.

opendata_metadata.json is a record, in the form in which the server sends it. Of 2020: the published
table of the release (metadata_2020e_13tev.csv) and the names of its files. Of 2025: the names of
its files, and the cross-sections, factors and sums of weights that atlasopenmagic gives for the
same simulation in 2024r-pp, one or two datasets of each process; for 410470 the two releases were
seen to agree.
"""

import json
import re
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

RECORD = Path(__file__).parent / "opendata_metadata.json"
EOS = "root://eospublic.cern.ch:1094//eos"


def record():
    """{release: its datasets}."""
    return json.loads(RECORD.read_text())


class Server:
    """What it answers can be changed while it runs.

    Attributes:
        releases: {name: datasets}, as in the record
        files: {name: bytes}
        nonsense: text that it sends instead of metadata
        status: code that it sends instead of everything, 0 for none
        patience: bytes of files after which it hangs up, one number for each request to come
        ranges: whether it can begin in the middle of a file
        digest: function that makes the checksum it sends of bytes, None for none
        asked: [(path, first byte)] of the files that it was asked for
    """

    def __init__(self):
        self.releases, self.files, self.patience, self.asked = record(), {}, [], []
        self.nonsense, self.status, self.ranges = "", 0, True
        self.digest = lambda content: f"adler32={zlib.adler32(content):08x}"
        handler = type("Handler", (Handler,), {"home": self})
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()

    def here(self):
        """Let the metadata name this server for all files."""
        text = json.dumps(self.releases).replace(EOS, f"{self.url}/eos")
        self.releases = json.loads(text)
        return self

    def dataset(self, release, number):
        """The description of a dataset, which may be changed."""
        found = [d for d in self.releases[release] if d["dataset_number"] == str(number)]
        return found[0]


class Handler(BaseHTTPRequestHandler):
    home = None
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, content, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self):  # noqa: N802
        home, parts = self.home, urlsplit(self.path)
        if home.status:
            return self.reply(home.status, b"no")
        if parts.path.startswith("/datasets"):
            if home.nonsense:
                return self.reply(200, home.nonsense.encode())
            words = parse_qs(parts.query)
            datasets = home.releases.get(words["release_name"][0], [])
            if parts.path == "/datasets/count":
                return self.reply(200, json.dumps({"count": len(datasets)}).encode())
            begin, most = int(words["skip"][0]), int(words["limit"][0])
            return self.reply(200, json.dumps(datasets[begin : begin + most]).encode())
        return self.file(parts.path.rpartition("/")[2])

    def file(self, name):
        home = self.home
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        begin = int(wanted[1]) if wanted and home.ranges else 0
        home.asked.append((name, begin))
        content = home.files.get(name)
        if content is None:
            return self.reply(404, b"")
        if begin >= len(content) > 0:
            return self.reply(416, b"", Content_Range=f"bytes */{len(content)}")
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        if home.digest:
            self.send_header("Digest", home.digest(content))
        self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        most = home.patience.pop(0) if home.patience else len(content)
        self.wfile.write(content[begin : begin + most])
        if most < len(content) - begin:
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()
