"""The whole chain with real parts: a server, postern-tls, postern-smtpd, postern-tlsio; and real clients."""
import contextlib
import ctypes
import os
import pathlib
import pwd
import random
import re
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import unittest

import certs
import postfix
import tlschain
from harness import BUILD, IS_ASAN, LIMIT, SMTPD, Place, SocketActivate, await_that, body_of, resident
from postfix import Postfix
from tlschain import GATE, HOST, PASSWORD, SMTPD_NAME, TLSIO_NAME, USER, Chain, Pki, TlsClient, gate, run

PKI = None
TLS1_2, TLS1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
PATIENT = {"TIMEOUT": "300", "SESSION_TIMEOUT": "600"}  # a process left behind stays longer than LIMIT


def setUpModule():
    global PKI
    PKI = Pki()


def tearDownModule():
    PKI.close()


TEXT = b"Subject: text\nFrom: a@example.org\nTo: b@example.com\n\nfirst\n.\n..\n.dot\n\nlast\n"
ON_THE_WIRE = TEXT.replace(b"\n", b"\r\n").replace(b"\r\n.", b"\r\n..")
MESSAGE = "Subject: text\r\n\r\nshort\r\n"

RECEIVED = re.compile(rb"\nReceived: from (\S+) .*\n\tby \S+ with (\S+)\n\t\(tls=(\S+) cipher=(\S+)\) id ")


class ChainCase(unittest.TestCase):
    """One chain for each test that asks for it, looked through at its end."""

    def chain(self, *options, cert="ec", **knobs):
        place = self.enterContext(Place())
        knobs = {**(PKI.knobs(cert) if cert else {}), **PATIENT, **knobs}
        return self.enterContext(Chain(place, *options, **knobs))

    def tls(self, server, version=None, **settings):
        return self.cleaned(server.secure(PKI.context(version, **settings)))

    def plain(self, server):
        return self.cleaned(TlsClient(server.connect().sock))

    def cleaned(self, client):
        self.addCleanup(client.close)
        return client

    def begin_data(self, client, data=b"Subject: begun\r\n\r\nand never ended\r\n"):
        client.command("MAIL FROM:<a@example.org>", 250)
        client.command("RCPT TO:<b@example.com>", 250)
        client.command("DATA", 354)
        client.send(data)

    def assert_stored(self, server, count, leftovers=True):
        self.assertEqual(len(server.place.messages()), count)
        if leftovers:
            self.assertEqual(server.place.leftovers(), [])

    def pid_of(self, server, name):
        """Of the only session's process of this name."""
        return await_that(lambda: [p for p, n in server.family().items() if n == name], name)[0]


# Postfix
# ---------------------------------------------------------------------------------------------------------

SECURE = f"smtp_tls_security_level = secure\nsmtp_tls_secure_cert_match = {HOST}\nsmtp_tls_servername = {HOST}\n"
SASL = f"""smtp_sasl_auth_enable = yes
smtp_sasl_security_options = noanonymous
smtp_sasl_password_maps = inline:{{ {{ [127.0.0.1]:PORT = {USER}:{PASSWORD} }} }}
"""


@unittest.skipIf(postfix.reason_to_skip(), postfix.reason_to_skip())
class PostfixSends(ChainCase):
    """smtp(8), from a queue: the queue's log shows its reading of the replies."""

    def send(self, main, **knobs):
        server = self.chain(**knobs)
        head = f"relayhost = [127.0.0.1]:{server.port}\nsmtp_tls_CAfile = {PKI.ca.cert}\n"
        with Postfix(server.place, head + main.replace("PORT", str(server.port))) as sender:
            sender.send(TEXT, "a@example.org", "b@example.com")
            self.said = sender.log_line("postfix/smtp", "status=")
            self.trust = [line.partition(": ")[2] for line in sender.log() if "TLS connection established" in line]
        server.stop()
        self.log = server.log()
        return server.place

    def assert_arrived(self, place, protocol, trust):
        self.assertIn("status=sent (250 2.0.0 Ok", self.said)
        [message] = place.messages().values()
        self.assertTrue(message.endswith(TEXT[TEXT.index(b"\n\n"):]), message)
        event = self.log.one("tls")
        found = RECEIVED.search(message)
        self.assertEqual([x.decode() for x in found.groups()],
                         ["client.example", protocol, event["tls"], event["cipher"]])
        self.assertEqual(len(self.trust), 1)
        self.assertRegex(self.trust[0], rf"^{trust} TLS connection established to 127.0.0.1\[127.0.0.1\]:\d+: "
                                        rf"{event['tls']} with cipher {event['cipher']} ")
        self.assertEqual(self.log.one("close")["reason"], "quit")

    def test_may(self):
        self.assert_arrived(self.send("smtp_tls_security_level = may\n"), "ESMTPS", "Trusted")

    def test_encrypt_tls_1_2_rsa(self):
        main = "smtp_tls_security_level = encrypt\nsmtp_tls_mandatory_protocols = TLSv1.2\n"
        place = self.send(main, **PKI.knobs("rsa", kind="rsa"))
        self.assert_arrived(place, "ESMTPS", "Trusted")
        self.assertEqual(self.log.one("tls")["tls"], "TLSv1.2")

    def test_secure(self):
        place = self.send(SECURE, UCSPITLS="!")
        self.assert_arrived(place, "ESMTPS", "Verified")
        self.assertEqual((self.log.one("tls")["tls"], self.log.one("tls")["name"]), ("TLSv1.3", HOST))

    def test_secure_refuses_a_stranger(self):
        pair = PKI.make("stranger", names=("stranger.example",))
        place = self.send(SECURE, CERTFILE=str(pair.cert), KEYFILE=str(pair.key))
        self.assertIn("status=deferred (Server certificate not verified)", self.said)
        self.assertEqual(place.stored(), {})

    def test_implicit(self):
        server = self.chain("-i")
        main = (f"relayhost = [127.0.0.1]:{server.port}\nsmtp_tls_CAfile = {PKI.ca.cert}\n"
                f"smtp_tls_wrappermode = yes\n{SECURE}")
        with Postfix(server.place, main) as sender:
            sender.send(TEXT, "a@example.org", "b@example.com")
            self.assertIn("status=sent", sender.log_line("postfix/smtp", "status="))
            sender.log_line("Verified TLS connection established")
        self.assert_stored(server, 1)

    def test_sasl(self):
        with Place() as place:
            knobs = tlschain.users(place)
            domains = place.compile("domains", "elsewhere.example\n")
            knobs.update(USERS=str(place.path / knobs["USERS"]), DOMAINS=str(place.path / domains))
            tlschain.give(place.path)
            sent = self.send(SECURE + SASL, **knobs)
        self.assert_arrived(sent, "ESMTPSA", "Verified")
        self.assertEqual(self.log.one("auth")["user"], USER)
        self.assertEqual(self.log.one("message")["user"], USER)


