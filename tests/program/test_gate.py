"""postern-tls, the gate, alone: a script stands for postern-tlsio, beside a link to the gate; and with postern-smtpd
behind it. Started by root it becomes two other users, which the tests try, too."""
import contextlib
import os
import pwd
import re
import shutil
import socket
import subprocess
import unittest

import ucspitls
from harness import BUILD, LIMIT, SMTPD, DOUBLE, Client, Log, Place, await_that, environment

GATE = BUILD / "postern-tls"
IS_ROOT = os.geteuid() == 0
USER, KEEPER = "nobody", "daemon"  # they are on every system, and not alike
FLAGS = ["-u", USER, "-U", KEEPER] if IS_ROOT else []

# The gate starts this: it writes down all that it finds, and asks for TLS with the byte in ASK.
PROGRAM = """#!/bin/sh
env >program.env
ls -l /proc/self/fd >program.fds
id -u >program.id; id -g >>program.id; id -G >>program.id
cat key >program.key 2>/dev/null
if [ -n "$SSLCTLFD" ] && [ -n "$ASK" ]; then
    printf "$ASK" >&$SSLCTLFD
    read -r line <&$SSLREADFD
    echo "$line" >program.read
    echo "from the program" >&$SSLWRITEFD
fi
exit 7
"""
# The gate becomes this: it writes down all that it finds, answers, and sends a line each way.
TLSIO = """#!/bin/sh
echo "$*" >tlsio.args
env >tlsio.env
ls -l /proc/self/fd >tlsio.fds
id -u >tlsio.id; id -g >>tlsio.id; id -G >>tlsio.id
cat key >tlsio.key 2>/dev/null
[ "$1" = -Y ] && shift
test -e hold && read word <hold
[ -e fail ] && exit 1
printf 'SSL_PROTOCOL=TLSv1.3\\0SSL_CIPHER=X\\0SSL_TLS_SNI_SERVERNAME=mx.example.net\\0\\0' >&$1
echo "to the program" >&$3
read -r line <&$2
echo "$line" >tlsio.read
exit 0
"""


class Wall(Place):
    """A folder with a gate, a program and a postern-tlsio, a certificate and a key; anybody may write into it."""

    def __init__(self, program=PROGRAM, tlsio=TLSIO):
        super().__init__()
        self.path.chmod(0o777)
        shutil.copy(GATE, self.path / "postern-tls")  # where a user of no rights finds it, too
        self.write("program", program, 0o755)
        if tlsio:
            self.write("postern-tlsio", tlsio, 0o755)
        self.write("cert", "certificate\n")
        self.write("key", "secret\n", 0o600)
        if IS_ROOT:
            shutil.chown(self.path / "key", KEEPER)

    def start(self, *arguments, flags=None, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, program="./program",
              **knobs):
        env = environment(**{"CERTFILE": "cert", "KEYFILE": "key", **knobs})
        command = ["./postern-tls", *(FLAGS if flags is None else flags), *arguments, *([program] if program else [])]
        return subprocess.Popen(command, cwd=self.path, env=env, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE)

    def run(self, *arguments, **options):
        """(exit code, standard error); both processes have ended."""
        with self.start(*arguments, **options) as process:
            try:
                return (said := process.communicate(timeout=LIMIT)[1]) is not None and process.returncode, said
            finally:
                if process.poll() is None:
                    process.kill()

    def env_of(self, who):
        lines = self.read(f"{who}.env").decode().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def fds_of(self, who):
        """number: target, without the one that ls itself has open."""
        found = dict(re.findall(r" (\d+) -> (.*)$", self.read(f"{who}.fds").decode(), re.M))
        return {int(n): target for n, target in found.items() if not target.startswith("/proc/")}

    def has(self, name):
        return (self.path / name).exists()


