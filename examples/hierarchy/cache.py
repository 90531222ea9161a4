"""A toy cache: python3 cache.py PORT. It answers every path with its own port, and /health with 200."""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Cache(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        text = f"{self.path} from the cache at {self.server.server_port}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Cache).serve_forever()