# Other clients
# ---------------------------------------------------------------------------------------------------------

class Clients(ChainCase):
    """Each client sends a message to a foreign domain, as only a known user may."""

    server_kind, options, implicit = Chain, (), False

    @classmethod
    def setUpClass(cls):
        cls.place = Place()
        knobs = {**PKI.knobs(), **tlschain.users(cls.place), "MAXMSGS": "0",
                 "DOMAINS": cls.place.compile("domains", "example.com\n")}
        cls.server = cls.start(knobs)
        cls.seen = {}

    @classmethod
    def start(cls, knobs):
        return Chain(cls.place, *cls.options, **knobs)

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        log, stored, leftovers = cls.server.log(), len(cls.place.messages()), cls.place.leftovers()
        said = b"".join(path.read_bytes() for path in cls.place.path.glob("log/*"))
        cls.place.__exit__()
        sessions = len(log.events("connect"))
        assert stored == len(log.events("message", verdict="accept")), "each message is logged once"
        assert len(log.events("tls")) == len(log.events("auth", user=USER)) == sessions, "each session's TLS and user"
        assert len(log.events("close", reason="quit")) == sessions, [e["reason"] for e in log.events("close")]
        assert PASSWORD.encode() not in said, "no password in the log"
        # smtplib and swaks close without close_notify, when they have heard 221: that is no news.
        assert not [e for kind in ("trouble", "early", "gate", "tlsio") for e in log.events(kind)], log
        assert not leftovers, leftovers

    def fresh(self, name):
        """The one message that has come, from a client that gave this name."""
        now = self.place.messages()
        [message] = [data for file, data in now.items() if file not in self.seen]
        type(self).seen = now
        found = RECEIVED.search(message)
        self.assertEqual((found[1].decode(), found[2]), (name, b"ESMTPSA"))
        self.assertIn(found[3], (b"TLSv1.2", b"TLSv1.3"))
        self.assertIn(b"\nX-Postern-Mode: relay\n", message)
        return message

    @property
    def address(self):
        return f"127.0.0.1:{self.server.port}"

    def test_openssl(self):
        how = () if self.implicit else ("-starttls", "smtp", "-name", "first.example")
        command = ["openssl", "s_client", "-connect", self.address, "-quiet", "-CAfile", PKI.ca.cert,
                   "-verify_return_error", "-verify_hostname", HOST, "-servername", HOST, *how]
        errors = self.place.path / "s_client"
        with errors.open("wb") as to, subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                                       stderr=to) as process:
            client = TlsClient(reader=os.dup(process.stdout.fileno()), writer=os.dup(process.stdin.fileno()))
            process.stdin.close()
            try:
                if self.implicit:
                    client.expect(220)
                client.command("EHLO openssl.example", 250)
                client.auth()
                client.mail(ON_THE_WIRE, to=("b@elsewhere.example",))
                client.quit()
            finally:
                client.close()
                process.terminate()
        self.assertEqual(body_of(self.fresh("openssl.example")), TEXT, errors.read_text())

    def test_swaks(self):
        self.place.write("eml", TEXT)
        for mechanism in ("PLAIN", "LOGIN"):
            run(["swaks", "--server", "127.0.0.1", "--port", self.server.port, "--helo", "swaks.example",
                 "--tlsc" if self.implicit else "--tls", "--tls-verify", "--tls-ca-path", PKI.ca.cert,
                 "--auth", mechanism, "--auth-user", USER, "--auth-password", PASSWORD,
                 "--from", "a@example.org", "--to", "b@elsewhere.example", "--data", "@eml"], self.place)
            self.assertEqual(body_of(self.fresh("swaks.example")).rstrip(b"\n"), TEXT.rstrip(b"\n"))

    def test_curl(self):
        self.place.write("eml", TEXT.replace(b"\n", b"\r\n"))
        url = f"{'smtps' if self.implicit else 'smtp'}://{HOST}:{self.server.port}/curl.example"
        for mechanism in ("PLAIN", "LOGIN"):
            run(["curl", "-sS", "--ssl-reqd", url, "--resolve", f"{HOST}:{self.server.port}:127.0.0.1",
                 "--cacert", PKI.ca.cert, "--user", f"{USER}:{PASSWORD}", "--login-options", f"AUTH={mechanism}",
                 "--mail-from", "a@example.org", "--mail-rcpt", "b@elsewhere.example", "--upload-file", "eml"],
                self.place)
            self.assertEqual(body_of(self.fresh("curl.example")), TEXT)

    def test_msmtp(self):
        for mechanism in ("plain", "login"):
            run(["msmtp", "--host=127.0.0.1", f"--port={self.server.port}", "--domain=msmtp.example", "--tls=on",
                 f"--tls-starttls={'off' if self.implicit else 'on'}", f"--tls-trust-file={PKI.ca.cert}",
                 f"--auth={mechanism}", f"--user={USER}", f"--passwordeval=echo '{PASSWORD}'",
                 "--from=a@example.org", "b@elsewhere.example"], self.place, TEXT)
            self.assertTrue(body_of(self.fresh("msmtp.example")).endswith(TEXT))  # it adds Date and Message-ID

    def test_smtplib(self):
        for version in (TLS1_2, TLS1_3):
            context = PKI.context(version)
            kind, more = (smtplib.SMTP_SSL, {"context": context}) if self.implicit else (smtplib.SMTP, {})
            with kind("127.0.0.1", self.server.port, "smtplib.example", timeout=LIMIT, **more) as client:
                if not self.implicit:
                    self.assertFalse(client.ehlo()[0] == 250 and client.has_extn("auth"))
                    client.starttls(context=context)
                client.login(USER, PASSWORD)
                client.sendmail("a@example.org", ["b@elsewhere.example"],
                                TEXT.replace(b"\n", b"\r\n"))
            self.assertEqual(body_of(self.fresh("smtplib.example")), TEXT)