class Offer(unittest.TestCase):
    """The program's surroundings; the gate ends with it."""

    def test_leaves_nobody(self):
        """The gate takes note of the program's end: it does not end first, and leaves its parent no process."""
        program = PROGRAM.replace("exit 7", "eval \"exec $SSLCTLFD>&-\"; read line <hold; echo over >after; exit 7")
        with Wall(program) as wall:
            os.mkfifo(wall.path / "hold")
            (wall.path / "hold").chmod(0o666)
            process = wall.start()
            (wall.path / "hold").write_text("go\n")  # opens when the program does; SSLCTLFD is closed by then
            with process:
                process.communicate(timeout=LIMIT)
            self.assertEqual((process.returncode, wall.read("after")), (0, b"over\n"))

    def test_offered(self):
        with Wall() as wall:
            self.assertEqual(wall.run(), (0, b""), "its end is all the gate waits for")
            env = wall.env_of("program")
            self.assertEqual(env["UCSPITLS"], "")
            numbers = [int(env[name]) for name in ("SSLCTLFD", "SSLREADFD", "SSLWRITEFD")]
            fds = wall.fds_of("program")
            self.assertEqual(sorted(fds), [0, 1, 2, *sorted(numbers)])
            self.assertRegex(fds[numbers[0]], "socket:")
            self.assertRegex(fds[numbers[1]], "pipe:")
            self.assertNotEqual(fds[numbers[1]], fds[numbers[2]])
            self.assertFalse(wall.has("tlsio.args"))

    def test_kept(self):
        for value in ("!", "", "1", "x"):
            with self.subTest(value), Wall() as wall:
                self.assertEqual(wall.run(UCSPITLS=value), (0, b""))
                self.assertEqual(wall.env_of("program")["UCSPITLS"], value)
                self.assertIn("SSLCTLFD", wall.env_of("program"))

    def test_not_wanted(self):
        """UCSPITLS=-: not a word of TLS, with any files; the gate is out of the way."""
        with Wall() as wall:
            self.assertEqual(wall.run(UCSPITLS="-", CERTFILE=None, SSLCTLFD="9"), (7, b""))
            self.assertNotIn("SSLCTLFD", wall.env_of("program"))
            self.assertEqual(sorted(wall.fds_of("program")), [0, 1, 2])

    def check_not_offered(self, wall, step, thing, **knobs):
        code, said = wall.run(SSLCTLFD="9", TCPREMOTEIP="192.0.2.7", **knobs)
        self.assertEqual(code, 7, "the program took the gate's place")
        (event,) = Log(said)
        self.assertEqual({k: event[k] for k in ("event", "client", "step", "object")},
                         {"event": "gate", "client": "192.0.2.7", "step": step, "object": thing})
        self.assertTrue(event["error"])
        self.assertNotIn("SSLCTLFD", wall.env_of("program"))
        self.assertEqual(sorted(wall.fds_of("program")), [0, 1, 2])

    def test_files(self):
        for name, step, knob in (("cert", "certificate", "CERTFILE"), ("key", "key", "KEYFILE")):
            with self.subTest(name, how="missing"), Wall() as wall:
                self.check_not_offered(wall, step, "nowhere", **{knob: "nowhere"})
            with self.subTest(name, how="unreadable"), Wall() as wall:
                (wall.path / name).chmod(0)
                self.check_not_offered(wall, step, name)
        with self.subTest("no CERTFILE"), Wall() as wall:
            self.check_not_offered(wall, "certificate", "CERTFILE", CERTFILE=None)
        with self.subTest("a pipe that nobody writes to"), Wall() as wall:
            os.mkfifo(wall.path / "fifo", 0o644)
            wall.run(CERTFILE="fifo")
            self.assertTrue(wall.has("program.env"), "it does not wait for it")

    def test_demanded_in_vain(self):
        """UCSPITLS=! stays: the program will refuse mail."""
        with Wall() as wall:
            self.check_not_offered(wall, "certificate", "nowhere", CERTFILE="nowhere", UCSPITLS="!")
            self.assertEqual(wall.env_of("program")["UCSPITLS"], "!")

    def test_no_key_file(self):
        """The key may be in the certificate's file."""
        with Wall() as wall:
            self.assertEqual(wall.run(KEYFILE=None), (0, b""))
            self.assertIn("SSLCTLFD", wall.env_of("program"))

    def test_no_tlsio(self):
        with Wall(tlsio=None) as wall:
            self.check_not_offered(wall, "program", "./postern-tlsio")
        with self.subTest("not for this user"), Wall() as wall:
            (wall.path / "postern-tlsio").chmod(0o700 if IS_ROOT else 0o600)
            self.check_not_offered(wall, "program", "./postern-tlsio")

    def test_no_program(self):
        for knobs, code in (({}, 0), ({"UCSPITLS": "-"}, 111)):
            with self.subTest(knobs), Wall() as wall:
                got, said = wall.run(program="./nowhere", **knobs)
                self.assertEqual(got, code)
                event = Log(said).one("gate", step="program", object="./nowhere")
                self.assertEqual(event["error"], "No such file or directory")

    def test_usage(self):
        with Wall() as wall:
            for arguments in ([], ["-x"], ["-u"], ["-U"], ["-i"], ["-u", "nobody"]):
                with self.subTest(arguments):
                    code, said = wall.run(*arguments, flags=[], program=None)
                    self.assertEqual(code, 100)
                    self.assertIn(b"usage: postern-tls ", said)
            self.assertFalse(wall.has("program.env"))

    def test_arguments(self):
        """The program's own arguments are left to it."""
        with Wall("#!/bin/sh\nprintf '%s\\n' \"$@\" >program.args\n") as wall:
            self.assertEqual(wall.run("./program", "-i", "-u", "x y", "--", "-U", program=None), (0, b""))
            self.assertEqual(wall.read("program.args"), b"-i\n-u\nx y\n--\n-U\n")


