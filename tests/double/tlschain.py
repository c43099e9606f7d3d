"""tlschain: the whole chain for scenario tests: a server, postern-tls, postern-smtpd and postern-tlsio, its
certificates and its users; and clients that speak TLS."""
import atexit
import contextlib
import os
import pathlib
import shutil
import ssl
import subprocess

import certs

from harness import BUILD, LIMIT, SMTPD, Client, Place, Tcpserver, await_that

HOST = "mx.example.net"
ANYBODY = "65534:65534"
USER, PASSWORD = "alice", "open sesame"
GATE = str(BUILD / "postern-tls")
GATE_NAME, TLSIO_NAME, SMTPD_NAME = "postern-tls", "postern-tlsio", "postern-smtpd"  # as the kernel has them


class Reachable:
    """Copies of the programs for the gate's user, which may not reach the build; only root needs them."""

    def __init__(self):
        self.place = Place()
        self.place.path.chmod(0o755)
        for program in BUILD.glob("postern-*"):
            shutil.copy(program, self.place.path)
        atexit.register(self.place.__exit__)

    def path_of(self, word):
        """The path of the copy, if the word is a program of the build; else the word."""
        return str(self.place.path / word.name) if (word := pathlib.Path(word)).parent == BUILD else str(word)


REACHABLE = Reachable() if os.geteuid() == 0 else None


def reachable(word):
    """The path of a program of the build for the gate's user."""
    return REACHABLE.path_of(word) if REACHABLE else str(word)


def gate(place, *options, program=(SMTPD,), path=GATE):
    """The gate's command line. Root has to name two users: here both are one, and the folder is given to it."""
    if REACHABLE and "-u" not in options:
        options = ("-u", ANYBODY, "-U", ANYBODY, *options)
        path, *program = map(REACHABLE.path_of, (path, *program))
        give(place.path)
    return (str(path), *options, *program)


def give(folder):
    """Gives the folder and all in it to the gate's user, where that is another user."""
    for path in (folder, *folder.rglob("*")) if REACHABLE else ():
        os.chown(path, int(ANYBODY.partition(":")[0]), -1, follow_symlinks=False)


class Chain(Tcpserver):
    """tcpserver in front of it. Options are the gate's."""

    def __init__(self, place, *options, program=(SMTPD,), path=GATE, **knobs):
        super().__init__(place, program=gate(place, *options, program=program, path=path), **knobs)

    def secure(self, context, name=HOST):
        """A client after STARTTLS and the handshake."""
        client = TlsClient(self.connect().sock)
        try:
            client.hello()
            client.starttls(context, name)
        except BaseException:
            client.close()
            raise
        return client

    def await_alone(self):
        """Until no process of any session is left."""
        await_that(lambda: not self.family(), f"no process left of {self.family()}")

    def events(self, event, **pairs):
        """Those that multilog has written so far."""
        with contextlib.suppress(FileNotFoundError):
            return self.log().events(event, **pairs)
        return []

    def await_event(self, event, **pairs):
        return await_that(lambda: self.events(event, **pairs), f"{event} {pairs}")[-1]


class TlsClient(Client):
    """A client that can go over to TLS. Its end of input is true only after close_notify."""

    is_tls = False

    def shake_hands(self, context, name=HOST):
        self.sock = context.wrap_socket(self.sock, server_hostname=name, suppress_ragged_eofs=False)
        self.is_tls = True

    def hello_again(self):
        return self.command("EHLO client.example", 250)

    def starttls(self, context, name=HOST):
        self.command("STARTTLS", 220)
        if self.buffer:
            raise AssertionError(f"behind the reply to STARTTLS: {self.buffer!r}")
        self.shake_hands(context, name)

    def auth(self, user=USER, password=PASSWORD, code=235):
        import base64
        return self.command(b"AUTH PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()), code)

    def quit(self):
        """221, close_notify, and nothing else."""
        self.command("QUIT", 221)
        left = self.rest()
        if left:
            raise AssertionError(f"after QUIT: {left!r}")
        self.close()


class Pki:
    """An authority and its certificates, in a folder of its own, all made once."""

    def __init__(self):
        self.place = Place()
        self.made = {}
        self.ca = self.make("ca", ca=True, issuer=None)

    def make(self, name, **how):
        """The pair of this name; made when first asked for. HOST's, unless `how` says otherwise."""
        if name not in self.made:
            how.setdefault("issuer", None if how.get("ca") else self.ca)
            how.setdefault("names", () if how.get("ca") else (HOST, "127.0.0.1"))
            self.made[name] = certs.make(self.place.path, name, **how)
        return self.made[name]

    def context(self, version=None, **settings):
        """A client's that trusts the authority."""
        context = certs.client_context()
        context.load_verify_locations(self.ca.cert)
        if version:
            context.minimum_version = context.maximum_version = version
        for name, value in settings.items():
            setattr(context, name, value)
        return context

    def knobs(self, name="ec", **how):
        pair = self.make(name, **how)
        give(self.place.path)
        return {"CERTFILE": str(pair.cert), "KEYFILE": str(pair.key)}

    def close(self):
        self.place.__exit__()


def users(place):
    """The knobs that let USER in with PASSWORD. The table is a real one, made by the real compiler."""
    hashed = subprocess.run(["openssl", "passwd", "-6", "-stdin"], input=PASSWORD.encode(), timeout=LIMIT,
                            stdout=subprocess.PIPE, check=True).stdout.decode()
    return {"CHECKPASSWORD": reachable(BUILD / "postern-checkpw"),
            "USERS": place.compile("users", f"{USER} {hashed}")}


def run(arguments, place, data=b"", code=0):
    """Runs a sender to its end; returns its output. Its temporary files and HOME are in this place only."""
    done = subprocess.run([str(a) for a in arguments], cwd=place.path, input=data, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=LIMIT, check=False,
                          env={"PATH": os.environ["PATH"], "HOME": str(place.path), "LC_ALL": "C"})
    if done.returncode != code:
        raise AssertionError(f"{arguments[0]}: exit code {done.returncode}: {done.stdout.decode(errors='replace')}")
    return done.stdout


def parent(pid):
    return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