class StarttlsByTcpserver(Clients):
    pass


class ImplicitByTcpserver(Clients):
    options, implicit = ("-i",), True


class StarttlsBySystemd(Clients):
    @classmethod
    def start(cls, knobs):
        return SocketActivate(cls.place, program=gate(cls.place), **knobs)


del Clients  # a base only


# Handshakes
# ---------------------------------------------------------------------------------------------------------

class Handshakes(ChainCase):
    def test_versions_and_keys(self):
        for name, kind, server_says in (("ec", "ec", "ECDSA"), ("rsa", "rsa", "RSA")):
            server = self.chain(**PKI.knobs(name, kind=kind))
            for version in (TLS1_2, TLS1_3):
                with self.subTest(kind=kind, version=version.name):
                    client = self.tls(server, version)
                    protocol, cipher = client.sock.version(), client.sock.cipher()[0]
                    self.assertEqual(protocol.replace(".", "_"), version.name)
                    if version == TLS1_2:
                        self.assertIn(f"ECDHE-{server_says}-", cipher)
                    client.hello_again()
                    client.mail(MESSAGE)
                    client.quit()
                    server.await_event("tls", tls=protocol, cipher=cipher)
                    server.await_event("message", tls=protocol, cipher=cipher, verdict="accept")
            found = [RECEIVED.search(m).groups()[1:3] for m in server.place.messages().values()]
            self.assertEqual(found, [(b"ESMTPS", b"TLSv1.2"), (b"ESMTPS", b"TLSv1.3")])

    def test_only_1_3(self):
        server = self.chain(TLS_MIN="1.3")
        with self.assertRaises(ssl.SSLError):
            self.tls(server, TLS1_2)
        self.assertEqual(self.tls(server).sock.version(), "TLSv1.3")
        server.await_event("tlsio", step="handshake", error="unsupported protocol")

    def test_server_names(self):
        """A folder for a name; another kind of key in it; and the default for other names, and for none."""
        with Place() as live:
            certs.put(live.path, "other.example", PKI.make("other", names=("other.example",), kind="rsa"))
            tlschain.give(live.path)
            server = self.chain("-i", CERTDIR=str(live.path))
            for asked, given in (("other.example", "other.example"), ("OTHER.example", "other.example"),
                                 (HOST, HOST), ("third.example", HOST), (None, HOST)):
                with self.subTest(asked=asked):
                    client = self.plain(server)
                    client.shake_hands(PKI.context(check_hostname=False), asked)
                    names = [name for _, name in client.sock.getpeercert()["subjectAltName"]]
                    self.assertIn(given, names)
                    client.hello()
                    client.quit()
            server.stop()
            said = [e.get("name") for e in server.log().events("tls")]
            self.assertEqual([n and n.lower() for n in said],
                             ["other.example", "other.example", HOST, "third.example", None])

    def test_byte_by_byte(self):
        """Each byte of the handshake a packet of its own; other sessions go on meanwhile."""
        server = self.chain()
        slow, other = self.plain(server), self.tls(server)
        slow.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        slow.hello()
        slow.command("STARTTLS", 220)
        hands = Hands(slow.sock)
        for sent in hands.bytes():
            slow.sock.send(sent)
            if hands.count == 100:
                other.hello_again()
                other.mail(MESSAGE)
                other.quit()
        self.assertGreater(hands.count, 100)
        self.assertEqual(hands.ask(b"EHLO slow.example\r\n")[:4], b"250-")
        self.assert_stored(server, 1)

    def test_stops_half_way(self):
        """A client that falls silent holds up no other, and leaves nothing behind when it is gone."""
        server = self.chain(UCSPITLS="!")
        stuck = []
        for n in (0, 1, 5, 100):
            client = self.plain(server)
            client.hello()
            client.command("STARTTLS", 220)
            client.sock.send(Hands(client.sock).hello()[:n])
            stuck.append(client)
        other = self.tls(server)
        other.hello_again()
        other.mail(MESSAGE)
        other.quit()
        await_that(lambda: sorted(server.family().values()) == [SMTPD_NAME] * 4 + [TLSIO_NAME] * 4, "four sessions")
        for client in stuck:
            client.close()
        server.await_alone()
        server.stop()
        log = server.log()
        self.assertEqual([e["error"] for e in log.events("tlsio", step="handshake")], ["truncated"] * 4)
        self.assertEqual(len(log.events("close", reason="handshake")), 4)

    def test_plain_text_in_place_of_a_handshake(self):
        """Not a word in plain text comes back, only TLS's alert."""
        server = self.chain()
        for text in (b"EHLO client.example\r\n", b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n",
                     b"\r\n", b"\0" * 600, b"QUIT\r\n"):
            with self.subTest(text=text[:10]):
                client = self.plain(server)
                client.hello()
                client.command("STARTTLS", 220)
                client.send(text)
                client.end_of_input()
                self.assertRegex(client.rest(), rb"\A(?:\x15\x03[\x00-\x04]\x00\x02..)?\Z")
                client.close()
                server.await_alone()
        server.stop()
        log = server.log()
        self.assertEqual(len(log.events("tlsio", step="handshake")), 5)
        self.assertEqual(len(log.events("close", reason="handshake")), 5)
        self.assert_stored(server, 0)

    def test_injection(self):
        """A command behind STARTTLS in its segment is obeyed neither before nor within TLS."""
        server = self.chain()
        client = self.plain(server)
        client.hello()
        client.send("STARTTLS\r\nMAIL FROM:<a@example.org>\r\n")
        self.assertRegex(client.reply(), "^[45]")
        self.assertEqual(client.rest(), b"")
        client.close()
        server.await_alone()
        self.assertEqual(server.await_event("close")["reason"], "injection")

    def test_injection_of_a_handshake(self):
        """A ClientHello in the segment of STARTTLS is injection, too."""
        server = self.chain()
        client = self.plain(server)
        client.hello()
        client.send(b"STARTTLS\r\n" + Hands(client.sock).hello())
        self.assertRegex(client.reply(), "^[45]")
        self.assertEqual(client.rest(), b"")
        client.close()
        server.await_alone()
        self.assertEqual(server.await_event("close")["reason"], "injection")

    def test_starttls_twice(self):
        server = self.chain()
        client = self.tls(server)
        self.assertNotIn("STARTTLS", client.hello_again())
        client.command("STARTTLS", 503)
        client.mail(MESSAGE)
        client.quit()

    def test_state_is_forgotten(self):
        """RFC 3207 4.2: neither the greeting nor the envelope survive."""
        server = self.chain()
        client = self.tls(server)
        client.command("MAIL FROM:<a@example.org>", 503)
        client.quit()


