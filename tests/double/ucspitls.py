"""ucspitls: a double of a UCSPI-TLS server such as s6-ucspitlsd: it offers three descriptors to the program, and starts
"TLS" when it is asked; and others that are hostile, or broken.

Its TLS is a handshake of a few bytes, then every byte with some of its bits turned: enough to tell the inside from
plain text."""
import contextlib
import os
import select
import socket
import threading
import time

from harness import LIMIT, Session

HELLO, DONE = b"\x16hello", b"\x16done"
TURN = bytes(c ^ 0xa5 for c in range(256))
PROTOCOL, CIPHER, NAME = "TLSv1.3", "TLS_AES_256_GCM_SHA384", "mx.example.net"
FACTS = f"SSL_PROTOCOL={PROTOCOL}\0SSL_CIPHER={CIPHER}\0SSL_TLS_SNI_SERVERNAME={NAME}\0\0".encode()


def readable(sockets, until):
    return select.select(sockets, [], [], max(0, until - time.monotonic()))[0]


class Double(threading.Thread):
    """One server process and its descriptors. `network` is the connection, which the program has, too."""

    def __init__(self, network, behave):
        super().__init__(daemon=True)
        self.behave = behave
        self.network = network
        self.asked = None  # the byte, b"" where the program ended without one
        self.error = None
        self.make_channels()

    def make_channels(self):
        """The environment tells the numbers of the program's ends."""
        self.control, control = socket.socketpair()
        read, to_program = os.pipe()
        from_program, write = os.pipe()
        self.theirs = {"SSLCTLFD": control.detach(), "SSLREADFD": read, "SSLWRITEFD": write}
        self.to_program, self.from_program = to_program, from_program

    def begin(self):
        """The program was started, and has its ends."""
        for fd in set(self.theirs.values()):
            os.close(fd)
        self.start()

    def run(self):
        try:
            self.behave(self)
        except Exception as error:  # shown by end()
            self.error = error
        finally:
            self.close()

    def close(self):
        for fd in {self.to_program, self.from_program} - {None, self.control and self.control.fileno()}:
            os.close(fd)
        self.to_program = self.from_program = None
        if self.control:
            self.control.close()
        self.network.close()

    def end(self):
        self.join(LIMIT)
        if self.is_alive():
            raise AssertionError("the double of a TLS server does not end")
        if self.error:
            raise self.error

    # its steps

    def wait_for_ask(self):
        if not readable([self.control], time.monotonic() + LIMIT):
            raise AssertionError("neither asked nor left")
        self.asked = self.control.recv(1)
        return bool(self.asked)

    def shake_hands(self):
        got = b""
        until = time.monotonic() + LIMIT
        while len(got) < len(HELLO) and readable([self.network], until):
            more = self.network.recv(len(HELLO) - len(got))
            if not more:
                break
            got += more
        if got != HELLO:
            return False
        self.network.sendall(DONE)
        return True

    def carry(self):
        """Until the program has closed its end."""
        until, inputs = time.monotonic() + LIMIT, [self.network, self.from_program]
        while ready := readable(inputs, until):
            if self.network in ready:
                with contextlib.suppress(OSError):  # the program may be gone
                    if not self.take(inputs):
                        self.end_input(inputs)
            if self.from_program in ready and not self.give():
                with contextlib.suppress(OSError):
                    self.network.shutdown(socket.SHUT_WR)
                return
        raise AssertionError("a session without end")

    def take(self, inputs):
        try:
            data = self.network.recv(65536)
        except ConnectionError:
            data = b""
        view = memoryview(data.translate(TURN))
        while view:
            if self.from_program in readable([self.from_program], 0):
                self.give()
            view = view[os.write(self.to_program, view[:4096]):]
        return bool(data)

    def end_input(self, inputs):
        inputs.remove(self.network)
        if self.to_program == self.from_program:
            self.control.shutdown(socket.SHUT_WR)
        else:
            os.close(self.to_program)
            self.to_program = None

    def give(self):
        try:
            data = os.read(self.from_program, 65536)
        except ConnectionError:  # one socket, and the program left our bytes unread
            data = b""
        with contextlib.suppress(OSError):
            self.network.sendall(data.translate(TURN))
        return bool(data)


def polite(d, facts=FACTS):
    if d.wait_for_ask() and d.shake_hands():
        d.control.sendall(facts)
        d.carry()


def byte_by_byte(d):
    if d.wait_for_ask() and d.shake_hands():
        for i in range(len(FACTS)):
            d.control.sendall(FACTS[i:i + 1])
        d.carry()


def terse(d):
    """Tells nothing of the agreement."""
    polite(d, b"\0")