class Ask(unittest.TestCase):
    """The byte, and the program that the gate becomes."""

    def check(self, ask, report):
        with Wall() as wall:
            self.assertEqual(wall.run(ASK=ask), (0, b""))
            words = wall.read("tlsio.args").decode().split()
            self.assertEqual(words[:-3], ["-Y"] if report else [])
            numbers = [int(word) for word in words[-3:]]
            fds = wall.fds_of("tlsio")
            self.assertEqual(sorted(fds), [0, 1, 2, *sorted(numbers)], "and nothing else")
            await_that(lambda: wall.has("program.read") and wall.read("program.read"), "the program has heard it")
            self.assertEqual(wall.read("program.read"), b"to the program\n")
            self.assertEqual(wall.read("tlsio.read"), b"from the program\n")
            env, theirs = wall.env_of("program"), wall.fds_of("program")
            self.assertEqual(theirs[int(env["SSLREADFD"])], fds[numbers[2]])
            self.assertEqual(theirs[int(env["SSLWRITEFD"])], fds[numbers[1]])

    def test_report(self):
        self.check("Y", True)

    def test_plain(self):
        self.check("y", False)

    def test_other(self):
        """Any other byte is no wish for TLS."""
        for ask in ("x", "0", "\\0", " Y"):
            with self.subTest(ask), Wall() as wall:
                self.assertEqual(wall.run(ASK=ask), (0, b""))
                self.assertFalse(wall.has("tlsio.args"))

    def test_tlsio_gone(self):
        """It was there when the session began."""
        with Wall(PROGRAM.replace('printf "$ASK"', 'rm postern-tlsio; printf "$ASK"')) as wall:
            code, said = wall.run(ASK="Y")
            self.assertEqual(code, 111)
            self.assertEqual(Log(said).one("gate")["object"], "./postern-tlsio")

    def test_from_path(self):
        """A gate found in PATH looks there for postern-tlsio."""
        with Wall() as wall:
            process = subprocess.run(["sh", "-c", 'exec postern-tls "$@"', "sh", *FLAGS, "./program"], cwd=wall.path,
                                     env=environment(CERTFILE="cert", ASK="Y", PATH=f"{wall.path}:{os.environ['PATH']}"),
                                     stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=LIMIT, check=False)
            self.assertEqual((process.returncode, process.stderr), (0, b""))
            self.assertTrue(wall.has("tlsio.args"))

    def test_not_in_path(self):
        """Without postern-tlsio in PATH TLS is not offered, either."""
        for folders in ("", ":/nowhere", "::"):
            with self.subTest(folders), Wall(tlsio=None) as wall:
                process = subprocess.run(["sh", "-c", 'exec postern-tls "$@"', "sh", *FLAGS, "./program"],
                                         cwd=wall.path, env=environment(CERTFILE="cert", PATH=f"/usr/bin:/bin:{wall.path}{folders}"),
                                         stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=LIMIT, check=False)
                self.assertEqual(process.returncode, 7)
                self.assertEqual(Log(process.stderr).one("gate", step="program", object="postern-tlsio")["error"],
                                 "No such file or directory")
                self.assertNotIn("SSLCTLFD", wall.env_of("program"))