class Hands:
    """A handshake by hand: the bytes a client would send, as they come."""

    def __init__(self, sock, version=None):
        self.sock, self.count = sock, 0
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = PKI.context(version).wrap_bio(self.incoming, self.outgoing, server_hostname=HOST)

    def step(self, call):
        """True when done; else more has to come from the server, or go to it."""
        try:
            call()
        except ssl.SSLWantReadError:
            return False
        return True

    def hello(self):
        self.step(self.tls.do_handshake)
        return self.outgoing.read()

    def bytes(self):
        done = False
        while not done:
            done = self.step(self.tls.do_handshake)
            for byte in self.outgoing.read():
                self.count += 1
                yield bytes([byte])
            if not done:
                self.incoming.write(self.sock.recv(65536))

    def ask(self, line):
        self.tls.write(line)
        self.sock.sendall(self.outgoing.read())
        found = []
        while not self.step(lambda: found.append(self.tls.read(65536))):
            self.incoming.write(self.sock.recv(65536))
        return found[0]


# Messages
# ---------------------------------------------------------------------------------------------------------

GROWTH = 1024  # kilobytes: the most that a process may touch for a message after its 354


class Messages(ChainCase):
    def test_large(self):
        """50 MB, written 1 MiB at a time, byte for byte."""
        server = self.chain(DATABYTES="0")
        line = bytes(range(33, 127)) + b"\xe4\xf6\xfc" + b"\r\n"
        r = random.Random(4)
        block = b"".join(line[r.randrange(90):] for _ in range(20000)).replace(b"\r\n.", b"\r\n:")
        data = b"Subject: large\r\n\r\n" + block * (50_000_000 // len(block) + 1)
        self.assertGreater(len(data), 50_000_000)
        for version in (TLS1_2, TLS1_3):
            with self.subTest(version=version.name):
                client = self.tls(server, version)
                client.hello_again()
                self.begin_data(client, b"")
                before = {pid: resident(pid) for pid in server.family()}
                for at in range(0, len(data), 1 << 20):
                    client.sock.sendall(data[at:at + (1 << 20)])
                client.send(b".\r\n")
                client.expect(250)
                self.assertEqual(len(before), 2)
                if not IS_ASAN:  # whose own memory is not ours
                    self.assertLess(max(resident(pid) - n for pid, n in before.items()), GROWTH)
                client.quit()
                server.await_alone()
                [(name, stored)] = server.place.messages().items()
                self.assertTrue(body_of(stored) == data.replace(b"\r\n", b"\n"), "another message than was sent")
                (server.place.path / "spool/new" / name).unlink()

    def test_fifty_at_once(self):
        """All of them within their messages at the same time."""
        server = self.chain(sessions=50)
        clients = [self.tls(server) for _ in range(50)]
        for i, client in enumerate(clients):
            client.hello_again()
            self.begin_data(client, f"Subject: {i}\r\n\r\n".encode() + b"x" * 5000 + b"\r\n")
        self.assertEqual(sorted(server.family().values()), [SMTPD_NAME] * 50 + [TLSIO_NAME] * 50)
        for client in clients:
            client.send(b".\r\n")
            client.expect(250)
            client.quit()
        subjects = [int(re.search(rb"\nSubject: (\d+)\n", m)[1]) for m in server.place.messages().values()]
        self.assertEqual(sorted(subjects), list(range(50)))
        server.await_alone()

    def test_all_said_at_once(self):
        """The message's end, QUIT and close_notify in one segment: both replies still come, then close_notify."""
        server = self.chain()
        client = self.plain(server)
        client.hello()
        client.command("STARTTLS", 220)
        hands = Hands(client.sock)
        for byte in hands.bytes():
            client.sock.send(byte)
        for line in (b"EHLO client.example", b"MAIL FROM:<a@example.org>", b"RCPT TO:<b@example.com>", b"DATA"):
            self.assertRegex(hands.ask(line + b"\r\n"), b"^[23]")
        hands.tls.write(MESSAGE.encode() + b".\r\nQUIT\r\n")
        self.assertRaises(ssl.SSLWantReadError, hands.tls.unwrap)  # close_notify is said, and not yet heard
        client.sock.sendall(hands.outgoing.read())
        hands.incoming.write(client.rest())
        client.close()
        said = b""
        with self.assertRaises(ssl.SSLZeroReturnError):  # that is close_notify
            while len(said) < 1000:
                said += hands.tls.read(65536)
        self.assertRegex(said, rb"\A250 2\.0\.0 .*\r\n221 2\.0\.0 .*\r\n\Z")
        server.await_alone()
        self.assert_stored(server, 1)

    def test_cut_behind_data(self):
        """FIN without close_notify behind a whole message, as soon as it is said: it is stored, and its client hears so."""
        for version in (TLS1_2, TLS1_3):
            with self.subTest(version):
                server = self.chain()
                client = self.plain(server)
                client.hello()
                client.command("STARTTLS", 220)
                hands = Hands(client.sock, version)
                for byte in hands.bytes():
                    client.sock.send(byte)
                for line in (b"EHLO client.example", b"MAIL FROM:<a@example.org>", b"RCPT TO:<b@example.com>", b"DATA"):
                    self.assertRegex(hands.ask(line + b"\r\n"), b"^[23]")
                hands.tls.write(MESSAGE.encode() + b".\r\n")
                client.sock.sendall(hands.outgoing.read())
                client.sock.shutdown(socket.SHUT_WR)
                hands.incoming.write(client.rest())
                self.assertRegex(hands.tls.read(65536), rb"\A250 2\.0\.0 .*\r\n\Z")
                self.assertEqual(hands.tls.read(65536), b"")  # close_notify: else more would be wanted
                client.close()
                server.await_alone()
                self.assert_stored(server, 1)
                server.stop()
                log = server.log()
                self.assertEqual((log.one("close")["reason"], log.one("tlsio")["error"]), ("eof", "truncated"))

    def test_cut_within_data(self):
        """The connection's end is not the message's, with close_notify or without."""
        for name, end in (("close", lambda c: c.sock.close()),
                          ("reset", self.reset),
                          ("close_notify", self.say_goodbye)):
            with self.subTest(name):
                server = self.chain()
                client = self.tls(server)
                client.hello_again()
                client.mail(MESSAGE)
                self.begin_data(client)
                end(client)
                server.await_alone()
                self.assert_stored(server, 1)
                server.stop()
                log = server.log()
                log.one("message", verdict="accept")
                self.assertEqual(log.one("close")["reason"], "eof")
                self.assertEqual(len(log.events("tlsio")), 0 if name == "close_notify" else 1)

    def reset(self, client):
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.sock.close()

    def say_goodbye(self, client):
        client.sock.settimeout(LIMIT)
        client.sock.unwrap().close()

    def test_authentication(self):
        """Only within TLS; the wrong is refused; the right may relay; no password is in the log."""
        place = self.enterContext(Place())
        server = self.enterContext(Chain(place, **PATIENT, **PKI.knobs(), **tlschain.users(place),
                                         DOMAINS=place.compile("domains", "example.com\n"), VERBOSE="1"))
        client = self.plain(server)
        client.hello()
        client.auth(code=538)
        self.assertNotIn("AUTH", client.command("EHLO client.example", 250))
        client.starttls(PKI.context())
        self.assertIn("\n250-AUTH PLAIN LOGIN\n", client.hello_again())
        client.auth(password="wrong secret", code=535)
        client.auth(user="nobody", code=535)
        client.command("MAIL FROM:<a@example.org>", 250)
        client.command("RCPT TO:<b@elsewhere.example>", 550)
        client.command("RSET", 250)
        client.auth()
        client.mail(MESSAGE, to=("b@elsewhere.example",))
        client.quit()
        server.stop()
        said = b"".join(path.read_bytes() for path in place.path.glob("log/*"))
        for secret in (PASSWORD, "wrong secret", "b3BlbiBzZXNhbWU", "d3Jvbmcgc2VjcmV0"):
            self.assertNotIn(secret.encode(), said)
        self.assertEqual(server.log().one("auth")["user"], USER)
        [message] = place.messages().values()
        self.assertEqual(RECEIVED.search(message)[2], b"ESMTPSA")

    def test_authentication_demanded_of_tls(self):
        """UCSPITLS=! takes no mail in the clear."""
        server = self.chain(UCSPITLS="!")
        client = self.plain(server)
        client.hello()
        client.command("MAIL FROM:<a@example.org>", 530)
        client.starttls(PKI.context())
        client.hello_again()
        client.mail(MESSAGE)
        client.quit()


# Ends
# ---------------------------------------------------------------------------------------------------------

class Ends(ChainCase):
    """A process of the chain ends before its time: nothing stays, no half of a message, all that had its 250."""

    def in_the_midst(self, **knobs):
        server = self.chain(**knobs)
        client = self.tls(server)
        client.hello_again()
        client.mail(MESSAGE)
        self.begin_data(client)
        return server, client

    def assert_cut_off(self, client):
        """Its end comes without an answer."""
        try:
            self.assertEqual(client.rest(), b"")
        except certs.CUT_OFF[0]:
            pass
        client.close()

    def test_kill_tlsio(self):
        server, client = self.in_the_midst()
        os.kill(self.pid_of(server, TLSIO_NAME), signal.SIGKILL)
        with self.assertRaisesRegex(*certs.CUT_OFF):
            client.rest()  # no close_notify: no client takes it for an end
        server.await_alone()
        self.assert_stored(server, 1)
        self.assertEqual(server.await_event("close")["reason"], "eof")

    def test_kill_smtpd(self):
        server, client = self.in_the_midst()
        os.kill(self.pid_of(server, SMTPD_NAME), signal.SIGKILL)
        self.assert_cut_off(client)
        server.await_alone()
        self.assert_stored(server, 1, leftovers=False)

    def test_kill_both(self):
        server, client = self.in_the_midst()
        for pid in server.family():
            with contextlib.suppress(ProcessLookupError):  # one of them may see the other's end first
                os.kill(pid, signal.SIGKILL)
        self.assert_cut_off(client)
        server.await_alone()
        self.assert_stored(server, 1, leftovers=False)

    def test_end_of_the_gate(self):
        """Without it there is no TLS, and the rest of the session is as ever."""
        for number in (signal.SIGKILL, signal.SIGTERM):
            with self.subTest(number.name):
                server = self.chain()
                client = self.plain(server)
                client.hello()
                os.kill(self.pid_of(server, tlschain.GATE_NAME), number)
                await_that(lambda: list(server.family().values()) == [SMTPD_NAME], "the gate's end")
                client.command("STARTTLS", 454)
                client.mail(MESSAGE)
                client.command("QUIT", 221)
                self.assertEqual(client.rest(), b"")
                server.await_alone()
                self.assert_stored(server, 1)

    def test_kill_smtpd_before_tls(self):
        server = self.chain()
        client = self.plain(server)
        client.hello()
        os.kill(self.pid_of(server, SMTPD_NAME), signal.SIGKILL)
        self.assertEqual(client.rest(), b"")
        server.await_alone()

    def test_term_of_all(self):
        """As systemd stops a unit: the client is told, in TLS, and with close_notify."""
        server, client = self.in_the_midst()
        for pid in server.family():
            os.kill(pid, signal.SIGTERM)
        client.expect("421 4.3.2")
        self.assertEqual(client.rest(), b"")  # raises where close_notify is missing
        client.close()
        server.await_alone()
        self.assert_stored(server, 1)
        self.assertEqual(server.await_event("close")["reason"], "shutdown")

    def test_term_of_smtpd(self):
        server, client = self.in_the_midst()
        os.kill(self.pid_of(server, SMTPD_NAME), signal.SIGTERM)
        client.expect("421 4.3.2")
        self.assertEqual(client.rest(), b"")  # raises where close_notify is missing
        client.close()
        server.await_alone()
        self.assert_stored(server, 1)

    def test_term_of_tlsio(self):
        """It lets the session come to its end."""
        server, client = self.in_the_midst()
        os.kill(self.pid_of(server, TLSIO_NAME), signal.SIGTERM)
        client.send(b"more\r\n.\r\n")
        client.expect(250)
        client.quit()
        server.await_alone()
        self.assert_stored(server, 2)

    def test_session_ends_with_the_client(self):
        """QUIT: 221, then close_notify, then the connection's end; and both processes are gone."""
        server = self.chain()
        client = self.tls(server)
        client.hello_again()
        client.command("QUIT", 221)
        self.assertEqual(client.rest(), b"")  # raises where close_notify is missing
        client.close()
        server.await_alone()
        self.assertEqual(server.events("tlsio"), [])


# The key is out of reach
# ---------------------------------------------------------------------------------------------------------

PROGRAM_USER, KEY_USER = "nobody", "daemon"


def attach(pid):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(0x4206, pid, None, None) < 0:  # PTRACE_SEIZE, which does not stop it
        raise OSError(ctypes.get_errno(), "ptrace")


WAYS_IN = {
    "environ": lambda pid: pathlib.Path(f"/proc/{pid}/environ").read_bytes(),
    "maps": lambda pid: pathlib.Path(f"/proc/{pid}/maps").read_bytes(),
    "mem": lambda pid: open(f"/proc/{pid}/mem", "rb").close(),
    "fd": lambda pid: os.listdir(f"/proc/{pid}/fd"),
    "ptrace": attach,
}


def is_refused(way, *arguments):
    try:
        way(*arguments)
        return False
    except PermissionError:
        return True


@unittest.skipIf(os.geteuid() != 0, "only root can be two users: NOBODY WAS KEPT FROM A KEY")
class Users(ChainCase):
    def start(self, *options, **knobs):
        """The gate as root, with programs and files where its users reach them."""
        place = self.enterContext(Place())
        place.path.chmod(0o755)
        (place.path / "bin").mkdir()
        for name in ("postern-tls", "postern-tlsio", "postern-smtpd"):
            shutil.copy(BUILD / name, place.path / "bin" / name)
        (place.path / "spool").mkdir()
        shutil.chown(place.path / "spool", PROGRAM_USER)
        self.key = place.path / "key.pem"
        place.write("cert.pem", PKI.make("ec").cert.read_bytes())
        place.write("key.pem", PKI.make("ec").key.read_bytes(), 0o600)
        shutil.chown(self.key, KEY_USER)
        return self.enterContext(Chain(place, "-u", PROGRAM_USER, "-U", KEY_USER, *options,
                                       path=place.path / "bin/postern-tls",
                                       program=(str(place.path / "bin/postern-smtpd"),),
                                       **PATIENT, CERTFILE="cert.pem", KEYFILE="key.pem", **knobs))

    def assert_is(self, pid, user):
        """All its ids and groups are this user's."""
        found = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
        entry = pwd.getpwnam(user)
        self.assertEqual(found["Uid"].split(), [str(entry.pw_uid)] * 4)
        self.assertEqual(found["Gid"].split(), [str(entry.pw_gid)] * 4)
        self.assertEqual({int(g) for g in found["Groups"].split()}, set(os.getgrouplist(user, entry.pw_gid)))
        self.assertEqual(int(found["CapEff"], 16), 0)

    def pry(self, user, look):
        """The result of `look`, a string, in a process of this user."""
        entry = pwd.getpwnam(user)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.setgroups(os.getgrouplist(user, entry.pw_gid))
                os.setgid(entry.pw_gid)
                os.setuid(entry.pw_uid)
                os.write(writer, look().encode())
            finally:
                os._exit(0)
        os.close(writer)
        with open(reader) as said:
            found = said.read()
        os.waitpid(child, 0)
        return found

    def refused(self, user, pid, file):
        """The ways to the key that this user is refused."""
        return self.pry(user, lambda: " ".join([
            *(name for name, way in WAYS_IN.items() if is_refused(way, pid)),
            *(["file"] if is_refused(file.read_bytes) else [])])).split()

    def test_two_users(self):
        server = self.start(UCSPITLS="!")
        client = self.plain(server)
        client.hello()
        self.assert_is(self.pid_of(server, tlschain.GATE_NAME), KEY_USER)
        self.assert_is(self.pid_of(server, SMTPD_NAME), PROGRAM_USER)
        client.starttls(PKI.context())
        self.assert_is(self.pid_of(server, TLSIO_NAME), KEY_USER)
        self.assert_is(self.pid_of(server, SMTPD_NAME), PROGRAM_USER)
        client.hello_again()
        client.mail(MESSAGE)
        client.quit()
        server.await_alone()
        [file] = (server.place.path / "spool/new").iterdir()
        self.assertEqual(file.owner(), PROGRAM_USER)

    def test_two_users_implicit(self):
        server = self.start("-i")
        client = self.plain(server)
        self.pid_of(server, TLSIO_NAME)  # waits for the client, and the program's process for both
        waiting = self.pid_of(server, tlschain.GATE_NAME)
        uid = str(pwd.getpwnam(PROGRAM_USER).pw_uid)
        await_that(lambda: f"\nUid:\t{uid}\t" in pathlib.Path(f"/proc/{waiting}/status").read_text(), "not root")
        self.assert_is(waiting, PROGRAM_USER)
        client.shake_hands(PKI.context())
        client.hello()
        self.assert_is(self.pid_of(server, TLSIO_NAME), KEY_USER)
        self.assert_is(self.pid_of(server, SMTPD_NAME), PROGRAM_USER)
        client.mail(MESSAGE)
        client.quit()
        self.assert_stored(server, 1)

    def test_key_is_out_of_reach(self):
        """The program's user cannot reach it; the key's own user not in the process that has read it."""
        server = self.start()
        client = self.plain(server)
        client.hello()
        client.starttls(PKI.context())
        pid = self.pid_of(server, TLSIO_NAME)
        self.assertEqual(self.refused(PROGRAM_USER, pid, self.key), [*WAYS_IN, "file"])
        self.assertEqual(self.refused(KEY_USER, pid, self.key), [*WAYS_IN])
        client.hello_again()  # and it was not disturbed
        client.quit()

    def test_prying_is_possible_otherwise(self):
        """Else the test above would show nothing."""
        entry = pwd.getpwnam(PROGRAM_USER)
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE, user=entry.pw_uid, group=entry.pw_gid,
                              extra_groups=[]) as process:
            try:
                found = self.refused(PROGRAM_USER, process.pid, pathlib.Path("/etc/passwd"))
            finally:
                process.kill()
        self.assertIn(found, ([], ["ptrace"]))  # of tracing a system may think otherwise

    def test_key_only_root_may_read(self):
        """The key's reader is -U's user, also when trying the files."""
        server = self.start()
        shutil.chown(self.key, "root")
        client = self.plain(server)
        client.expect(220)
        self.assertNotIn("STARTTLS", client.command("EHLO client.example", 250))
        client.mail(MESSAGE)
        client.command("QUIT", 221)
        event = server.await_event("gate")
        self.assertEqual((event["step"], event["object"], event["error"]), ("key", "key.pem", "Permission denied"))

    def test_root_must_say_whom_to_become(self):
        for options in ((), ("-u", PROGRAM_USER), ("-U", KEY_USER)):
            done = subprocess.run([GATE, *options, "true"], stderr=subprocess.PIPE, timeout=LIMIT, check=False)
            self.assertEqual(done.returncode, 100)
            self.assertIn(b"-u and -U", done.stderr)