def boastful(d):
    """Tells many useless facts, and forged ones."""
    polite(d, b"PATH=/evil\0SSL_PROTOCOL=TLSv1.2\nevent=forged\0SSL_CIPHER=" + b"x" * 300 + b"\0" + b"y" * 5000 +
           b"\0SSL_CLIENT_CERT=" + b"z" * 200000 + b"\0\0")


def silent(d):
    """Is asked, and says nothing until the program has had enough."""
    if d.wait_for_ask():
        readable([d.control], time.monotonic() + LIMIT)


def hang_up(d):
    """The handshake fails."""
    d.wait_for_ask()


def hang_up_late(d):
    if d.wait_for_ask():
        d.control.sendall(FACTS[:-1])


def endless(d):
    """An answer of 300 KiB. The program may leave before its end."""
    if d.wait_for_ask():
        with contextlib.suppress(ConnectionError):
            d.control.sendall(b"SSL_PROTOCOL=TLSv1.3\0" + b"x=y\0" * 76800 + b"\0")


def garbage(d):
    """Bytes without an end, until the program has had enough."""
    if d.wait_for_ask():
        d.control.sendall(bytes(range(1, 256)) * 4)
        readable([d.control], time.monotonic() + LIMIT)


def hasty(d):
    """Has answered before it is asked, and before the program began."""
    readable([d.control], time.monotonic() + LIMIT)


def absent(d):
    """Has ended before anything was said."""
    d.control.close()


class OneSocket(Double):
    """All three descriptors are one socket, which brings both the answer and the connection's bytes."""

    def make_channels(self):
        self.control, theirs = socket.socketpair()
        fd = theirs.detach()
        self.theirs = dict.fromkeys(("SSLCTLFD", "SSLREADFD", "SSLWRITEFD"), fd)
        self.to_program = self.from_program = self.control.fileno()


class NoSocket(Double):
    """The control descriptor is a pipe."""

    def make_channels(self):
        super().make_channels()
        os.close(self.theirs["SSLCTLFD"])
        self.theirs["SSLCTLFD"], self.spare = os.pipe()

    def close(self):
        os.close(self.spare)
        super().close()


def eager(d):
    """The first bytes of the connection come together with the answer."""
    if d.wait_for_ask() and d.shake_hands() and readable([d.network], time.monotonic() + LIMIT):
        first = d.network.recv(65536)
        d.control.sendall(FACTS + first.translate(TURN))
        d.carry()


BEHAVIOURS = {name: (Double, run) for name, run in (
    ("polite", polite), ("byte-by-byte", byte_by_byte), ("terse", terse), ("boastful", boastful), ("silent", silent),
    ("hang-up", hang_up), ("hang-up-late", hang_up_late), ("endless", endless), ("garbage", garbage), ("hasty", hasty),
    ("absent", absent))}
BEHAVIOURS |= {"one-socket": (OneSocket, polite), "eager": (OneSocket, eager), "no-socket": (NoSocket, silent)}


class Inside:
    """For a client that can go inside: from the handshake on both ends turn their bytes."""

    inside = False

    def send(self, data):
        data = data.encode() if isinstance(data, str) else data
        super().send(data.translate(TURN) if self.inside else data)

    def recv(self):
        data = super().recv()
        return data.translate(TURN) if self.inside else data

    def tls(self):
        """Bytes from before the handshake's end must be no part of a reply."""
        if self.buffer:
            raise AssertionError(f"in plain text: {self.buffer!r}")
        self.sock.sendall(HELLO)
        got = b""
        while len(got) < len(DONE) and (more := self.sock.recv(len(DONE) - len(got))):
            got += more
        if got != DONE:
            raise AssertionError(f"no handshake: {got!r}")
        self.inside = True

    def starttls(self):
        """From the banner to the inside."""
        self.hello()
        self.command("STARTTLS", 220)
        self.tls()
        return self.command("EHLO client.example", 250)


class Gated(Inside, Session):
    """A session behind such a server."""

    def __init__(self, place, behave="polite", **options):
        self.double = None
        self.how = BEHAVIOURS[behave]
        super().__init__(place, **{"UCSPITLS": "", **options})

    def start(self, place, ends, before, knobs):
        make, behave = self.how
        self.double = make(socket.socket(fileno=os.dup(ends[0])), behave)
        self.inherit = set(self.double.theirs.values())
        if behave is hasty:
            self.double.control.sendall(FACTS)
        super().start(place, ends, before, {**self.double.theirs, **knobs})
        self.double.begin()
        if behave is absent:
            self.double.end()

    def __exit__(self, *_):
        super().__exit__()
        if self.double:
            self.double.end()
