"""postern-tlsio itself, over a connection and pipes of ours: handshakes, its report, certificates, ends, deadlines."""
import contextlib
import os
import pathlib
import re
import resource
import select
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import unittest

import certs
from harness import (BUILD, CLIENT, IS_ASAN, IS_STATIC, LIMIT, NEEDS_STRACE, ROOT, DOUBLE, Log, Place, await_that, environment,
                     read_by, writable_memory)

TLSIO = str(BUILD / "postern-tlsio")
NOBODY = 65534
FILES = None  # the folder with the certificates that all tests share


def setUpModule():
    if IS_STATIC:
        raise unittest.SkipTest("never static: it is the ordinary program")
    global FILES
    FILES = Place()
    unittest.addModuleCleanup(FILES.__exit__)
    folder = FILES.path
    ca = certs.make(folder, "ca", ca=True, subject="/CN=Test CA")
    certs.make(folder, "ec", names=("mx.example.net",))
    certs.make(folder, "rsa", kind="rsa", names=("mx.example.net",))
    certs.make(folder, "chain", kind="rsa", issuer=ca, names=("chain.example.net",))
    certs.make(folder, "client", issuer=ca, subject="/O=Mail & Söhne/CN=relay.example.org")
    certs.make(folder, "stranger", subject="/CN=stranger")
    certs.make(folder, "old", begins=-30, ends=-1)
    certs.make(folder, "early", begins=3, ends=30)
    certs.make(folder, "locked", password="secret")
    certs.make(folder, "small", kind="small")
    both = folder / "both.pem"
    both.write_bytes((folder / "ec.key").read_bytes() + (folder / "ec.pem").read_bytes())
    (folder / "garbage").write_bytes(bytes(range(256)) * 20)
    (folder / "empty").touch()
    (folder / "cut.pem").write_bytes((folder / "ec.pem").read_bytes()[:300])
    (folder / "cut.key").write_bytes((folder / "ec.key").read_bytes()[:150])
    folder.chmod(0o755)  # some tests run the program as another user


def pair(name):
    return {"CERTFILE": str(FILES.path / f"{name}.pem"), "KEYFILE": str(FILES.path / f"{name}.key")}


def knobs_of(**knobs):
    return environment(**{"SPOOL": None, "ME": None, "TIMEOUT": None, **pair("ec"), **knobs})


def client_context(lowest=None, highest=None, verify=None, cert=None):
    context = certs.client_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
    if verify:
        context.load_verify_locations(verify)
    if lowest:
        context.minimum_version = lowest
    if highest:
        context.maximum_version = highest
    if cert:
        context.load_cert_chain(*(FILES.path / f"{cert}.{end}" for end in ("pem", "key")))
    return context


class Cipher:
    """One postern-tlsio: `net`, the client's end of the network; `control`; the application's `hear` and `say`."""

    def __init__(self, *options, before=(), over="tcp", user=None, program=TLSIO, greedy=False, **knobs):
        if over == "tcp":
            with socket.create_server(("127.0.0.1", 0)) as listener:
                listener.settimeout(LIMIT)
                self.net = socket.create_connection(listener.getsockname(), LIMIT)
                theirs = listener.accept()[0]
        else:
            self.net, theirs = socket.socketpair()
        theirs.setblocking(True)
        self.net.settimeout(LIMIT)
        self.control, control = socket.socketpair()
        self.control.settimeout(LIMIT)
        from_, self.say = os.pipe()
        self.hear, to = os.pipe()
        if greedy:  # an application that is never slower than the client
            os.close(to)
            to = os.open(os.devnull, os.O_WRONLY)
        self.log_file = tempfile.TemporaryFile()
        inherited = (control.fileno(), from_, to)
        with theirs, control:
            self.process = subprocess.Popen([*before, program, *options, *map(str, inherited)], stdin=theirs,
                                            stdout=theirs, stderr=self.log_file, pass_fds=inherited,
                                            env=knobs_of(**knobs), cwd=FILES.path, user=user)
        os.close(from_)
        os.close(to)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for end in (self.net, self.control):
            end.close()
        self.stop_saying()
        self.stop_hearing()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(LIMIT)
        self.log_file.close()

    def shake(self, context=None, name=None):
        """The client's TLS connection, which has then taken over `net`."""
        self.net = (context or client_context()).wrap_socket(self.net, server_hostname=name,
                                                             suppress_ragged_eofs=False)
        return self.net

    def report(self):
        """All that comes over the control socket, until it is closed."""
        data = b""
        while more := self.control.recv(65536):
            data += more
        return data

    def heard(self, n=None):
        """n bytes, or all until the end."""
        data = b""
        while n is None or len(data) < n:
            more = read_by(self.hear, 65536 if n is None else n - len(data))
            if not more:
                break
            data += more
        return data

    def tell(self, data):
        view = memoryview(data)
        while view:
            view = view[os.write(self.say, view):]

    def stop_saying(self):
        if self.say is not None:
            os.close(self.say)
        self.say = None

    def stop_hearing(self):
        if self.hear is not None:
            os.close(self.hear)
        self.hear = None

    def wait(self):
        return self.process.wait(LIMIT)

    def log(self):
        self.wait()
        self.log_file.seek(0)
        return Log(self.log_file.read())


def variables(report):
    """NAME=value NUL ... NUL as a dict."""
    if report[-2:] != b"\0\0":
        raise AssertionError(f"not ended by an empty string: {report!r}")
    return dict(part.decode("ascii").split("=", 1) for part in report[:-2].split(b"\0"))