# Bad certificates
# ---------------------------------------------------------------------------------------------------------

GOOD, OTHER = "{dir}/ec", "{dir}/rsa"

# name, CERTFILE, KEYFILE, the gate's words (step, object, error): TLS is not offered
NOT_OFFERED = [
    ("no CERTFILE", None, f"{GOOD}.key", ("certificate", "CERTFILE", "not set")),
    ("no certificate", "{dir}/none", f"{GOOD}.key", ("certificate", "{dir}/none", "No such file or directory")),
    ("no key", f"{GOOD}.pem", "{dir}/none", ("key", "{dir}/none", "No such file or directory")),
    ("a file for a folder", f"{GOOD}.pem/x", f"{GOOD}.key", ("certificate", f"{GOOD}.pem/x", "Not a directory")),
]

# The same, with postern-tlsio's words, as only reading the files shows the fault: the session ends behind the 220
NO_HANDSHAKE = [
    ("key of another", f"{GOOD}.pem", f"{OTHER}.key", ("key", f"{OTHER}.key", "does not match the certificate")),
    ("encrypted key", "{dir}/locked.pem", "{dir}/locked.key",
     ("key", "{dir}/locked.key", "encrypted with a password")),
    ("key in no file", f"{GOOD}.pem", None, ("key", f"{GOOD}.pem", "no private key in PEM format")),
    ("certificate that is a key", f"{GOOD}.key", f"{GOOD}.key",
     ("certificate", f"{GOOD}.key", "no certificate in PEM format")),
    ("empty certificate", "/dev/null", f"{GOOD}.key", ("certificate", "/dev/null", "not a regular file")),
    ("a folder", "{dir}", f"{GOOD}.key", ("certificate", "{dir}", "not a regular file")),
    ("short key", "{dir}/small.pem", "{dir}/small.key", ("certificate", "{dir}/small.pem", "ee key too small")),
]


