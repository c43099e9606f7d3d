"""dnsserver: a DNS server that answers by a test's orders, truly or falsely, on a loopback address of its own.

tests/double/dnsserver.py '{"zone": {...}}' serves by itself, says its address, and ends with its standard input. The
keys are those of Zone."""
import dataclasses
import heapq
import json
import random
import selectors
import socket
import struct
import sys
import threading
import time

A, TXT = 1, 16
NOERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5
UDP_MAX = 512  # RFC 1035 4.2.1
PORT = 53  # libowfat's resolver knows no other


def loopback():
    """An address that no other process is likely to have taken."""
    return "127.%d.%d.%d" % tuple(random.randint(1, 254) for _ in range(3))


def why_not():
    """Why no server can be had here; None: it can."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((loopback(), PORT))
    except OSError as error:
        return f"port {PORT} of a loopback address: {error.strerror}; run as root, or under unshare -rn"
    return None


def reverse(address):
    """The name of an address in a list, by the RFC's words and not by our code."""
    if ":" not in address:
        return ".".join(reversed(address.split(".")))
    return ".".join(reversed(socket.inet_pton(socket.AF_INET6, address).hex()))


@dataclasses.dataclass
class Zone:
    """The answers to questions about one zone."""
    hosts: dict = dataclasses.field(default_factory=dict)  # client's address, or name: address or several
    text: str = None   # of all listed addresses
    world: str = None  # the answer for everything else
    code: int = None   # instead of an answer
    silent: bool = False
    drop: int = 0      # so many questions are not heard
    delay: float = 0   # seconds
    truncate: bool = False  # over UDP, even short answers
    tcp: str = "answer"     # or: close, part (of an answer), truncate, dribble (octet by octet)
    spoof: tuple = ()       # sent before the answer: id, name, type, port, garbage
    alone: bool = True      # False: nothing is answered before every such zone has been asked
    asked: int = 0

    def addresses(self, name):
        for host, found in self.hosts.items():
            if name in (host.lower(), reverse(host) if ":" in host or host[0].isdigit() else ""):
                return [found] if isinstance(found, str) else list(found)
        return [self.world] if self.world else []


@dataclasses.dataclass
class Question:
    name: str
    type: int
    id: int
    port: int
    over: str