def forward(case, c):
    """A port whose first connection is carried to this cipher's network end."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(LIMIT)

    def carry():
        with listener:
            client, _ = listener.accept()
        with client:
            while True:
                ready, _, _ = select.select([client, c.net], [], [], LIMIT)
                for end in ready:
                    try:
                        data = end.recv(65536)
                        (c.net if end is client else client).sendall(data)
                    except OSError:
                        data = b""
                    if not data:
                        c.net.close()
                        return
                if not ready:
                    return

    thread = threading.Thread(target=carry, daemon=True)
    thread.start()
    case.addCleanup(thread.join, LIMIT)
    return listener.getsockname()[1]


class Case(unittest.TestCase):
    def check_end(self, cipher, code=0, **event):
        """Its exit code, and its only event, or none."""
        self.assertEqual(cipher.wait(), code)
        log = cipher.log()
        if not event:
            self.assertEqual(log, [])
            return
        self.assertEqual(len(log), 1, log)
        self.assertEqual(log[0], {"event": "tlsio", "client": CLIENT, **event})

    def check_talk(self, cipher, tls):
        """Something each way, and the ordinary end."""
        tls.sendall(b"EHLO x\r\n")
        self.assertEqual(cipher.heard(8), b"EHLO x\r\n")
        cipher.tell(b"250 y\r\n")
        self.assertEqual(tls.recv(100), b"250 y\r\n")
        cipher.stop_saying()
        self.assertEqual(tls.recv(100), b"")  # close_notify: anything else would be an error
        tls.unwrap().close()


class Handshakes(Case):
    def test_versions_and_keys(self):
        for name, over in (("ec", "tcp"), ("rsa", "tcp"), ("ec", "pair")):
            for version, text in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
                with self.subTest(name=name, version=text), Cipher(over=over, **pair(name)) as c:
                    tls = c.shake(client_context(version, version))
                    self.assertEqual(tls.version(), text)
                    self.check_talk(c, tls)
                    self.check_end(c)

    def test_key_in_the_certificate_file(self):
        with Cipher(CERTFILE="both.pem", KEYFILE=None) as c:
            self.check_talk(c, c.shake())
            self.check_end(c)

    def test_chain_is_sent(self):
        with Cipher(**pair("chain")) as c:
            self.check_talk(c, c.shake(client_context(verify=FILES.path / "ca.pem"), "chain.example.net"))
            self.check_end(c)

    def old_client(self, version):
        context = client_context()
        context.set_ciphers("DEFAULT@SECLEVEL=0")
        with self.assertWarns(DeprecationWarning):
            context.minimum_version = context.maximum_version = version
        return context

    def test_older_than_1_2_is_refused(self):
        for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
            with self.subTest(version), Cipher("-Y") as c:
                with self.assertRaisesRegex(ssl.SSLError, "PROTOCOL_VERSION"):
                    c.shake(self.old_client(version))
                self.assertEqual(c.report(), b"")
                c.net.close()
                self.check_end(c, step="handshake", error="unsupported protocol")

    def test_tls_min(self):
        with Cipher(TLS_MIN="1.3") as c:
            with self.assertRaisesRegex(ssl.SSLError, "PROTOCOL_VERSION"):
                c.shake(client_context(highest=ssl.TLSVersion.TLSv1_2))
            c.net.close()
            self.check_end(c, step="handshake", error="unsupported protocol")
        with Cipher(TLS_MIN="1.3") as c:
            self.check_talk(c, c.shake())
            self.check_end(c)

    def test_ciphers(self):
        """The ciphers of TLS 1.2 that are taken by default, with either key, and with CIPHERS."""
        good = ["ECDHE-{}-AES128-GCM-SHA256", "ECDHE-{}-CHACHA20-POLY1305", "ECDHE-{}-AES256-SHA384",
                "ECDHE-{}-AES128-SHA"]
        bad = ["AES128-GCM-SHA256", "AES256-SHA", "DHE-RSA-AES128-GCM-SHA256", "AECDH-AES128-SHA",
               "ECDHE-{}-AES128-CCM"]
        for key, kind in (("ec", "ECDSA"), ("rsa", "RSA")):
            for cipher in good + bad[:4] + (bad[4:] if key == "ec" else []):
                with self.subTest(key=key, cipher=cipher), Cipher(**pair(key)) as c:
                    self.check_cipher(c, cipher.format(kind), cipher in good)
        with Cipher(**pair("rsa"), CIPHERS="AES256-SHA") as c:
            self.check_cipher(c, "AES256-SHA", True)

    def check_cipher(self, c, cipher, is_good):
        context = client_context(highest=ssl.TLSVersion.TLSv1_2)
        context.set_ciphers(cipher + ":@SECLEVEL=0")
        if is_good:
            tls = c.shake(context)
            self.assertEqual(tls.cipher()[0], cipher)
            self.check_talk(c, tls)
            self.check_end(c)
        else:
            with self.assertRaisesRegex(ssl.SSLError, "HANDSHAKE_FAILURE"):
                c.shake(context)
            c.net.close()
            self.check_end(c, step="handshake", error="no shared cipher")

    def test_server_prefers(self):
        context = client_context(highest=ssl.TLSVersion.TLSv1_2)
        context.set_ciphers("ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-GCM-SHA384")
        with Cipher() as c:
            tls = c.shake(context)
            self.assertEqual(tls.cipher()[0], "ECDHE-ECDSA-AES256-GCM-SHA384")
            self.check_talk(c, tls)

    def test_other_protocols(self):
        for said, error in ((b"GET / HTTP/1.1\r\n\r\n", "http request"),
                            (b"EHLO client.example\r\n", "wrong version number"),
                            (b"\x16\x03\x01\x00\x05\xff\xff\xff\xff\xff", None), (b"\0" * 5000, None)):
            with self.subTest(said[:10]), Cipher("-Y") as c:
                c.net.sendall(said)
                self.assertEqual(c.report(), b"")
                c.net.shutdown(socket.SHUT_WR)
                [event] = c.log()
                self.assertEqual((c.wait(), event["step"]), (0, "handshake"))
                self.assertNotIn(event["error"], ("timeout", "truncated"))
                if error:
                    self.assertEqual(event["error"], error)

    def test_alert_reaches_a_client_that_said_more(self):
        """Closing over unread input would reset the connection, and lose the alert."""
        with Cipher() as c:
            c.net.sendall(b"\x16\x03\x01\x00\x05\xff\xff\xff\xff\xff" + b"x" * 100000)
            alert = c.net.recv(100)
            self.assertEqual((alert[:1], c.net.recv(100)), (b"\x15", b""))
            c.net.close()
            self.assertEqual(c.wait(), 0)

    def test_client_that_goes_away(self):
        for said in (b"", b"\x16\x03\x01\x02\x00\x01"):
            with self.subTest(said), Cipher("-Y") as c:
                c.net.sendall(said)
                c.net.close()
                self.assertEqual((c.report(), c.heard()), (b"", b""))
                self.check_end(c, step="handshake", error="truncated")

    def test_port_and_client(self):
        for knobs, want in (({"TCPREMOTEPORT": "77"}, {"client": CLIENT, "port": "77"}),
                            ({"TCPREMOTEPORT": "7x"}, {"client": CLIENT}),
                            ({"TCPREMOTEIP": None}, {"client": "unknown"}),
                            ({"TCPREMOTEIP": None, "REMOTE_ADDR": "2001:db8::1", "REMOTE_PORT": "9"},
                             {"client": "2001:db8::1", "port": "9"}),
                            ({"TCPREMOTEIP": "a b\n"}, {"client": "a b\n"}),
                            ({"TCPREMOTEIP": "x" * 500}, {"client": "unknown"})):
            with self.subTest(knobs), Cipher(**knobs) as c:
                c.net.close()
                self.assertEqual(c.log(), [{"event": "tlsio", **want, "step": "handshake", "error": "truncated"}])


class Reports(Case):
    def test_exact_bytes(self):
        tls12 = client_context(highest=ssl.TLSVersion.TLSv1_2)
        tls12.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
        for context, name, want in (
                (client_context(), None, b"SSL_PROTOCOL=TLSv1.3\0SSL_CIPHER=TLS_AES_256_GCM_SHA384\0\0"),
                (tls12, "mx.example.net", b"SSL_PROTOCOL=TLSv1.2\0SSL_CIPHER=ECDHE-ECDSA-AES128-GCM-SHA256\0"
                                          b"SSL_TLS_SNI_SERVERNAME=mx.example.net\0\0")):
            with self.subTest(want), Cipher("-Y") as c:
                tls = c.shake(context, name)
                self.assertEqual(c.report(), want)
                self.check_talk(c, tls)
                self.check_end(c)

    def test_nothing_without_the_option(self):
        with Cipher() as c:
            tls = c.shake()
            self.assertEqual(c.report(), b"")
            self.check_talk(c, tls)

    def test_application_without_ears(self):
        """The other end of control is closed: the session goes on."""
        with Cipher("-Y") as c:
            c.control.close()
            self.check_talk(c, c.shake())
            self.check_end(c)

    def client_report(self, cert, version, **knobs):
        with Cipher("-Y", **knobs) as c:
            tls = c.shake(client_context(version, version, cert=cert))
            found = variables(c.report())
            self.check_talk(c, tls)
            self.check_end(c)
            return {name: value for name, value in found.items() if name.startswith("SSL_CLIENT")}

    def test_client_certificates(self):
        stranger = "FAILED:self-signed certificate"
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            for cert, want in ((None, {"SSL_CLIENT_VERIFY": "NONE"}),
                               ("client", {"SSL_CLIENT_VERIFY": "SUCCESS", "SSL_CLIENT_I_DN": "CN=Test CA",
                                           "SSL_CLIENT_S_DN": r"CN=relay.example.org,O=Mail & S\C3\B6hne"}),
                               ("stranger", {"SSL_CLIENT_VERIFY": stranger, "SSL_CLIENT_I_DN": "CN=stranger",
                                             "SSL_CLIENT_S_DN": "CN=stranger"}),
                               ("old", {"SSL_CLIENT_VERIFY": stranger, "SSL_CLIENT_I_DN": "CN=old",
                                        "SSL_CLIENT_S_DN": "CN=old"})):
                with self.subTest(version=version, cert=cert):
                    found = self.client_report(cert, version, CCAFILE="ca.pem")
                    if cert == "old":  # two faults: either may be named
                        self.assertIn(found.pop("SSL_CLIENT_VERIFY"), (stranger, "FAILED:certificate has expired"))
                        want.pop("SSL_CLIENT_VERIFY")
                    self.assertEqual(found, want)

    def test_long_names_are_cut(self):
        """An attacker writes his own certificate: 512 bytes of a name are enough."""
        long = certs.Pair(FILES.path / "long.pem", FILES.path / "long.key")
        certs.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-out", long.cert,
                      "-keyout", long.key, "-subj", "/CN=x" + f"/OU={'y' * 60}" * 40)
        found = self.client_report("long", ssl.TLSVersion.TLSv1_3, CCAFILE="ca.pem")
        for name in ("SSL_CLIENT_S_DN", "SSL_CLIENT_I_DN"):
            self.assertEqual(found[name], ("OU=" + "y" * 60 + ",") * 8)

    def test_server_name_of_any_bytes(self):
        with Cipher("-Y") as c:
            port = forward(self, c)
            client = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername",
                                       b"A=b \n\xc3\xbc\x7f~"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL)
            found = variables(c.report())
            c.stop_saying()
            client.wait(LIMIT)
            self.assertEqual(found["SSL_TLS_SNI_SERVERNAME"], "A=b ????~")

    def test_no_certificate_is_asked_for_without_authorities(self):
        self.assertEqual(self.client_report("client", ssl.TLSVersion.TLSv1_3), {})


class Files(Case):
    """A fault in a file or a setting makes one line, and exit code 100 before anything is said."""

    def check_refused(self, step, object_, error, user=None, program=TLSIO, told=None, **knobs):
        with self.subTest(object=object_, error=error), Cipher("-Y", user=user, program=program, **knobs) as c:
            self.assertEqual(c.report(), b"")
            self.assertEqual(c.net.recv(100), b"")
            self.check_end(c, 100, step=step, object=object_, error=error, **(told or {}))

    def test_certificates(self):
        for name, error in (("none", "No such file or directory"), ("garbage", "no certificate in PEM format"),
                            ("empty", "no certificate in PEM format"), ("ec.key", "no certificate in PEM format"),
                            ("cut.pem", "bad end line"), (".", "not a regular file"),
                            ("/dev/zero", "not a regular file")):
            self.check_refused("certificate", name, error, CERTFILE=name)

    def test_one_file_one_line(self):
        self.check_refused("certificate", "none", "No such file or directory", CERTFILE="none", KEYFILE=None)
        self.check_refused("key", "ec.pem", "no private key in PEM format", CERTFILE="ec.pem", KEYFILE=None)

    def test_too_small(self):
        self.check_refused("certificate", pair("small")["CERTFILE"], "ee key too small", **pair("small"))

    def test_keys(self):
        for name, error in (("none", "No such file or directory"), ("garbage", "no private key in PEM format"),
                            ("empty", "no private key in PEM format"), ("ec.pem", "no private key in PEM format"),
                            ("cut.key", "no private key in PEM format"),
                            ("rsa.key", "does not match the certificate"),
                            ("stranger.key", "does not match the certificate"),
                            ("locked.key", "encrypted with a password")):
            self.check_refused("key", name, error, KEYFILE=name)

    def test_unreadable(self):
        locked = FILES.path / "unreadable.key"
        shutil.copy(FILES.path / "ec.key", locked)
        locked.chmod(0o600 if os.getuid() == 0 else 0)
        program = shutil.copy(TLSIO, FILES.path / "postern-tlsio")  # where anybody may run it
        self.check_refused("key", "unreadable.key", "Permission denied", program=program,
                           user=NOBODY if os.getuid() == 0 else None, KEYFILE="unreadable.key")

    def test_settings(self):
        no_seconds = "not a number of seconds from 1 to 864000, with three decimals at most"
        for name, value, error in (("CERTFILE", "", "empty"), ("KEYFILE", "", "empty"), ("CERTDIR", "", "empty"),
                                   ("CCAFILE", "", "empty"), ("CERTFILE", None, "not set"),
                                   ("TLS_MIN", "1.1", "neither 1.2 nor 1.3"), ("TLS_MIN", "", "neither 1.2 nor 1.3"),
                                   ("CIPHERS", "NONE-SUCH", "no cipher match"), ("CIPHERS", "", "empty"),
                                   ("SESSION_TIMEOUT", "soon", no_seconds),
                                   ("SESSION_TIMEOUT", "0", no_seconds),
                                   ("CERTDIR", "none", "No such file or directory"),
                                   ("CERTDIR", "ec.pem", "Not a directory")):
            by_openssl = value is None or error[0].isupper() or error == "no cipher match"
            self.check_refused("config", name, error, told={} if by_openssl else {"value": value}, **{name: value})

    def test_authorities(self):
        for name in ("none", "empty", "garbage"):
            with self.subTest(name), Cipher(CCAFILE=name) as c:
                self.assertEqual(c.wait(), 100)
                [event] = c.log()
                self.assertEqual((event["step"], event["object"]), ("ca", name))

    def test_out_of_date_is_served_and_said(self):
        for name, error in (("old", "expired"), ("early", "not yet valid")):
            with self.subTest(name), Cipher(**pair(name)) as c:
                self.check_talk(c, c.shake())
                self.check_end(c, step="certificate", object=pair(name)["CERTFILE"], error=error)

    def test_arguments(self):
        with open(os.devnull) as null:
            fd = str(null.fileno())
            for arguments in ((), ("-x",), ("3", "4"), (fd, fd, "x"), (fd, fd, fd), ("0", "1", "2"), ("-Y",),
                              ("-n", "-n"), (fd, "99999", "99998"), ("-Y", fd, "", fd), ("1 ", "+4", "-5")):
                with self.subTest(arguments):
                    done = subprocess.run([TLSIO, *arguments], env=knobs_of(), cwd=FILES.path, timeout=LIMIT,
                                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                          pass_fds=[null.fileno()], check=False)
                    self.assertEqual((done.returncode, done.stdout), (100, b""))
                    self.assertTrue(done.stderr.startswith(b"usage: postern-tlsio "), done.stderr)


class ServerNames(Case):
    @classmethod
    def setUpClass(cls):
        place = Place()
        cls.addClassCleanup(place.__exit__)
        cls.folder = place.path / "live"
        for host, kind in (("a.example", "ec"), ("b.example", "rsa"), ("x", "rsa")):
            certs.put(cls.folder, host, certs.make(place.path, host, kind=kind, names=(host,)))
        other = certs.make(place.path, "other", names=("other",))
        certs.put(cls.folder, "mismatch.example", other)
        shutil.copy(place.path / "a.example.key", cls.folder / "mismatch.example" / "privkey.pem")
        certs.put(cls.folder, "nokey.example", other)
        (cls.folder / "nokey.example" / "privkey.pem").unlink()
        certs.put(cls.folder, "small.example", certs.make(place.path, "small.example", kind="small"))
        certs.put(cls.folder, "old.example", certs.make(place.path, "old.example", ends=-0.5))
        (cls.folder / "nothing.example").mkdir()
        (cls.folder / "README").write_text("not a folder\n")
        certs.put(place.path, "outside", other)  # ../outside would reach it
        certs.put(cls.folder, "up", other)

    def served(self, name, context=None, **event):
        """The common name of the certificate that a client which asks for `name` gets."""
        with Cipher(CERTDIR=str(self.folder), **pair("rsa")) as c:
            if isinstance(name, bytes):
                context = context or client_context()
            tls = c.shake(context, name)
            der = tls.getpeercert(True)
            self.check_talk(c, tls)
            self.check_end(c, **event)
        text = certs.openssl("x509", "-noout", "-subject", "-nameopt", "multiline", "-in", self.pem(der)).decode()
        return re.search(r"commonName\s*= (.*)", text)[1]

    def pem(self, der):
        path = self.folder.parent / "peer.pem"
        path.write_text(ssl.DER_cert_to_PEM_cert(der))
        return path

    def test_choice(self):
        for name, want in ((None, "mx.example.net"), ("a.example", "a.example"), ("b.example", "b.example"),
                           ("A.Example", "a.example"), ("B.EXAMPLE", "b.example"), ("c.example", "mx.example.net"),
                           ("nothing.example", "mx.example.net"), ("readme", "mx.example.net"),
                           ("sub.a.example", "mx.example.net")):
            with self.subTest(name):
                self.assertEqual(self.served(name), want)

    def test_no_trace_of_the_default_is_left(self):
        """A client that can do RSA only must not get the default pair where the name's is EC."""
        context = client_context(highest=ssl.TLSVersion.TLSv1_2)
        context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
        with Cipher(CERTDIR=str(self.folder), **pair("rsa")) as c:
            with self.assertRaises(ssl.SSLError):
                c.shake(context, "a.example")
            c.net.close()
            self.check_end(c, step="handshake", error="no shared cipher")

    def test_broken_pairs(self):
        for name, step, file, error in (
                ("mismatch.example", "key", "privkey.pem", "does not match the certificate"),
                ("nokey.example", "key", "privkey.pem", "No such file or directory"),
                ("small.example", "certificate", "fullchain.pem", "ee key too small")):
            with self.subTest(name):
                path = str(self.folder / name / file)
                self.assertEqual(self.served(name, step=step, object=path, error=error), "mx.example.net")

    def test_out_of_date(self):
        path = str(self.folder / "old.example" / "fullchain.pem")
        self.assertEqual(self.served("old.example", step="certificate", object=path, error="expired"), "old.example")

    def hostile(self, name):
        """The name of the certificate that openssl s_client gets: unlike Python's ssl it asks for any name."""
        with Cipher(CERTDIR=str(self.folder), **pair("rsa")) as c:
            port = forward(self, c)
            done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", name],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  timeout=LIMIT, check=False)
            c.stop_saying()
            return re.search(rb"subject=CN = (\S+)", done.stdout)[1].decode(), c.log()

    def test_names_that_are_paths(self):
        for name in ("../outside", "..", ".", "./a.example", "a.example/", "x/../up", "/etc", ".x", "a..example",
                     "a.example ", "a.example\n", "a_b", "\\x", "a%2eexample", "*", "b\u00fccher.example", "-",
                     "x" * 254, "a.example."):
            with self.subTest(name):
                got, log = self.hostile(name)
                self.assertEqual((got, log.events("tlsio", step="certificate"), log.events("tlsio", step="key")),
                                 ("mx.example.net", [], []))

    def test_the_double_sees_names(self):
        """The same with a name that is there: so the test above could have failed."""
        self.assertEqual(self.hostile("a.example")[0], "a.example")


