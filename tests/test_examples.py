"""examples/: what each says is what sh, systemd and envdir make of it, and it works behind real servers."""
import re
import subprocess
import unittest

from harness import LIMIT, ROOT, SMTPD, Place, SocketActivate, Tcpserver, environment, example

FOLDER = ROOT / "examples"
NAMES = sorted(path.stem for path in FOLDER.glob("*.env"))
README = (FOLDER / "README.md").read_text()

# name: swaks's exit code, what the log must have, messages in spool
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
    """What the file says, its paths untouched."""
    lines = (FOLDER / f"{name}.env").read_text().splitlines()
    return dict(re.fullmatch(r'([A-Z_]+)="(.*)"', line).groups() for line in lines if not line.startswith("#"))


class Files(unittest.TestCase):
    def test_all_are_told(self):
        self.assertEqual(set(NAMES), set(SENT))
        self.assertEqual(sorted(re.findall(r"^\| ([\w-]+)\.env \|", README, re.M)), NAMES)
        for name in NAMES:
            self.assertTrue((ROOT / "tests" / "transcripts" / f"example-{name}.txt").exists(), name)

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
                done = subprocess.run(["env", "-i", "sh", "-c", f"set -a; . examples/{name}.env; env -0"], cwd=ROOT,
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
