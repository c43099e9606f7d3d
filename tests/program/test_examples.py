"""etc/: each example means the same to sh, systemd and envdir, and works behind real servers."""
import fnmatch
import re
import subprocess
import unittest

from harness import LIMIT, ROOT, SMTPD, Place, Session, SocketActivate, Tcpserver, environment, example

FOLDER = ROOT / "etc"
NAMES = sorted(path.stem for path in FOLDER.glob("*.env"))
README = (FOLDER / "README.md").read_text()

# name: swaks's exit code, words that the log must have, messages in spool
SENT = {
    "fake-mx": (25, ("command", {"verb": "DATA", "reason": "refuse"}), 0),
    "fake-mx-keep": (26, ("message", {"place": "spool", "reason": "refuse"}), 1),
    "pseudo-server": (23, ("mail", {"from": "<a@example.org>", "reason": "refuse"}), 0),
    "spam-trap": (0, ("message", {"verdict": "accept"}), 1),
    "test-receiver": (0, ("out", {"data": "221 2.0.0 Bye"}), 1),
    "guarded-receiver": (0, ("message", {"verdict": "accept"}), 1),
    "backup-mx": (0, ("message", {"place": "queue", "verdict": "accept"}), 0),
}


def values(name):
    """The settings of the file, with its own paths."""
    lines = (FOLDER / f"{name}.env").read_text().splitlines()
    return dict(re.fullmatch(r'([A-Z_]+)="(.*)"', line).groups() for line in lines if not line.startswith("#"))