class Carrying(Case):
    def both_ways(self, size, at_once, **knobs):
        """The client says all before it reads anything; the application talks all the while."""
        up, down = os.urandom(size), os.urandom(size)
        with Cipher(**knobs) as c:
            tls = c.shake()
            heard = []
            threads = [threading.Thread(target=c.tell, args=(down,), daemon=True),
                       threading.Thread(target=lambda: heard.append(c.heard(size)), daemon=True)]
            for thread in threads:
                thread.start()
            view = memoryview(up)
            while view:
                tls.sendall(view[:at_once])
                view = view[at_once:]
            got = bytearray()
            while len(got) < size:
                more = tls.recv(1 << 20)
                self.assertTrue(more)
                got += more
            for thread in threads:
                thread.join(LIMIT)
            self.assertEqual(heard, [up])  # not assertEqual's diff: bytes this long take it hours
            self.assertTrue(got == down)
            c.stop_saying()
            self.assertEqual(tls.recv(1), b"")
            tls.unwrap().close()
            self.check_end(c)

    def test_twenty_megabytes(self):
        self.both_ways(20_000_000, 1 << 20)

    def test_odd_sizes(self):
        for at_once in (1, 16384, 16385, 65536, 65537):
            with self.subTest(at_once):
                self.both_ways(at_once * 20 + 3, at_once)

    def test_application_that_does_not_hear_for_a_while(self):
        """The client's bytes wait in the kernel; the application's words go out all the same."""
        up = os.urandom(5_000_000)
        with Cipher() as c:
            tls = c.shake()
            tls.setblocking(False)
            sent = 0
            while select.select([], [tls], [], 0.2)[1] and sent < len(up):  # until the kernel takes no more
                try:
                    sent += tls.send(up[sent:sent + 65536])
                except ssl.SSLWantWriteError:
                    pass
            self.assertLess(sent, len(up))
            c.tell(b"hello")
            tls.settimeout(LIMIT)
            self.assertEqual(tls.recv(100), b"hello")
            heard = []
            reader = threading.Thread(target=lambda: heard.append(c.heard(len(up))), daemon=True)
            reader.start()
            # OpenSSL wants the last write to be tried again with the same bytes.
            tls.sendall(up[sent:sent + 65536])
            tls.sendall(up[sent + 65536:])
            reader.join(LIMIT)
            self.assertTrue(heard == [up])

    def test_key_updates(self):
        """s_client's K asks for new keys, both ways."""
        with Cipher() as c:
            client = self.s_client(c, "-tls1_3")
            for times, word in enumerate((b"one\n", b"two\n", b"three\n"), 1):
                client.stdin.write(word)
                client.stdin.flush()
                self.assertEqual(c.heard(len(word)), word)
                c.tell(b"and " + word)
                await_that(lambda: b"and " + word in self.said(client), f"and {word}")
                client.stdin.write(b"K\n")
                client.stdin.flush()
                await_that(lambda: self.said(client).count(b"KEYUPDATE") == times, "new keys")
            c.stop_saying()
            client.wait(LIMIT)
            self.check_end(c)

    def test_renegotiation_is_refused(self):
        with Cipher() as c:
            client = self.s_client(c, "-tls1_2")
            client.stdin.write(b"one\n")
            client.stdin.flush()
            self.assertEqual(c.heard(4), b"one\n")
            client.stdin.write(b"R\n")
            client.stdin.flush()
            client.wait(LIMIT)
            self.assertIn(b"no renegotiation", self.said(client))
            c.stop_saying()
            self.assertEqual(c.wait(), 0)

    def s_client(self, c, *options):
        """openssl s_client over this cipher's network; its output is in a file."""
        port = forward(self, c)
        self.said_file = tempfile.TemporaryFile()
        self.addCleanup(self.said_file.close)
        client = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *options],
                                  stdin=subprocess.PIPE, stdout=self.said_file, stderr=subprocess.STDOUT)
        self.addCleanup(client.stdin.close)
        self.addCleanup(client.wait, LIMIT)
        self.addCleanup(client.kill)
        return client

    def said(self, _):
        return os.pread(self.said_file.fileno(), 1 << 20, 0)