class BadCertificates(ChainCase):
    @classmethod
    def setUpClass(cls):
        PKI.make("ec")
        PKI.make("rsa", kind="rsa")
        PKI.make("locked", password="secret")
        PKI.make("small", kind="small")

    def broken(self, cert, key, *options):
        knobs = {name: value and value.format(dir=PKI.place.path) for name, value in
                 (("CERTFILE", cert), ("KEYFILE", key))}
        return self.chain(*options, cert=None, **knobs)

    def said(self, server, event):
        """The only line of this event."""
        server.stop()
        found = server.log().one(event)
        return tuple(found[k].replace(str(PKI.place.path), "{dir}") for k in ("step", "object", "error"))

    def assert_takes_plain_mail(self, server):
        client = self.plain(server)
        client.hello()
        client.mail(MESSAGE)
        client.command("QUIT", 221)
        self.assertEqual(client.rest(), b"")
        self.assert_stored(server, 1)

    def test_not_offered(self):
        for name, cert, key, why in NOT_OFFERED:
            with self.subTest(name):
                server = self.broken(cert, key)
                client = self.plain(server)
                client.expect(220)
                self.assertNotIn("STARTTLS", client.command("EHLO client.example", 250))
                client.command("STARTTLS", 502)
                client.mail(MESSAGE)
                client.command("QUIT", 221)
                self.assert_stored(server, 1)
                self.assertEqual(self.said(server, "gate"), why)

    def test_no_handshake(self):
        for name, cert, key, why in NO_HANDSHAKE:
            with self.subTest(name):
                server = self.broken(cert, key)
                client = self.plain(server)
                client.hello()
                client.command("STARTTLS", 220)
                self.assertEqual(client.rest(), b"")
                server.await_alone()
                self.assert_takes_plain_mail(server)
                self.assertEqual(self.said(server, "tlsio"), why)

    def test_implicit(self):
        """With -i the connection ends without a word."""
        for name, cert, key, why in NOT_OFFERED + NO_HANDSHAKE:
            with self.subTest(name):
                server = self.broken(cert, key, "-i")
                client = self.plain(server)
                self.assertEqual(client.rest(), b"")
                server.await_alone()
                self.assertEqual(self.said(server, "gate" if (name, cert, key, why) in NOT_OFFERED else "tlsio"), why)

    def test_demanded(self):
        """Where TLS is demanded and cannot be had, mail is put off."""
        server = self.chain(cert=None, UCSPITLS="!")
        client = self.plain(server)
        client.hello()
        client.command("MAIL FROM:<a@example.org>", "454 4.7.0")
        client.command("QUIT", 221)

    def test_out_of_its_time(self):
        """The certificate is used, as a client may not mind, and the log tells the fault each time."""
        for name, begins, ends, fault in (("expired", -30, -1, "expired"), ("early", 1, 30, "not yet valid")):
            with self.subTest(name):
                server = self.chain(**PKI.knobs(name, begins=begins, ends=ends))
                with self.assertRaises(ssl.SSLCertVerificationError):
                    self.tls(server)
                client = self.tls(server, check_hostname=False, verify_mode=ssl.CERT_NONE)
                client.hello_again()
                client.mail(MESSAGE)
                client.quit()
                server.stop()
                self.assertEqual([e["error"] for e in server.log().events("tlsio", step="certificate")], [fault] * 2)
                self.assert_stored(server, 1)

    def test_bad_variables(self):
        for name, value in (("TLS_MIN", "1.1"), ("CIPHERS", "nonsense"), ("CERTDIR", "/nowhere")):
            with self.subTest(name):
                server = self.chain(**{name: value})
                client = self.plain(server)
                client.hello()
                client.command("STARTTLS", 220)
                self.assertEqual(client.rest(), b"")
                self.assert_takes_plain_mail(server)
                self.assertEqual(self.said(server, "tlsio")[:2], ("config", name))


