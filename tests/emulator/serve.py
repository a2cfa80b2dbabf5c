"""Serves the emulated AWS: one process, loopback only, one port for all services.

    python3 tests/emulator/serve.py [--port 0] [--speed 0.01] [--until-stdin-closes]

Prints one line of JSON, `{"port": N, "pid": P}`, when it listens. Ends on SIGTERM and SIGINT, or when its standard input
closes.
"""

import argparse
import http.server
import json
import os
import pathlib
import signal
import socket
import sys
import threading
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

# AWS's own policies are made when first named (emulated/policies.py): all 1,300 take seconds.
os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "false"
# moto's 1,200 images: images are those of emulated/parameters.py.
os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
# moto reads its own copy of regions through boto3, which wants no configuration of the machine.
os.environ["AWS_CONFIG_FILE"] = os.devnull
os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
    os.environ.pop(name, None)


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection: requests one after another, each answered in one piece."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    rbufsize = 65536
    wbufsize = 0

    def log_message(self, *_):
        pass

    def _body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            parts = []
            while True:
                size = int(self.rfile.readline().split(b";")[0].strip() or b"0", 16)
                if size == 0:
                    while self.rfile.readline().strip():
                        pass
                    return b"".join(parts)
                parts.append(self.rfile.read(size))
                self.rfile.readline()
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _environ(self, body):
        import io

        path, _, query = self.path.partition("?")
        host = self.headers.get("Host", f"127.0.0.1:{self.server.server_port}")
        environ = {
            "REQUEST_METHOD": self.command,
            "SCRIPT_NAME": "",
            "PATH_INFO": urllib.parse.unquote_to_bytes(path).decode("latin-1"),
            "RAW_PATH": path,
            "RAW_URI": self.path,
            "REQUEST_URI": self.path,
            "QUERY_STRING": query,
            "SERVER_NAME": host.partition(":")[0],
            "SERVER_PORT": str(self.server.server_port),
            "SERVER_PROTOCOL": self.request_version,
            "REMOTE_ADDR": self.client_address[0],
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "CONTENT_LENGTH": str(len(body)),
        }
        for name, value in self.headers.items():
            key = name.upper().replace("-", "_")
            if key == "CONTENT_TYPE":
                environ["CONTENT_TYPE"] = value
            elif key not in ("CONTENT_LENGTH", "TRANSFER_ENCODING"):
                environ["HTTP_" + key] = value
        return environ

    def _answer(self):
        from werkzeug.wrappers import Request

        from emulated import app

        request = Request(self._environ(self._body()))
        request.max_form_memory_size = None
        try:
            status, headers, body = app.answer(request)
        except Exception:
            import traceback

            traceback.print_exc()
            status, headers, body = 500, {}, "emulator: see its standard error"
        if isinstance(body, str):
            body = body.encode()
        pairs = headers.items() if isinstance(headers, dict) else headers
        try:
            reason = http.HTTPStatus(int(status)).phrase
        except ValueError:
            reason = "Unknown"
        lines = [f"HTTP/1.1 {int(status)} {reason}"]
        bodiless = self.command == "HEAD" or int(status) in (204, 304)
        length = None
        for name, value in pairs:
            low = name.lower()
            if low == "content-length":
                length = value
            elif low not in ("connection", "transfer-encoding", "status"):
                lines.append(f"{name}: {value}")
        if not (self.command == "HEAD" and length is not None):
            length = len(body)
        if int(status) not in (204, 304):
            lines.append(f"Content-Length: {length}")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
        self.wfile.write(head if bodiless else head + body)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = do_OPTIONS = _answer

    def handle(self):
        try:
            super().handle()
        except (ConnectionError, TimeoutError):
            pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser(description="Serves the emulated AWS of forge's tests.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--speed", type=float, default=0.01)
    parser.add_argument("--until-stdin-closes", action="store_true")
    arguments = parser.parse_args()

    from emulated import app, settings, startup

    startup.prepare()
    settings.merge({"speed": arguments.speed})
    app.load()
    server = Server(("127.0.0.1", arguments.port), Handler)
    server.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def stop(*_):
        os._exit(0)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    if arguments.until_stdin_closes:

        def watch():
            while sys.stdin.buffer.read(65536):
                pass
            stop()

        threading.Thread(target=watch, daemon=True).start()
    threading.Thread(target=startup.warm, daemon=True).start()
    print(json.dumps({"port": server.server_port, "pid": os.getpid()}), flush=True)
    server.serve_forever(poll_interval=3600)


if __name__ == "__main__":
    main()