class Bio:
    """A client whose TLS and whose connection are two things: it can say close_notify and go on reading."""

    def __init__(self, sock):
        self.sock, self.incoming, self.outgoing = sock, ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = client_context().wrap_bio(self.incoming, self.outgoing)
        self.call(self.tls.do_handshake)

    def flush(self):
        if data := self.outgoing.read():
            self.sock.sendall(data)

    def call(self, function, *arguments):
        while True:
            try:
                return function(*arguments)
            except ssl.SSLWantReadError:
                self.flush()
                data = self.sock.recv(65536)
                if data:
                    self.incoming.write(data)
                else:
                    self.incoming.write_eof()
            finally:
                self.flush()

    def say_goodbye(self):
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        self.flush()


class Ends(Case):
    def test_client_says_close_notify(self):
        """The application hears the end. Its later words still arrive, and its own end."""
        with Cipher() as c:
            client = Bio(c.net)
            client.tls.write(b"QUIT\r\n")
            client.say_goodbye()
            self.assertEqual(c.heard(), b"QUIT\r\n")
            c.tell(b"221 bye\r\n")
            self.assertEqual(client.call(client.tls.read, 100), b"221 bye\r\n")
            c.stop_saying()
            with self.assertRaises(ssl.SSLZeroReturnError):
                client.call(client.tls.read, 100)
            c.net.close()
            self.check_end(c)

    def test_truncation(self):
        """The application hears an end, and the log tells it from close_notify."""
        with Cipher() as c:
            tls = c.shake()
            tls.sendall(b"DATA\r\nhalf of it")
            self.assertEqual(c.heard(16), b"DATA\r\nhalf of it")
            tls.close()
            self.assertEqual(c.heard(), b"")
            c.tell(b"x" * 200000)  # taken and dropped: the application must not hang
            self.assertIsNone(c.process.poll())
            c.stop_saying()
            self.check_end(c, step="read", error="truncated")

    def test_truncation_of_one_who_listens(self):
        """FIN without close_notify ends the client's words, and not the replies."""
        for said in (b"QUIT\r\n", b"x" * 100000):
            with self.subTest(len(said)), Cipher() as c:
                client = Bio(c.net)
                client.tls.write(said)
                client.flush()
                c.net.shutdown(socket.SHUT_WR)
                self.assertEqual(c.heard(len(said)), said)
                c.tell(b"250 ok\r\n")
                self.assertEqual(client.call(client.tls.read, 100), b"250 ok\r\n")
                self.assertEqual(c.heard(), b"")
                c.stop_saying()
                self.assertEqual(client.call(client.tls.read, 100), b"")  # close_notify: else it would be an error
                c.net.close()
                self.check_end(c, step="read", error="truncated")

    def test_client_that_is_gone(self):
        """The application hears of it soon."""
        with Cipher() as c:
            tls = c.shake()
            begin = time.monotonic()
            tls.close()
            self.assertEqual(c.heard(), b"")
            self.assertLess(time.monotonic() - begin, 0.9)
            c.stop_saying()
            self.check_end(c, step="read", error="truncated")

    def test_goodbye_behind_the_end(self):
        """An application that answers, and then ends, heard all: its client only did not wait."""
        with Cipher() as c:
            client = Bio(c.net)
            client.tls.write(b"QUIT\r\n")
            client.flush()
            c.net.shutdown(socket.SHUT_WR)
            self.assertEqual(c.heard(6), b"QUIT\r\n")
            c.tell(b"221 bye\r\n")
            c.stop_saying()
            self.assertEqual(client.call(client.tls.read, 100), b"221 bye\r\n")
            c.net.close()
            self.check_end(c)

    def test_waiting_costs_nothing(self):
        """The application takes its time with input from before the end."""
        with Cipher() as c:
            tls = c.shake()
            tls.sendall(b"x" * 200000)
            tls.close()
            time.sleep(1)  # not for something: time to be spent
            stat = pathlib.Path(f"/proc/{c.process.pid}/stat").read_text()
            spent = sum(map(int, stat.rpartition(")")[2].split()[11:13])) / os.sysconf("SC_CLK_TCK")
            self.assertLess(spent, 0.5)
            self.assertEqual(len(c.heard()), 200000)
            c.stop_saying()
            self.check_end(c, step="read", error="truncated")

    def test_truncation_when_all_is_said(self):
        """A client that leaves at our goodbye is no news: the application is about to end."""
        with Cipher() as c:
            tls = c.shake()
            tls.sendall(b"QUIT\r\n")
            self.assertEqual(c.heard(6), b"QUIT\r\n")
            c.tell(b"221 bye\r\n")
            self.assertEqual(tls.recv(100), b"221 bye\r\n")
            tls.close()
            c.stop_saying()
            self.check_end(c)

    def test_truncated_with_bytes_not_yet_heard(self):
        with Cipher() as c:
            tls = c.shake()
            tls.sendall(b"x" * 100000)
            tls.close()
            self.assertEqual(len(c.heard()), 100000)
            c.stop_saying()
            self.check_end(c, step="read", error="truncated")

    def test_reset(self):
        with Cipher() as c:
            tls = c.shake()
            tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            tls.close()
            self.assertEqual(c.heard(), b"")
            c.stop_saying()
            self.check_end(c, step="read", error="Connection reset by peer")

    def test_broken_record(self):
        with Cipher() as c:
            client = Bio(c.net)
            c.net.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)
            self.assertEqual(c.heard(), b"")
            c.stop_saying()
            self.check_end(c, step="read", error="decryption failed or bad record mac")

    def test_application_ends_first(self):
        """All its words arrive, and close_notify after them; a client that goes then is no news."""
        said = os.urandom(3_000_000)
        with Cipher() as c:
            tls = c.shake()
            writer = threading.Thread(target=lambda: (c.tell(said), c.stop_saying()), daemon=True)
            writer.start()
            got = bytearray()
            while more := tls.recv(65536):
                got += more
            writer.join(LIMIT)
            self.assertTrue(got == said)
            tls.close()
            self.check_end(c)

    def test_application_ends_while_the_client_talks(self):
        """Unread input does not cost the client the last reply."""
        with Cipher() as c:
            tls = c.shake()
            tls.sendall(b"x" * 1_000)
            c.heard(1)
            c.stop_hearing()
            c.tell(b"421 enough\r\n")
            c.stop_saying()
            self.assertEqual(tls.recv(100), b"421 enough\r\n")
            for _ in range(20):
                tls.send(b"y" * 10_000)
            self.assertEqual(tls.recv(100), b"")
            tls.close()
            self.check_end(c)

    def test_application_that_hears_no_more_but_talks(self):
        with Cipher() as c:
            tls = c.shake()
            c.stop_hearing()
            tls.sendall(b"x" * 1_000_000)
            c.tell(b"still here")
            self.assertEqual(tls.recv(100), b"still here")
            c.stop_saying()
            self.assertEqual(tls.recv(100), b"")
            tls.unwrap().close()
            self.check_end(c)

    def test_sigterm_leaves_the_last_word(self):
        with Cipher("-Y") as c:
            tls = c.shake()
            self.assertTrue(c.report())
            c.process.send_signal(signal.SIGTERM)
            tls.sendall(b"NOOP\r\n")
            self.assertEqual(c.heard(6), b"NOOP\r\n")
            c.tell(b"421 4.3.2 Shutting down\r\n")
            self.assertEqual(tls.recv(100), b"421 4.3.2 Shutting down\r\n")
            c.stop_saying()
            self.assertEqual(tls.recv(100), b"")
            tls.unwrap().close()
            self.check_end(c)

    def test_pipes_as_network(self):
        """No sockets: descriptors 0 and 1 of any kind, as when tested by hand."""
        up_read, up_write = os.pipe()
        down_read, down_write = os.pipe()
        control, theirs = socket.socketpair()
        from_, say = os.pipe()
        hear, to = os.pipe()
        inherited = (theirs.fileno(), from_, to)
        process = subprocess.Popen([TLSIO, *map(str, inherited)], stdin=up_read, stdout=down_write,
                                   stderr=subprocess.PIPE, pass_fds=inherited, env=knobs_of())
        for fd in (up_read, down_write, from_, to):
            os.close(fd)
        theirs.close()
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = client_context().wrap_bio(incoming, outgoing)

        def call(function, *arguments):
            while True:
                try:
                    return function(*arguments)
                except ssl.SSLWantReadError:
                    os.write(up_write, outgoing.read())
                    incoming.write(read_by(down_read, 65536))
                finally:
                    os.write(up_write, outgoing.read())

        call(tls.do_handshake)
        call(tls.write, b"hello")
        self.assertEqual(read_by(hear, 100), b"hello")
        os.write(say, b"you")
        self.assertEqual(call(tls.read, 100), b"you")
        os.close(say)
        self.assertEqual(call(tls.read, 100), b"")  # close_notify: anything else would be an error
        self.assertEqual((process.wait(LIMIT), process.stderr.read()), (0, b""))
        process.stderr.close()
        control.close()
        for fd in (up_write, down_read, hear):
            os.close(fd)


