"""A name server for all DNS lists, and a client that answers their questions while it talks to a server.

Both run in one loop of one process, so the time from an answer to a reply is taken by one clock."""

import heapq
import selectors
import socket
import struct
import time

from server import Failed

CLIENT = "192.0.2.7"  # the address that the lists are asked about
NAME = [b"7", b"2", b"0", b"192"]
ZONE = b"bench"
A, TXT = 1, 16
HIT = {A: socket.inet_aton("127.0.0.2"), TXT: b"\x10listed for bench"}


class NoPort(Exception):
    """Port 53 of 127.0.0.x is not to be had: it takes root, and no other server on all addresses."""


def zones(count):
    """The lists' names: l0.bench and so on."""
    return [f"l{n}.bench" for n in range(count)]


class NameServer:
    """With a NameServer, `address` answers on port 53 as `script` has it: script(list, type) is (seconds until the
    answer, whether it is a hit), or None for silence."""

    def __enter__(self):
        self.script = None
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        for last in range(53, 256):
            self.address = f"127.0.0.{last}"
            try:
                self.socket.bind((self.address, 53))
                self.reset()
                return self
            except OSError as trouble:
                reason = trouble
        self.socket.close()
        raise NoPort(f"cannot bind port 53: {reason.strerror}")

    def __exit__(self, *_):
        self.socket.close()

    def reset(self):
        """Forgets all questions: those of a session that has ended, read or not."""
        try:
            while self.socket.recv(512):
                pass
        except BlockingIOError:
            pass
        self.asked = []  # (list, type)
        self.sent = []  # (when, list, type)
        self.due = []

    def take(self):
        """Reads all questions there are."""
        while True:
            try:
                packet, client = self.socket.recvfrom(512)
            except BlockingIOError:
                return
            now = time.monotonic()
            zone, kind, end = _question(packet)
            self.asked.append((zone, kind))
            answer = self.script(zone, kind)
            if answer:
                delay, hit = answer
                reply = _answer(packet[:end], HIT[kind] if hit else None)
                heapq.heappush(self.due, (now + delay, len(self.asked), zone, kind, reply, client))

    def answer(self):
        """Sends the answers that are due. Seconds until the next is, or None."""
        while self.due:
            left = self.due[0][0] - time.monotonic()
            if left > 0:
                return left
            _, _, zone, kind, reply, client = heapq.heappop(self.due)
            self.sent.append((time.monotonic(), zone, kind))
            self.socket.sendto(reply, client)
        return None

    def times(self, kind):
        return [when for when, _, sent in self.sent if sent == kind]

    def check(self, kind, wanted):
        """Each of these lists was asked once for this, and no other."""
        asked = sorted(zone for zone, of in self.asked if of == kind)
        if asked != sorted(wanted):
            raise Failed(f"asked, not each of {len(wanted)} lists once: {' '.join(asked) or 'none'}")


def _question(packet):
    """(list, type, where the question ends) of a question about the client."""
    labels, at = [], 12
    while at < len(packet) and packet[at]:
        labels.append(packet[at + 1:at + 1 + packet[at]])
        at += 1 + packet[at]
    if labels[:4] != NAME or len(labels) != 6 or labels[5] != ZONE or len(packet) < at + 5:
        raise Failed(f"not a question about {CLIENT}: {packet!r}")
    kind, = struct.unpack(">H", packet[at + 1:at + 3])
    if kind not in HIT:
        raise Failed(f"a question of type {kind}")
    return f"{labels[4].decode()}.{ZONE.decode()}", kind, at + 5


def _answer(question, data):
    """The name's data, valid for a minute; without data: the name does not exist."""
    head = question[:2] + struct.pack(">BBHHHH", 0x85, 0x80 if data else 0x83, 1, 1 if data else 0, 0, 0)
    if data is None:
        return head + question[12:]
    return head + question[12:] + b"\xc0\x0c" + question[-4:] + struct.pack(">IH", 60, len(data)) + data


class Talk:
    """One session: `times` and `codes` of the replies to the banner and to each line, the last but QUIT's. The name
    server answers meanwhile, when there is one."""

    def __init__(self, port, lines=(), names=None):
        self.names, self.lines = names, [*lines]
        self.times, self.codes, self.buffer = [], [], b""
        if names:
            names.reset()
        with selectors.DefaultSelector() as self.selector:
            self.began = time.monotonic()
            with socket.create_connection(("127.0.0.1", port), 10) as self.socket:
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.selector.register(self.socket, selectors.EVENT_READ)
                if names:
                    self.selector.register(names.socket, selectors.EVENT_READ)
                self._converse()
                self._leave()

    def _converse(self):
        wanted = len(self.lines) + 1
        give_up = time.monotonic() + 10
        while len(self.codes) < wanted:
            left = self.names.answer() if self.names else None
            ready = {key.fileobj for key, _ in self.selector.select(1 if left is None else left)}
            if self.socket in ready:
                self._read()
            elif ready:
                self.names.take()
            if time.monotonic() > give_up:
                raise Failed(f"no reply after {self.codes}")

    def _read(self):
        now = time.monotonic()
        data = self.socket.recv(4096)
        if not data:
            raise Failed(f"connection closed after {self.codes}")
        *lines, self.buffer = (self.buffer + data).split(b"\n")
        for line in lines:
            if line[3:4] == b"-":
                continue
            self.times.append(now)
            self.codes.append(line[:3].decode("ascii", "replace"))
            if len(self.codes) <= len(self.lines):
                self.socket.sendall(self.lines[len(self.codes) - 1].encode() + b"\r\n")

    def _leave(self):
        """QUIT, and the end: the session is over, and asks nothing any more."""
        try:
            self.socket.sendall(b"QUIT\r\n")
            while self.socket.recv(4096):
                pass
        except ConnectionError:
            pass

    def expect(self, *codes):
        if self.codes != [*codes]:
            raise Failed(f"replies {' '.join(self.codes)} instead of {' '.join(codes)}")
