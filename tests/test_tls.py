"""The whole chain with real parts: a server, postern-tls, postern-smtpd, postern-tlsio; and real clients."""
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
import sys
import unittest

import certs
import harness
import postfix
import tlschain
from harness import BUILD, IS_ASAN, LIMIT, SMTPD, Client, Gone, Place, SocketActivate, await_that, body_of
from postfix import Postfix
from tlschain import GATE, HOST, PASSWORD, SMTPD_NAME, TLSIO_NAME, USER, Chain, Pki, TlsClient, gate, run

PKI = None
TLS1_2, TLS1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
PATIENT = {"TIMEOUT": "300", "SESSION_TIMEOUT": "600"}  # what is left behind stays longer than LIMIT


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
    """smtp(8), from a queue, so that it also has its say about what it was told."""

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
            sent = self.send(SECURE + SASL, **knobs)
        self.assert_arrived(sent, "ESMTPSA", "Verified")
        self.assertEqual(self.log.one("auth")["user"], USER)
        self.assertEqual(self.log.one("message")["user"], USER)


# Other clients
# ---------------------------------------------------------------------------------------------------------

class Clients(ChainCase):
    """Each client sends a message to a domain that is not local, which only a known user may."""

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
        # smtplib and swaks close without close_notify: whether that is seen before the session's end is chance.
        tlsio = [e for e in log.events("tlsio") if (e["step"], e["error"]) != ("read", "truncated")]
        assert not log.events("trouble") + log.events("early") + log.events("gate") + tlsio, log
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
            run(["swaks", "--server", "localhost", "--port", self.server.port, "--helo", "swaks.example",
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
            run(["msmtp", "--host=localhost", f"--port={self.server.port}", "--domain=msmtp.example", "--tls=on",
                 f"--tls-starttls={'off' if self.implicit else 'on'}", f"--tls-trust-file={PKI.ca.cert}",
                 f"--auth={mechanism}", f"--user={USER}", f"--passwordeval=echo '{PASSWORD}'",
                 "--from=a@example.org", "b@elsewhere.example"], self.place, TEXT)
            self.assertTrue(body_of(self.fresh("msmtp.example")).endswith(TEXT))  # it adds Date and Message-ID

    def test_smtplib(self):
        for version in (TLS1_2, TLS1_3):
            context = PKI.context(version)
            kind, more = (smtplib.SMTP_SSL, {"context": context}) if self.implicit else (smtplib.SMTP, {})
            with kind("localhost", self.server.port, "smtplib.example", timeout=LIMIT, **more) as client:
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
        return SocketActivate(cls.place, program=gate(), **knobs)


del Clients  # a base only