class Deadlines(Case):
    """With a clock that runs fast for the program: its minute is our second."""

    SPEED = 60

    @classmethod
    def setUpClass(cls):
        place = Place()
        cls.addClassCleanup(place.__exit__)
        library = place.path / "clock.so"
        subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", "-o", library,
                        DOUBLE / "preload_clock.c"], check=True, timeout=LIMIT)
        cls.libraries = str(library)
        if IS_ASAN:  # its own library must come first
            asan = subprocess.run(["cc", "-print-file-name=libasan.so"], check=True, timeout=LIMIT,
                                  stdout=subprocess.PIPE).stdout.decode().strip()
            cls.libraries = f"{asan}:{library}"

    def fast(self, *options, speed=SPEED, **knobs):
        return Cipher(*options, before=("env", f"LD_PRELOAD={self.libraries}", f"CLOCK_SPEED={speed}"), **knobs)

    def test_silent_client(self):
        with self.fast("-Y") as c:
            self.assertEqual(c.report(), b"")
            self.check_end(c, step="handshake", error="timeout")

    def test_slow_client(self):
        """Bytes one by one are no reason to wait longer: the time is too short for the whole hello."""
        hello = self.client_hello()
        with self.fast("-Y") as c:
            sent = 0
            for byte in hello[:-1]:
                if select.select([c.control], [], [], 0.02)[0]:  # a little more than a second of the program's
                    break
                c.net.send(bytes([byte]))
                sent += 1
            self.assertGreater(sent, 3)
            self.assertLess(sent, len(hello) - 1)
            self.check_end(c, step="handshake", error="timeout")

    def client_hello(self):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = client_context().wrap_bio(incoming, outgoing, server_hostname="mx.example.net")
        with self.assertRaises(ssl.SSLWantReadError):
            tls.do_handshake()
        return outgoing.read()

    def test_idle(self):
        """SESSION_TIMEOUT and a minute; the client is told, the application hears the end."""
        with self.fast(SESSION_TIMEOUT="30") as c:
            tls = c.shake()
            self.assertEqual(tls.recv(100), b"")
            self.assertEqual(c.heard(), b"")
            tls.unwrap().close()
            self.check_end(c, step="idle", error="timeout")

    def test_application_that_ignores_sigterm(self):
        with self.fast("-Y", SESSION_TIMEOUT="864000") as c:
            tls = c.shake()
            self.assertTrue(c.report())
            c.process.send_signal(signal.SIGTERM)
            self.assertEqual(tls.recv(100), b"")
            tls.unwrap().close()
            self.check_end(c, step="stop", error="timeout")

    def test_sigterm_during_the_handshake(self):
        with self.fast("-Y") as c:
            client = self.client_hello()
            c.net.sendall(client)
            self.assertTrue(c.net.recv(1))  # it is there, and waits
            c.process.send_signal(signal.SIGTERM)
            self.assertEqual(c.report(), b"")
            self.check_end(c, step="handshake", error="timeout")

    @NEEDS_STRACE
    def test_sigterm_in_a_flood(self):
        """Where there is always more to read, too: before each wait the client has time for that."""
        with Cipher(before=["strace", "-o", os.devnull, "-e", "inject=ppoll:delay_enter=2000"], greedy=True) as c:
            tls = c.shake()
            sent = []
            flood = threading.Thread(target=self.flood, args=[tls, sent], daemon=True)
            flood.start()
            await_that(lambda: len(sent) > 20, "more than any buffer holds")
            children = pathlib.Path(f"/proc/{c.process.pid}/task/{c.process.pid}/children")
            os.kill(int(children.read_text()), signal.SIGTERM)
            self.check_end(c, step="stop", error="timeout")
            flood.join(LIMIT)

    def flood(self, tls, sent):
        with contextlib.suppress(OSError):
            while True:
                tls.sendall(bytes(1 << 20))
                sent.append(1 << 20)

    def stuck(self, c):
        """Fills all buffers with the application's words, while the client does not read."""
        os.set_blocking(c.say, False)
        while select.select([], [c.say], [], 0.2)[1]:
            os.write(c.say, b"x" * 65536)

    def check_cut_off(self, tls):
        """No close_notify: it would tell the client that it got all."""
        with self.assertRaisesRegex(*certs.CUT_OFF):
            while tls.recv(1 << 20):
                pass

    def test_client_that_does_not_take_the_last_word(self):
        with self.fast(over="pair", SESSION_TIMEOUT="864000") as c:
            tls = c.shake()
            self.stuck(c)
            c.stop_saying()
            self.check_end(c, step="write", error="timeout")
            self.check_cut_off(tls)

    def test_client_that_does_not_read_at_sigterm(self):
        with self.fast("-Y", over="pair", SESSION_TIMEOUT="864000") as c:
            tls = c.shake()
            self.assertTrue(c.report())
            self.stuck(c)
            c.process.send_signal(signal.SIGTERM)
            self.check_end(c, step="stop", error="timeout")
            self.check_cut_off(tls)

    def test_client_that_does_not_close(self):
        """After close_notify it has two seconds."""
        with self.fast(speed=20) as c:
            tls = c.shake()
            c.stop_saying()
            self.assertEqual(tls.recv(100), b"")
            self.check_end(c)