def pack_name(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def unpack_name(packet):
    """The name asked about, and where it ends."""
    at, labels = 12, []
    while packet[at]:
        labels.append(packet[at + 1:at + 1 + packet[at]].decode())
        at += 1 + packet[at]
    return ".".join(labels), at + 1


def unpack(packet):
    """id, name, type of a question."""
    number, flags, count = struct.unpack_from("!HHH", packet)
    name, at = unpack_name(packet)
    kind, klass = struct.unpack_from("!HH", packet, at)
    if (flags, count, klass, at + 4) != (0x0100, 1, 1, len(packet)):
        raise ValueError(f"not a question: {packet!r}")
    return number, name, kind


def pack(number, name, kind, addresses=(), text=None, code=NOERROR, truncated=False):
    records = []
    if kind == A:
        records = [socket.inet_aton(address) for address in addresses]
    elif kind == TXT and addresses and text is not None:
        parts = [text[i:i + 255].encode("latin-1") for i in range(0, len(text), 255)] or [b""]
        records = [b"".join(bytes([len(part)]) + part for part in parts)]
    head = struct.pack("!HHHHHH", number, 0x8180 | truncated << 9 | code, 1, len(records), 0, 0)
    question = pack_name(name) + struct.pack("!HH", kind, 1)
    return head + question + b"".join(struct.pack("!HHHIH", 0xc00c, kind, 1, 60, len(data)) + data for data in records)


class Server:
    """Serves zones from a thread of its own, until the end of the with block. `questions` has all that came."""

    def __init__(self, **zones):
        self.zones = {name.replace("_", "."): zone for name, zone in zones.items()}
        self.questions = []
        self.due = []   # (when, count, action)
        self.held = []
        self.streams = set()
        self.open()
        self.wake, self.waker = socket.socketpair()
        self.selector = selectors.DefaultSelector()
        for sock, act in ((self.udp, self.take_udp), (self.tcp, self.accept), (self.wake, None)):
            self.selector.register(sock, selectors.EVENT_READ, act)
        self.thread = threading.Thread(target=self.serve, daemon=True)

    def open(self):
        for _ in range(20):
            self.address = loopback()
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                self.udp.bind((self.address, PORT))
                self.tcp.bind((self.address, PORT))
                self.tcp.listen(64)
                return
            except OSError:
                self.udp.close()
                self.tcp.close()
        raise RuntimeError(why_not() or "no address could be had")

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.waker.close()
        self.thread.join(60)
        for sock in (self.udp, self.tcp, self.wake, *self.streams):
            sock.close()
        self.selector.close()

    def serve(self):
        while True:
            wait = max(0, self.due[0][0] - time.monotonic()) if self.due else None
            for key, _ in self.selector.select(wait):
                if key.fileobj is self.wake:
                    return
                key.data(key.fileobj)
            while self.due and self.due[0][0] <= time.monotonic():
                heapq.heappop(self.due)[2]()

    def take_udp(self, sock):
        packet, peer = sock.recvfrom(65536)
        self.take(packet, peer, "udp", lambda data: sock.sendto(data, peer))

    def accept(self, sock):
        stream, _ = sock.accept()
        self.streams.add(stream)
        self.selector.register(stream, selectors.EVENT_READ, self.take_tcp)

    def take_tcp(self, stream):
        """The question is small and comes in one piece."""
        data = stream.recv(65536)
        if len(data) < 2:
            self.close(stream)
            return
        self.take(data[2:], stream.getpeername(), "tcp", lambda answer: self.put_tcp(stream, answer))

    def put_tcp(self, stream, answer):
        how = self.zone(unpack_name(answer)[0]).tcp
        data = struct.pack("!H", len(answer)) + answer
        if how == "close":
            self.close(stream)
        elif how == "part":
            stream.sendall(data[:-1])
        elif how == "dribble":
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for octet in data:
                stream.sendall(bytes([octet]))
        else:
            stream.sendall(data)

    def close(self, stream):
        self.selector.unregister(stream)
        self.streams.discard(stream)
        stream.close()

    def zone(self, name):
        return next((zone for suffix, zone in self.zones.items() if name.lower().endswith("." + suffix.lower())), None)

    def take(self, packet, peer, over, send):
        number, name, kind = unpack(packet)
        self.questions.append(Question(name, kind, number, peer[1], over))
        zone = self.zone(name)
        if not zone:
            send(pack(number, name, kind, code=NXDOMAIN))
            return
        zone.asked += 1
        if zone.silent or zone.asked <= zone.drop:
            return
        act = lambda: self.answer(zone, number, name, kind, over, peer, send)
        if zone.alone:
            heapq.heappush(self.due, (time.monotonic() + zone.delay, len(self.questions), act))
            return
        self.held.append(act)
        if all(other.asked for other in self.zones.values() if not other.alone):
            for one in self.held:
                one()
            self.held = []

    def answer(self, zone, number, name, kind, over, peer, send):
        prefix = name.lower()[:-len(next(s for s, z in self.zones.items() if z is zone)) - 1]
        addresses = zone.addresses(prefix)
        code = zone.code if zone.code is not None else NOERROR if addresses else NXDOMAIN
        lie = ["127.0.0.2"]
        for spoof in zone.spoof if over == "udp" else ():
            if spoof == "port":
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                    other.bind((self.address, 0))
                    other.sendto(pack(number, name, kind, lie), peer)
                continue
            send({"id": lambda: pack(number ^ 1, name, kind, lie),
                  "name": lambda: pack(number, "x" + name[1:], kind, lie),
                  "type": lambda: pack(number, name, kind ^ 17, lie),
                  "garbage": lambda: random.randbytes(40)}[spoof]())
        answer = pack(number, name, kind, addresses, zone.text, code)
        if over == "udp" and (zone.truncate or len(answer) > UDP_MAX) or over == "tcp" and zone.tcp == "truncate":
            answer = pack(number, name, kind, truncated=True)
        send(answer)


def main():
    zones = {name: Zone(**keys) for name, keys in json.loads(sys.argv[1]).items()}
    with Server() as server:
        server.zones.update(zones)
        print(server.address, flush=True)
        sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
