#!/usr/bin/env python3
"""The servers of record.sh: DNS, HTTP and echo, each on an IPv4 and an IPv6 address. Prints "ready" and runs until killed."""

import http.server
import socket
import socketserver
import struct
import threading

DNS = ("198.51.100.53", "2001:db8:53::53")
HTTP = ("198.51.100.80", "2001:db8:80::80")
ECHO = ("203.0.113.7", "2001:db8:7::7")
# What the DNS server knows: name -> (address for A, address for AAAA).
NAMES = {
    "www.example": HTTP,
    "echo.example": ECHO,
    "dns.example": DNS,
    "only4.example": ("198.51.100.44", None),
}


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def answer(query):
    """The response to a DNS query of one question; None for what is no query."""
    if len(query) < 17 or query[2] & 0x80:
        return None
    labels, at = [], 12
    while at < len(query) and query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode("ascii", "replace"))
        at += 1 + query[at]
    question = query[12 : at + 5]
    kind = struct.unpack("!H", query[at + 1 : at + 3])[0]
    known = NAMES.get(".".join(labels).lower())
    address = known and {1: known[0], 28: known[1]}.get(kind)
    data = address and socket.inet_pton(family(address), address)
    # Authoritative; NXDOMAIN for a name that is not there, no answer for a type that is not.
    flags = 0x8400 | (query[2] & 1) << 8 | (0 if known else 3)
    header = query[:2] + struct.pack("!HHHHH", flags, 1, 1 if data else 0, 0, 0)
    record = b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 300, len(data)) + data if data else b""
    return header + question + record


class Dns(socketserver.BaseRequestHandler):
    def handle(self):
        query, sock = self.request
        response = answer(query)
        if response:
            sock.sendto(response, self.client_address)


class UdpEcho(socketserver.BaseRequestHandler):
    def handle(self):
        data, sock = self.request
        sock.sendto(data, self.client_address)


class TcpEcho(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(data)


class Http(http.server.BaseHTTPRequestHandler):
    """GET /<n> gives n bytes of text; POST takes what it gets."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "example", ""

    def reply(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        path = self.path.strip("/")
        if not path.isdigit():
            self.reply(404, b"no such page\n")
            return
        line = b"All counted packets are equal, but some are longer than others.\n"
        size = min(int(path), 200_000)
        self.reply(200, (line * (size // len(line) + 1))[:size])

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.reply(201, b"%d bytes taken\n" % len(body))

    def log_message(self, *_):
        pass


def serve(kind, address, port, handler):
    server = type("Server", (kind,), {"address_family": family(address), "allow_reuse_address": True})
    running = server((address, port), handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()


def main():
    for address in DNS:
        serve(socketserver.ThreadingUDPServer, address, 53, Dns)
    for address in HTTP:
        serve(http.server.ThreadingHTTPServer, address, 80, Http)
    for address in ECHO:
        serve(socketserver.ThreadingUDPServer, address, 7, UdpEcho)
        serve(socketserver.ThreadingTCPServer, address, 7, TcpEcho)
    print("ready", flush=True)
    threading.Event().wait()


main()