class Secrecy(Case):
    def test_no_core_no_tracer(self):
        """As another user where we may: a process that can be traced belongs to its user in /proc, else to root."""
        user = NOBODY if os.getuid() == 0 else None
        program = shutil.copy(TLSIO, FILES.path / "postern-tlsio")
        knobs = {}
        if user:
            for end in ("pem", "key"):
                shutil.copy(FILES.path / f"ec.{end}", FILES.path / f"theirs.{end}")
                (FILES.path / f"theirs.{end}").chmod(0o644)
            knobs = pair("theirs")
        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
        with Cipher("-Y", user=user, program=program, **knobs) as c:
            tls = c.shake()
            self.assertTrue(c.report())
            proc = pathlib.Path(f"/proc/{c.process.pid}")
            self.assertEqual(re.search(r"Max core file size +(\S+) +(\S+)", (proc / "limits").read_text()).groups(),
                             ("0", "0"))
            self.assertEqual((proc / "environ").stat().st_uid, 0)
            self.check_talk(c, tls)
            self.check_end(c)

    @unittest.skipIf(IS_ASAN, "AddressSanitizer keeps freed memory")
    @unittest.skipUnless(os.getuid() == 0, "only root may look into it")
    def test_nothing_stays_of_a_password(self):
        """A client's words of few octets may be a password. The test looks for it while the session waits."""
        secret = b"correct horse battery staple"
        with Cipher("-Y") as c:
            tls = c.shake()
            c.report()
            for before in (b"", b"x" * 1000):
                tls.sendall(before + secret + b"\r\n")
                self.assertEqual(c.heard(len(before + secret) + 2), before + secret + b"\r\n")
            self.assertGreater(len(writable_memory(c.process.pid)), 100000)
            await_that(lambda: secret not in writable_memory(c.process.pid), "all of it forgotten")
            self.check_talk(c, tls)
            self.check_end(c)

    def test_no_libowfat(self):
        """It links OpenSSL: by libowfat's licence these two must not meet. Nor does the other way round."""
        for name, want in (("postern-tlsio", True), ("postern-smtpd", False), ("postern-cdb", False)):
            data = (BUILD / name).read_bytes()
            self.assertEqual(b"libssl.so" in data, want, name)
        symbols = subprocess.run(["nm", TLSIO], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=LIMIT,
                                 check=False).stdout
        for symbol in (b"taia_now", b"stralloc_", b"fmt_ulong", b"scan_ulong", b"dns_", b"cdb_"):
            self.assertNotIn(b" " + symbol, symbols)


