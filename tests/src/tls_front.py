"""Ends TLS in front of a plain server, for tests: one connection to the server behind for each connection that
completes its handshake, bytes passed both ways, an end of one side passed on as an end.

argv[1] is JSON: listen, behind (ports), cert, key; and where wanted ca (client certificates are demanded),
version ("1.2" or "1.3"), abrupt (the connection is closed without close_notify).
"""

import json
import select
import socket
import ssl
import sys
import threading

options = json.loads(sys.argv[1])
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(options["cert"], options["key"])
context.set_alpn_protocols(["http/1.1"])
if options.get("ca"):
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(options["ca"])
if options.get("version"):
    version = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[options["version"]]
    context.minimum_version = context.maximum_version = version

AGAIN = (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError)
MOST = 1 << 18


class Side:
    """One end of the bridge, and what waits to be written to it."""

    def __init__(self, sock):
        self.sock, self.waiting, self.ended = sock, bytearray(), False
        sock.setblocking(False)

    def read(self, into):
        """Passes on what there is to read; whether there was anything."""
        if self.ended or len(into.waiting) >= MOST:
            return False
        try:
            data = self.sock.recv(1 << 16)
        except AGAIN:
            return False
        self.ended = not data
        into.waiting += data
        return True

    def write(self):
        """Writes what waits; whether any of it went."""
        if not self.waiting:
            return False
        try:
            del self.waiting[: self.sock.send(self.waiting[: 1 << 16])]
        except AGAIN:
            return False
        return True


def bridge(sock):
    with context.wrap_socket(sock, server_side=True) as tls:
        behind = socket.create_connection(("127.0.0.1", options["behind"]))
        with behind:
            one, other = Side(tls), Side(behind)
            told = False
            while not (other.ended and not one.waiting):
                # Not lazily: each of them has to have its turn.
                moved = [one.read(other), other.read(one), one.write(), other.write()]
                if one.ended and not other.waiting and not told:
                    behind.shutdown(socket.SHUT_WR)
                    told = True
                if any(moved):
                    continue
                reading = [side.sock for side, to in ((one, other), (other, one)) if not side.ended and len(to.waiting) < MOST]
                writing = [side.sock for side in (one, other) if side.waiting]
                select.select(reading, writing, [])
            if not options.get("abrupt"):
                try:
                    tls.unwrap()
                except AGAIN:
                    pass
            # Whatever is left to read would turn the close into a reset.
            tls.shutdown(socket.SHUT_WR)


def serve(sock):
    try:
        bridge(sock)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr, flush=True)
    finally:
        sock.close()


with socket.create_server(("127.0.0.1", options["listen"]), backlog=256) as listener:
    while True:
        accepted, _ = listener.accept()
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=serve, args=(accepted,), daemon=True).start()