# Memory
# ---------------------------------------------------------------------------------------------------------

class Memory(ChainCase):
    @unittest.skipIf(IS_ASAN, "the sanitizer looks itself, in all other tests")
    @unittest.skipUnless(shutil.which("valgrind"), "valgrind is missing: NO MEMORY WAS LOOKED AT")
    def test_valgrind(self):
        """postern-smtpd and postern-tlsio through STARTTLS, AUTH and a message."""
        place = self.enterContext(Place())
        valgrind = ("valgrind", "-q", "--error-exitcode=99", "--leak-check=no", "--log-file=valgrind.%p")
        (place.path / "bin").mkdir()
        (place.path / "bin/postern-tls").symlink_to(tlschain.reachable(GATE))
        tlsio = " ".join((*valgrind, tlschain.reachable(BUILD / "postern-tlsio")))
        place.write("bin/postern-tlsio", f'#!/bin/sh\nexec {tlsio} "$@"\n', 0o755)
        server = self.enterContext(Chain(place, path=place.path / "bin/postern-tls", program=(*valgrind, SMTPD),
                                         **PATIENT, **PKI.knobs(), **tlschain.users(place)))
        client = self.tls(server)
        client.hello_again()
        client.auth(password="wrong", code=535)
        client.auth()
        client.mail(ON_THE_WIRE)
        client.quit()
        server.await_alone()
        [message] = place.messages().values()
        self.assertEqual(body_of(message), TEXT)
        reports = list(place.path.glob("valgrind.*"))
        self.assertGreaterEqual(len(reports), 2)
        self.assertEqual([path.read_text() for path in reports], [""] * len(reports))