class Checks(Case):
    """postern-tlsio -n"""

    def check(self, **knobs):
        done = subprocess.run([TLSIO, "-n"], env=knobs_of(**knobs), cwd=FILES.path, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LIMIT, check=False, text=True)
        return done.returncode, done.stdout.splitlines(), done.stderr.splitlines()

    def test_sound(self):
        code, out, err = self.check(CERTFILE="chain.pem", KEYFILE="chain.key", SESSION_TIMEOUT="7.5")
        self.assertEqual((code, err), (0, []))
        self.assertEqual(out[:5], ["# postern 0.1", "CERTFILE=chain.pem", "KEYFILE=chain.key", "#CERTDIR", "TLS_MIN=1.2"])
        self.assertEqual(out[7], "SESSION_TIMEOUT=7.5")
        self.assertRegex(out[8], r"^# certificate=chain\.pem subject=\"CN=chain\.example\.net\" "
                                 r"names=chain\.example\.net notafter=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ "
                                 r"key=RSA-2048 match=yes chain=1$")
        self.assertEqual(len(out), 9)

    def test_every_name(self):
        with Place() as place:
            live = place.path / "live"
            ec, rsa = pair("ec"), pair("rsa")
            for host, files in (("a.example", ec), ("b.example", rsa)):
                certs.put(live, host, certs.Pair(*map(pathlib.Path, files.values())))
            (live / "README").write_text("hello\n")
            code, out, err = self.check(CERTDIR=str(live))
            self.assertEqual((code, err), (0, []))
            self.assertEqual([re.sub(r".*/(.*)/fullchain\.pem .* key=(\S+) match=yes .*", r"\1 \2", line)
                              for line in out[9:]], ["a.example EC-256", "b.example RSA-2048"])
            shutil.copy(ec["KEYFILE"], live / "b.example" / "privkey.pem")
            (live / "c.example").mkdir()
            code, out, err = self.check(CERTDIR=str(live))
            self.assertEqual((code, err), (100, [
                f"postern-tlsio: key: {live}/b.example/privkey.pem: does not match the certificate",
                f"postern-tlsio: certificate: {live}/c.example/fullchain.pem: No such file or directory",
                f"postern-tlsio: key: {live}/c.example/privkey.pem: No such file or directory"]))
            self.assertIn(" match=no ", out[10])

    def test_faults(self):
        for knobs, want in ((pair("old"), ["certificate: .*old.pem: expired"]),
                            (pair("early"), ["certificate: .*early.pem: not yet valid"]),
                            (pair("small"), ["certificate: .*small.pem: ee key too small"]),
                            ({"KEYFILE": "locked.key"}, ["key: locked.key: encrypted with a password"]),
                            ({"CIPHERS": "NONE-SUCH"}, ["config: CIPHERS: no cipher match"]),
                            ({"CERTDIR": "none"}, ["config: CERTDIR: No such file or directory"]),
                            ({"CCAFILE": "none"}, ["ca: none: No such file or directory"]),
                            ({"CERTFILE": "no\nsuch"}, [r'certificate: "no\\x0asuch": No such file or directory']),
                            ({"TLS_MIN": "1", "CERTFILE": ""}, ['config: CERTFILE: "" is empty',
                                                                'config: TLS_MIN: "1" is neither 1.2 nor 1.3'])):
            with self.subTest(knobs):
                code, _, err = self.check(**knobs)
                self.assertEqual((code, len(err)), (100, len(want)), err)
                for line, pattern in zip(err, want):
                    self.assertRegex(line, f"^postern-tlsio: {pattern}$")

    def test_output_that_cannot_be_written(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([TLSIO, "-n"], env=knobs_of(), stdin=subprocess.DEVNULL, stdout=full,
                                  stderr=subprocess.PIPE, timeout=LIMIT, check=False)
        self.assertEqual(done.returncode, 111)

    def test_manual_has_each_knob_with_its_default(self):
        page = (ROOT / "man/postern-tlsio.8").read_text()
        section = page.split("\n.Sh ENVIRONMENT\n")[1].split("\n.Sh ")[0]
        paragraphs = dict(re.findall(r"^\.It Ev (\S+)\n(.*?)(?=^\.It|^\.El)", section, re.M | re.S))
        _, out, _ = self.check(CERTFILE=str(FILES.path / "both.pem"), KEYFILE=None, SESSION_TIMEOUT=None)
        for line in out[1:8]:
            name, _, value = line.lstrip("#").partition("=")
            self.assertIn(name, paragraphs)
            if value and name != "CERTFILE":
                self.assertRegex(paragraphs[name], rf"The default is\n\.Li {re.escape(value)} ")
        self.assertEqual(len(paragraphs), 7)

    def test_manual_has_each_step(self):
        code = "".join(path.read_text() for path in (ROOT / "tlsio.c", *ROOT.glob("tls/*.c")))
        steps = set(re.findall(r'(?:complain\((?:context|l|&event_log), |t->complain\(t->context, |refuse\(t, |'
                               r'tell\(t, |lose\(t, )"([a-z]+)"', code))
        steps |= set(re.findall(r'\? "([a-z]+)" : "([a-z]+)", "timeout"', code)[0])
        page = (ROOT / "man/postern-log.5").read_text().split("\n.Ss The event of TLS\n")[1]
        listed = page.split("\n.It Cm step\n")[1].split("\n.El\n")[0]
        words = {word for line in re.findall(r"^\.It Li (.*)$", listed, re.M) for word in line.split(" , ")}
        self.assertEqual(words, steps)


if __name__ == "__main__":
    unittest.main()