class Files(unittest.TestCase):
    def test_all_are_told(self):
        self.assertEqual(set(NAMES), set(SENT))
        self.assertEqual(sorted(re.findall(r"^\| ([\w-]+)\.env \|", README, re.M)), NAMES)
        for name in NAMES:
            self.assertTrue((ROOT / "tests/transcripts" / f"example-{name}.txt").exists(), name)

    def test_commented_are_knobs_too(self):
        shown = subprocess.run([SMTPD, "-n"], env={"DISCARD": "1"}, capture_output=True, text=True, timeout=LIMIT)
        knobs = re.findall(r"^#?([A-Z_]+)", shown.stdout, re.M)
        for name in NAMES:
            text = (FOLDER / f"{name}.env").read_text()
            for knob in re.findall(r"^#?([A-Z_]+)=", text, re.M):
                self.assertIn(knob, knobs, name)

    def test_sh(self):
        for name in NAMES:
            with self.subTest(name):
                done = subprocess.run(["env", "-i", "sh", "-c", f"set -a; . etc/{name}.env; env -0"], cwd=ROOT,
                                      stdout=subprocess.PIPE, check=True, timeout=LIMIT)
                self.check(done.stdout, name)

    def test_envdir(self):
        """By the command that README gives."""
        command = re.search(r"^    (sed -n .*\n.*done)$", README, re.M)[1]
        for name in NAMES:
            with self.subTest(name), Place() as place:
                (place.path / "env").mkdir()
                line = command.replace("/etc/postern/fake-mx", str(place.path / "env")).replace("fake-mx", name)
                subprocess.run(["sh", "-euc", line], cwd=ROOT, check=True, timeout=LIMIT)
                done = subprocess.run(["env", "-i", "/usr/bin/envdir", "env", "/usr/bin/env", "-0"], cwd=place.path,
                                      stdout=subprocess.PIPE, check=True, timeout=LIMIT)
                self.check(done.stdout, name)

    def check(self, printed, name):
        env = dict(pair.split("=", 1) for pair in printed.decode().split("\0") if pair)
        self.assertEqual({k: v for k, v in env.items() if k not in ("PWD", "_", "SHLVL", "OLDPWD")}, values(name))

    def test_understood(self):
        """-n has no complaint, and shows the values as they are."""
        for name in NAMES:
            with self.subTest(name), Place() as place:
                tables(place)
                done = subprocess.run([SMTPD, "-n"], cwd=place.path, env=environment(**example(name)), timeout=LIMIT,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
                self.assertEqual((done.returncode, done.stderr), (0, b""))
                for knob, value in example(name).items():
                    if value:
                        self.assertRegex(done.stdout.decode(), rf"(?m)^{knob}={re.escape(value)}0*$")


def tables(place):
    for kind, text in (("domains", "example.com\n"), ("mailboxes", "b@example.com\n"), ("badsenders", "")):
        place.compile(kind, text)
    place.write("qmail-queue", "#!/bin/sh\ncat >/dev/null; cat <&1 >/dev/null\n", 0o755)


FAIL2BAN = ROOT / "dep/fail2ban"


@unittest.skipUnless(FAIL2BAN.exists(), "no dep/fail2ban here: tools/deps check")
class Fail2ban(unittest.TestCase):
    """The filter, as fail2ban-regex understands it, before the log of real sessions."""

    # client, its words, whether a filter in each mode finds it
    CLIENTS = (
        ("192.0.2.1", "AUTH PLAIN AGEAYg==", True, True),
        ("2001:db8::1", "AUTH PLAIN AGEAYg==", True, True),
        ("192.0.2.2", "RCPT TO:<nobody@example.com>", False, True),
        ("192.0.2.3", "GET / HTTP/1.1", False, True),
        ("192.0.2.4", "RCPT TO:<b@example.com>", False, False),
        ("192.0.2.5", 'EHLO client=192.0.2.66 reason=auth-failed "', False, False),
        ("192.0.2.6", "RCPT TO:<event=command@client.192.0.2.66>", False, False),
        ("192.0.2.7", "NOOP reason=auth-failed client=192.0.2.66", False, False),
    )

    def make_log(self, place):
        tables(place)
        lines = b""
        for client, said, *_ in self.CLIENTS:
            with Session(place, TCPREMOTEIP=client, CHECKPASSWORD="/bin/false", AUTH_INSECURE="1", VERBOSE="1",
                         DOMAINS="domains.cdb", MAILBOXES="mailboxes.cdb") as session:
                session.hello()
                for line in (["MAIL FROM:<a@example.org>"] if said.startswith("RCPT") else []) + [said]:
                    session.command(line)
                session.close()
                session.wait()
                session.log_file.seek(0)
                lines += session.log_file.read()
        return lines.splitlines()

    def found(self, place, lines, mode):
        (place.path / "log").write_bytes(b"".join(line + b"\n" for line in lines))
        (place.path / "filter.d").mkdir(exist_ok=True)
        copy = place.path / "filter.d/postern.conf"
        copy.write_text((FOLDER / "fail2ban/filter.conf").read_text())
        done = subprocess.run(["/usr/bin/python3", FAIL2BAN / "usr/bin/fail2ban-regex", "-c", FAIL2BAN / "etc/fail2ban",
                               "-o", "ip", place.path / "log", f"{copy}[mode={mode}]"], timeout=LIMIT, check=True,
                              env={**environment(), "PYTHONPATH": str(FAIL2BAN / "usr/lib/python3/dist-packages")},
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.stdout.decode().split()

    def test_filter(self):
        with Place() as place:
            lines = self.make_log(place)
            for prefix in (b"@400000006920aa000badcafe ", b"Nov 21 18:00:30 mx postern[6412]: "):
                for mode, column in (("login", 2), ("probe", 3)):
                    with self.subTest(prefix, mode=mode):
                        self.assertEqual(self.found(place, [prefix + line for line in lines], mode),
                                         [row[0] for row in self.CLIENTS if row[column]])

    def test_jail(self):
        """It names the folders and files of INSTALL."""
        jail = dict(re.findall(r"^(\w+) = (.*)$", (FOLDER / "fail2ban/jail.conf").read_text(), re.M))
        install = (ROOT / "INSTALL").read_text()
        folders = set(re.findall(r"multilog t .* (/var/log/\S+)", install))
        self.assertIn("/var/log/postern", folders)
        for folder in folders:
            self.assertTrue(fnmatch.fnmatch(f"{folder}/current", jail["logpath"]), folder)
        for name in ("filter", "jail"):
            self.assertTrue(f"etc/fail2ban/{name}.conf /etc/fail2ban/{name}.d/postern.conf" in install, name)


class Servers(unittest.TestCase):
    """One letter by swaks to each, behind tcpserver and behind systemd's socket."""

    def send(self, start):
        for name, (code, (event, pairs), stored) in SENT.items():
            with self.subTest(name), Place() as place:
                tables(place)
                server = start(place, **example(name))
                try:
                    done = subprocess.run(["swaks", "--server", server.host, "--port", str(server.port), "--from",
                                           "a@example.org", "--to", "b@example.com", "--helo", "swaks.example"],
                                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT,
                                          stdin=subprocess.DEVNULL, check=False)
                finally:
                    server.stop()
                self.assertEqual(done.returncode, code, done.stdout.decode())
                self.assertTrue(server.log().events(event, **pairs), server.log())
                self.assertEqual(place.stored(), {"spool": stored} if stored else {})

    def test_tcpserver(self):
        self.send(Tcpserver)

    def test_socket_activate(self):
        self.send(SocketActivate)