class Implicit(unittest.TestCase):
    """-i: TLS comes first."""

    def test_answer(self):
        """The program starts when the handshake is done, and has the connection on 0 and 1, and no descriptors."""
        with Wall('#!/bin/sh\nread -r line; echo "$line" >program.read; echo from the program\n' + PROGRAM) as wall:
            os.mkfifo(wall.path / "hold", 0o644)
            os.chmod(wall.path / "hold", 0o666)
            with wall.start("-i", TCPREMOTEIP="192.0.2.7", SSLCTLFD="9") as process:
                await_that(lambda: wall.has("tlsio.args"), "the cipher is at work")
                self.assertFalse(wall.has("program.read"))
                (wall.path / "hold").write_text("go\n")
                self.assertEqual(process.communicate(timeout=LIMIT)[1], b"")
                self.assertEqual(process.returncode, 0)
            self.assertEqual(wall.read("program.read"), b"to the program\n")
            self.assertEqual(wall.read("tlsio.read"), b"from the program\n")
            self.assertEqual(wall.read("tlsio.args").split()[:1], [b"-Y"])
            env = wall.env_of("program")
            self.assertEqual([env.get(name) for name in ("SSL_PROTOCOL", "SSL_CIPHER", "SSL_TLS_SNI_SERVERNAME", "SSLCTLFD")],
                             ["TLSv1.3", "X", "mx.example.net", None])
            self.assertNotIn("REMOTE_ADDR", env)
            self.assertEqual(sorted(wall.fds_of("program")), [0, 1, 2])
            self.assertEqual(len(wall.fds_of("tlsio")), 6)

    def over_tcp(self, wall, listen, **knobs):
        family = socket.AF_INET6 if ":" in listen else socket.AF_INET
        with socket.socket(family) as listener, contextlib.ExitStack() as stack:
            listener.bind((listen, 0))
            listener.listen(1)
            ours = stack.enter_context(socket.create_connection(listener.getsockname()[:2], LIMIT))
            theirs = stack.enter_context(listener.accept()[0])
            theirs.settimeout(None)
            self.assertEqual(wall.run("-i", stdin=theirs, stdout=theirs, **knobs), (0, b""))
            return str(ours.getsockname()[1]), wall.env_of("program")

    def test_client(self):
        """Without the server's word the connection tells the client's address: the program will not have it."""
        for listen, told in (("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("::ffff:127.0.0.1", "127.0.0.1")):
            with self.subTest(listen), Wall() as wall:
                port, env = self.over_tcp(wall, listen, TCPREMOTEIP=None)
                self.assertEqual((env["REMOTE_ADDR"], env["REMOTE_PORT"]), (told, port))
        for known in ({"TCPREMOTEIP": "192.0.2.7"}, {"TCPREMOTEIP": None, "REMOTE_ADDR": "192.0.2.7"}):
            with self.subTest(known), Wall() as wall:
                _, env = self.over_tcp(wall, "127.0.0.1", **known)
                self.assertEqual((env.get("REMOTE_ADDR"), env.get("REMOTE_PORT")), (known.get("REMOTE_ADDR"), None))

    def test_failed(self):
        """No handshake, no program."""
        with Wall() as wall:
            wall.write("fail", "")
            wall.run("-i")
            self.assertTrue(wall.has("tlsio.args"))
            self.assertFalse(wall.has("program.env"))

    def test_cannot(self):
        with Wall() as wall:
            code, said = wall.run("-i", CERTFILE="nowhere")
            self.assertEqual(code, 100)
            self.assertEqual(Log(said).one("gate")["object"], "nowhere")
            self.assertFalse(wall.has("program.env"))


@unittest.skipUnless(IS_ROOT, "not root: NOBODY WAS BECOME")
class Users(unittest.TestCase):
    """Started as root: the program's user, and the key's."""

    def check_id(self, wall, who, name):
        p = pwd.getpwnam(name)
        uid, gid, groups = wall.read(f"{who}.id").decode().splitlines()
        self.assertEqual((int(uid), int(gid)), (p.pw_uid, p.pw_gid))
        self.assertEqual(set(map(int, groups.split())), set(os.getgrouplist(name, p.pw_gid)))

    def test_both(self):
        for arguments in ([], ["-i"]):
            with self.subTest(arguments), Wall() as wall:
                self.assertEqual(wall.run(*arguments, ASK="Y"), (0, b""))
                await_that(lambda: wall.has("program.key"), "the program has tried")
                self.check_id(wall, "program", USER)
                self.check_id(wall, "tlsio", KEEPER)
                self.assertEqual(wall.read("tlsio.key"), b"secret\n")
                self.assertEqual(wall.read("program.key"), b"", "the program cannot read the key")

    def test_numbers(self):
        """uid:gid needs no name, and brings no further groups."""
        with Wall() as wall:
            shutil.chown(wall.path / "key", 54322, 54322)
            self.assertEqual(wall.run(ASK="Y", flags=["-u", "54321:54320", "-U", "54322:54322"]), (0, b""))
            self.assertEqual(wall.read("program.id"), b"54321\n54320\n54320\n")
            self.assertEqual(wall.read("tlsio.id"), b"54322\n54322\n54322\n")
            self.assertEqual(wall.read("tlsio.key"), b"secret\n")
            self.assertEqual(wall.read("program.key"), b"")

    def test_no_numbers(self):
        for text in ("1", "1:", ":1", "1:1:1", "1:x", "4294967295:1", "1:4294967296", "-1:1", "1:-1", "1: 1"):
            with self.subTest(text), Wall() as wall:
                code, said = wall.run(flags=["-u", text, "-U", KEEPER])
                self.assertEqual(code, 100)
                self.assertEqual(Log(said).one("gate", step="user")["object"], text)

    def test_without_tls(self):
        """Without TLS, too, the program has only its user's rights."""
        for knobs in ({"UCSPITLS": "-"}, {"CERTFILE": "nowhere"}):
            with self.subTest(knobs), Wall() as wall:
                self.assertEqual(wall.run(**knobs)[0], 7)
                self.check_id(wall, "program", USER)
                self.assertEqual(wall.read("program.key"), b"")

    def test_eyes(self):
        """A key that only root, or only the program's user, can read is not used."""
        for owner in ("root", USER):
            with self.subTest(owner), Wall() as wall:
                shutil.chown(wall.path / "key", owner)
                code, said = wall.run()
                self.assertEqual(code, 7)
                self.assertEqual(Log(said).one("gate", step="key", object="key")["error"], "Permission denied")

    def test_for_good(self):
        """No way back: real, effective and saved ids are the user's."""
        for who, script in (("program", "#!/bin/sh\ncp /proc/$$/status program.status\n"), ("tlsio", None)):
            tlsio = TLSIO if script else "#!/bin/sh\ncp /proc/$$/status tlsio.status\n"
            with self.subTest(who), Wall(script or PROGRAM, tlsio) as wall:
                wall.run(ASK="Y")
                status = wall.read(f"{who}.status").decode()
                p = pwd.getpwnam(USER if who == "program" else KEEPER)
                self.assertEqual(re.search(r"^Uid:\t(.*)$", status, re.M)[1].split(), [str(p.pw_uid)] * 4)
                self.assertEqual(re.search(r"^Gid:\t(.*)$", status, re.M)[1].split(), [str(p.pw_gid)] * 4)
                self.assertEqual(int(re.search(r"^CapEff:\t(.*)$", status, re.M)[1], 16), 0)

    def test_not_named(self):
        for flags in ([], ["-u", USER], ["-U", KEEPER]):
            with self.subTest(flags), Wall() as wall:
                code, said = wall.run(flags=flags)
                self.assertEqual(code, 100)
                self.assertIn(b"-u and -U", said)
                self.assertFalse(wall.has("program.env"))

    def test_unknown(self):
        for flags in (["-u", "no-such-user", "-U", KEEPER], ["-u", USER, "-U", "no-such-user"], ["-u", "", "-U", ""]):
            with self.subTest(flags), Wall() as wall:
                code, said = wall.run(flags=flags)
                self.assertEqual(code, 100)
                self.assertEqual(Log(said).one("gate")["step"], "user")
                self.assertFalse(wall.has("program.env"))


    def test_root(self):
        """Root under any name is refused: the gate must give root up."""
        for text in ("0:0", "0:12345", "root"):
            for flags in (["-u", text, "-U", KEEPER], ["-u", USER, "-U", text]):
                with self.subTest(flags), Wall() as wall:
                    code, said = wall.run(flags=flags)
                    self.assertEqual(code, 100)
                    event = Log(said).one("gate")
                    self.assertEqual((event["step"], event["object"]), ("user", text))
                    self.assertIn("root", event["error"])
                    self.assertFalse(wall.has("program.env"))


# A postern-tlsio that carries bytes as the double does.
CIPHER = """#!/usr/bin/python3
import os, socket, sys
import ucspitls
class Cipher(ucspitls.Double):
    def make_channels(self):
        control, self.from_program, self.to_program = map(int, sys.argv[-3:])
        self.control = socket.socket(fileno=control)
def work(d):
    if d.shake_hands():
        d.control.sendall(ucspitls.FACTS)
        d.carry()
Cipher(socket.socket(fileno=0), work).run()
"""


class Session(ucspitls.Inside, Client):
    """postern-smtpd behind the gate, and its client."""

    def __init__(self, wall, *arguments, **knobs):
        ours, theirs = socket.socketpair()
        super().__init__(sock=ours)
        with theirs:
            self.process = wall.start(*arguments, stdin=theirs, stdout=theirs, program="./postern-smtpd", DISCARD="1",
                                      SPOOL=None, **knobs)

    def log(self):
        return Log(self.process.communicate(timeout=LIMIT)[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(LIMIT)
        self.process.stderr.close()


@unittest.skipUnless(os.path.exists("/usr/bin/python3"), "the double needs /usr/bin/python3")
class Whole(unittest.TestCase):
    """Gate and postern-smtpd together."""

    def wall(self):
        wall = Wall(tlsio=CIPHER)
        self.addCleanup(wall.__exit__)
        shutil.copy(SMTPD, wall.path / "postern-smtpd")
        for name in ("ucspitls.py", "harness.py"):
            shutil.copy(DOUBLE / name, wall.path / name)
        return wall

    def test_plain(self):
        with Session(self.wall()) as s:
            self.assertIn("STARTTLS", s.hello())
            s.mail("text")
            s.command("QUIT", 221)
            self.assertEqual(s.rest(), b"")
            self.assertEqual(s.log().one("close")["reason"], "quit")
            self.assertEqual(s.process.returncode, 0)

    def test_starttls(self):
        with Session(self.wall(), UCSPITLS="!") as s:
            s.starttls()
            s.mail("text\r\n" * 10000)
            s.command("QUIT", 221)
            self.assertEqual(s.rest(), b"")
            log = s.log()
            log.one("tls", tls=ucspitls.PROTOCOL, cipher=ucspitls.CIPHER, name=ucspitls.NAME)
            self.assertEqual(log.one("close")["reason"], "quit")

    def test_implicit(self):
        with Session(self.wall(), "-i", UCSPITLS="!") as s:
            s.tls()
            self.assertNotIn("STARTTLS", s.hello())
            s.mail("text")
            s.command("QUIT", 221)
            self.assertEqual(s.rest(), b"")
            log = s.log()
            log.one("tls", tls=ucspitls.PROTOCOL, cipher=ucspitls.CIPHER, name=ucspitls.NAME)
            log.one("message", tls=ucspitls.PROTOCOL, verdict="accept")

    def test_leaves(self):
        """The client goes while the gate waits: all ends."""
        with Session(self.wall()) as s:
            s.hello()
            s.close()
            self.assertEqual(s.log().one("close")["reason"], "eof")
            self.assertEqual(s.process.returncode, 0)