# Versions and ciphers
# ---------------------------------------------------------------------------------------------------------

class Offered(ChainCase):
    """A scanner would look for these."""

    def ask(self, server, *arguments, said=b""):
        """openssl s_client's whole account of a connection."""
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", *arguments],
                              input=said, cwd=server.place.path, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=LIMIT, check=False)
        return done.stdout.decode(errors="replace")

    def cipher(self, server, *arguments):
        """The agreed cipher, or None."""
        found = re.search(r"^New, (\S+), Cipher is (\S+)$", self.ask(server, *arguments), re.M)
        self.assertTrue(found)
        return None if found[2] == "(NONE)" else found[2]

    def ciphers_of_1_2(self, server):
        """The server's ciphers in its order: each offer has all but those that it has chosen before."""
        found, offer = [], "ALL:COMPLEMENTOFALL"
        while len(found) < 100:
            cipher = self.cipher(server, "-tls1_2", "-cipher", f"{offer}:@SECLEVEL=0")
            if not cipher:
                return found
            found.append(cipher)
            offer += f":!{cipher}"
        return found

    def ciphers_of_1_3(self, server):
        every = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256",
                 "TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256"]
        return [c for c in every if self.cipher(server, "-tls1_3", "-ciphersuites", c) == c]

    def test_ciphers(self):
        for kind, key in (("ec", "ECDSA"), ("rsa", "RSA")):
            with self.subTest(kind):
                server = self.chain("-i", **PKI.knobs(kind, kind=kind))
                self.assertEqual(self.ciphers_of_1_2(server), [f"ECDHE-{key}-{name}" for name in (
                    "AES256-GCM-SHA384", "AES128-GCM-SHA256", "CHACHA20-POLY1305", "AES256-SHA384", "AES128-SHA256",
                    "AES256-SHA", "AES128-SHA")])
                self.assertEqual(self.ciphers_of_1_3(server), [
                    "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"])

    def test_what_is_not(self):
        """Each list alone: old versions, no authentication, no secrecy, no forward secrecy, broken ciphers."""
        server = self.chain("-i", **PKI.knobs("rsa", kind="rsa"))
        lax = self.chain("-i", CIPHERS="ALL:@SECLEVEL=0")  # where OpenSSL's own level would let them in
        self.assertTrue(self.cipher(server, "-tls1_2", "-cipher", "ECDHE:@SECLEVEL=0"))  # so is it asked
        for version in ("-tls1", "-tls1_1"):
            for which in (server, lax):
                with self.subTest(version, lax=which is lax):
                    self.assertIsNone(self.cipher(which, version, "-cipher", "ALL:@SECLEVEL=0"))
        for ciphers in ("aNULL", "eNULL", "kRSA", "DHE", "PSK", "SRP", "ARIA", "CAMELLIA", "AESCCM"):
            with self.subTest(ciphers):
                self.assertIsNone(self.cipher(server, "-tls1_2", "-cipher", f"{ciphers}:@SECLEVEL=0"))

    def test_neither_compressed_nor_resumed_nor_renegotiated(self):
        server = self.chain("-i")
        for version in (TLS1_2, TLS1_3):
            with self.subTest(version=version.name):
                client = self.plain(server)
                client.shake_hands(PKI.context(version))
                client.hello()
                client.command("NOOP", 250)
                self.assertIsNone(client.sock.compression())
                session = client.sock.session
                self.assertTrue(version == TLS1_3 and session is None or
                                (session.id, session.has_ticket) == (b"", False), session)
                client.quit()
        for _ in range(20):  # openssl gives up if the banner comes while it asks to renegotiate
            said = self.ask(server, "-tls1_2", said=b"R\n")
            if "unexpected record" not in said:
                break
        self.assertIn("RENEGOTIATING", said)
        self.assertIn("no renegotiation", said)
        self.assertIn("Secure Renegotiation IS supported", said)
        self.assertIn("Compression: NONE", said)
