"""Nothing accepted is lost, nothing refused appears: kill -9, faults at each storage step, order of the steps."""
import collections
import contextlib
import errno
import hashlib
import os
import pathlib
import random
import re
import resource
import signal
import stat
import subprocess
import threading
import time
import unittest

from harness import BUILD, IS_ASAN, IS_STATIC, LIMIT, NEEDS_STRACE, DOUBLE, Gone, Place, Session, body_of

MAILBOXES = "alice@example.com\nbob@example.com ./bob/\ncarol@example.com ./carol/\n"


# The system calls of storage; a libc uses some of them.
STORAGE = ["open", "openat", "mkdirat", "writev", "pread64", "fsync", "linkat", "renameat", "renameat2"]
TRACED = ",".join("?" + name for name in [*STORAGE, "sendto", "recvfrom"])


# Load
# ---------------------------------------------------------------------------------------------------------

def compose(ident, r):
    """A message that can tell whether it is whole: wire form."""
    body = b"".join(b"." * r.randrange(3) + r.randbytes(r.randrange(60)).hex().encode() + b"\n"
                    for _ in range(r.choice([0, 1, 10, 100, 2000])))
    text = b"X-Ident: %s\nX-Sum: %s\n\n" % (ident.encode(), hashlib.sha256(body).hexdigest().encode()) + body
    return re.sub(rb"(?m)^\.", b"..", text).replace(b"\n", b"\r\n")


def ident_of(message):
    """The sender of this message, which is whole."""
    head, _, body = body_of(message).partition(b"\n\n")
    fields = dict(line.split(b": ") for line in head.split(b"\n"))
    if hashlib.sha256(body).hexdigest().encode() != fields[b"X-Sum"]:
        raise AssertionError(f"{fields[b'X-Ident']} is not whole")
    return fields[b"X-Ident"].decode()


class Killed(unittest.TestCase):
    """kill -9 at random moments under load: a message that got 250 is there, whole, once."""

    THREADS, SESSIONS, MESSAGES = 4, 40, 5

    def test_random(self):
        with Place() as place:
            knobs = {"MAILBOXES": place.compile("mailboxes", MAILBOXES)}
            self.accepted, self.errors, self.killed = [], [], 0
            workers = [threading.Thread(target=self.work, args=(place, knobs, n)) for n in range(self.THREADS)]
            for w in workers:
                w.start()
            for w in workers:
                w.join(LIMIT * 3)
            self.assertEqual(self.errors, [])
            self.assertGreater(self.killed, self.THREADS * self.SESSIONS // 8)
            self.assertGreater(len(self.accepted), self.THREADS * self.SESSIONS // 8)
            for maildir in ("spool", "bob"):
                stored = collections.Counter(ident_of(m) for m in place.messages(maildir).values())
                self.assertEqual([i for i, n in stored.items() if n > 1], [], "twice")
                self.assertEqual([i for i in self.accepted if i not in stored], [], "lost")

    def work(self, place, knobs, number):
        """Sessions that were not killed in time tell how long one takes."""
        r = random.Random(number)
        longest = LIMIT
        try:
            for i in range(self.SESSIONS):
                took = self.session(place, knobs, f"{number}.{i}", r, r.random() * longest * 1.5)
                longest = took or longest
        except Exception as error:  # told by the test
            self.errors.append(error)

    def session(self, place, knobs, name, r, delay):
        """The time it took, or None where it was killed."""
        messages = [(f"{name}.{i}", compose(f"{name}.{i}", r)) for i in range(self.MESSAGES)]
        began = time.monotonic()
        with Session(place, **knobs) as s:
            killer = threading.Timer(delay, s.process.kill)
            killer.start()
            try:
                s.hello()
                for ident, text in messages:
                    s.mail(text, to=("alice@example.com", "bob@example.com"))
                    self.accepted.append(ident)
                s.command("QUIT", 221)
            except (OSError, Gone):
                pass
            killer.cancel()
            killer.join()
            code = s.wait()
            if code == -signal.SIGKILL:
                self.killed += 1
                return None
            if code:
                raise AssertionError(f"exit code {code}")
            return time.monotonic() - began


# Steps
# ---------------------------------------------------------------------------------------------------------

CALL = re.compile(r"^(\w+)\((.*)\)\s+= (-?\d+|\?)(?:<[^>]*>)?(.*)$")


def traced(place, inject, knobs, talk, what=TRACED):
    """A session under strace: its calls as (name, arguments, result), and the result of `talk`."""
    before = ["strace", "-qq", "-y", "-s", "64", "-o", "trace", "-e", f"trace={what}"]
    for rule in inject:
        before += ["-e", f"inject={rule}"]
    with Session(place, before=before, **knobs) as s:
        result = talk(s)
        s.close()
        s.wait()
        log = s.log() if s.process.returncode == 0 else None
    lines = place.read("trace").decode("latin-1").splitlines()
    return [m.groups() for m in map(CALL.match, lines) if m], result, log


TO = {"one": ["alice@example.com"], "own": ["bob@example.com"],
      "all": ["alice@example.com", "bob@example.com", "carol@example.com"]}
FULL, FAILURE = "452 4.3.1 Out of space", "451 4.3.0 Temporary storage failure"
FOLDERS = {"one": ["spool"], "own": ["bob"], "all": ["bob", "carol", "spool"]}


def try_mail(s, to):
    """The reply that decides, of any code."""
    s.command("MAIL FROM:<>", 250)
    for t in to:
        s.command(f"RCPT TO:<{t}>", 250)
    reply = s.command("DATA")
    if reply.startswith("354"):
        s.send(b"Subject: test\r\n\r\ntext\r\n.\r\n")
        reply = s.reply()
    return reply


def occurrences(calls, first):
    """The storage calls between DATA and its 250: (name, number among the process's calls of that name, arguments)."""
    counts, inside, found = collections.Counter(), False, []
    for name, arguments, result, _ in calls:
        counts[name] += 1
        if name == "recvfrom" and '"DATA' in arguments:
            inside = True
        if name == "sendto" and '"250 2.0.0 Ok' in arguments and inside:
            break
        if inside and name in STORAGE and not re.search(r'"/(etc|usr|proc)/', arguments):
            found.append((name, counts[name], arguments))
    if len(found) < first:
        raise AssertionError(f"only {len(found)} storage calls: {found}")
    return found


@NEEDS_STRACE
class Faults(unittest.TestCase):
    """Each storage call of a message fails once: the right reply, nothing in new/, one line in the log, and
    the next message is fine."""

    ERRORS = ["EIO", "ENOSPC", "EDQUOT"]

    def knobs(self, place):
        return {"MAILBOXES": place.compile("mailboxes", MAILBOXES), "MAXNOOPS": "0"}

    def check(self, to, prepared, errors):
        def conversation(s):
            s.hello()
            replies = [try_mail(s, TO[to]) for _ in range(2)]
            s.command("QUIT", 221)
            return replies

        def prepare(place):
            for folder in FOLDERS[to] if prepared else []:
                for part in ("tmp", "new", "cur"):
                    (place.path / folder / part).mkdir(parents=True)

        with Place() as place:
            prepare(place)
            calls, replies, _ = traced(place, (), self.knobs(place), conversation)
            self.assertEqual([r[:9] for r in replies], ["250 2.0.0"] * 2)
            steps = occurrences(calls, 5)
        for i, (name, which, arguments) in enumerate(steps):
            for error in errors(i):
                with self.subTest(to=to, call=name, which=which, arguments=arguments,
                                  error=error), Place() as place:
                    prepare(place)
                    calls, replies, log = traced(place, [f"{name}:error={error}:when={which}"],
                                                 self.knobs(place), conversation)
                    self.assertEqual(sum("INJECTED" in c[3] for c in calls), 1)
                    # where no link can be made, a copy is; a mark that stays costs the next session an fsync
                    if name == "linkat" or '"new", O_' in arguments:
                        self.assertEqual([r[:9] for r in replies], ["250 2.0.0"] * 2)
                        self.assertEqual(place.stored(), {folder: 2 for folder in FOLDERS[to]})
                        self.assertEqual(log.events("trouble"), [])
                    else:
                        full = error in ("ENOSPC", "EDQUOT")
                        self.assertEqual(replies[0], FULL if full else FAILURE)
                        self.assertEqual(replies[1][:9], "250 2.0.0")
                        self.assertEqual(place.stored(), {folder: 1 for folder in FOLDERS[to]})
                        trouble = log.one("trouble")
                        if not IS_STATIC:  # another library has other words
                            self.assertEqual(trouble["error"], os.strerror(getattr(errno, error)))
                        self.assertTrue(trouble["error"])
                        named = [f for f in FOLDERS[to] if re.search(rf"\b{f}\b", arguments)]
                        if len(named) == 1 and name != "pread64":
                            self.assertEqual(trouble["object"].strip("./"), named[0])
                        first, second = log.events("message")
                        self.assertEqual((first["verdict"], first["reason"]),
                                         ("tempfail", "full" if full else "storage"))
                        self.assertEqual(second["verdict"], "accept")
                    self.assertEqual(place.leftovers(), [])

    def test_one(self):
        """One recipient, a Maildir that is there: every error at every step."""
        self.check("one", True, lambda i: self.ERRORS)

    def test_own(self):
        self.check("own", True, lambda i: [self.ERRORS[i % 3]])

    def test_all(self):
        """Three Maildirs that are there: a link, a copy with another header."""
        self.check("all", True, lambda i: [self.ERRORS[i % 3]])

    def test_all_fresh(self):
        """Three Maildirs to be made."""
        self.check("all", False, lambda i: [self.ERRORS[(i + 1) % 3]])

    def test_interrupted(self):
        """EINTR is no trouble."""
        with Place() as place:
            calls, reply, log = traced(place, ["writev:error=EINTR:when=1"], self.knobs(place),
                                       lambda s: (s.hello(), try_mail(s, TO["one"]))[1])
            self.assertEqual(reply[:9], "250 2.0.0")
            self.assertEqual(place.stored(), {"spool": 1})

    def test_many_maildirs(self):
        """A process's usual descriptors suffice for the most Maildirs of a message; with fewer descriptors, nothing
        is shown."""
        places = [f"box/{i}" for i in range(399)]
        table = "a@example.com\n" + "".join(f"u{i}@example.com ./{p}/\n" for i, p in enumerate(places))
        for limit, code in ((1024, "250 "), (800, "451 ")):
            with self.subTest(limit), Place() as place:
                for folder in [*places, "spool"]:
                    for part in ("tmp", "new", "cur"):
                        (place.path / folder / part).mkdir(parents=True)
                with Session(place, MAXRCPTS="0", MAILBOXES=place.compile("mailboxes", table)) as s:
                    resource.prlimit(s.process.pid, resource.RLIMIT_NOFILE, (limit, limit))
                    s.hello()
                    reply = s.mail("text", to=["a@example.com", *(f"u{i}@example.com" for i in range(399))], code=None)
                    s.quit()
                self.assertEqual(reply[:4], code)
                self.assertEqual(place.stored(), {p: 1 for p in [*places, "spool"]} if code == "250 " else {})
                self.assertEqual(place.leftovers(), [])

    def test_descriptors(self):
        """No descriptor is lost by failures: a hundred of them in one session, at the last step."""
        def conversation(s):
            s.hello()
            replies = {try_mail(s, TO["all"]) for _ in range(100)}
            return replies, os.listdir(f"/proc/{child(s)}/fd")

        def child(s):
            pid = s.process.pid
            return pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]

        with Place() as place:
            _, (replies, open_), log = traced(place, ["fsync:error=EIO"], self.knobs(place), conversation)
            self.assertEqual(replies, {FAILURE})
            self.assertLessEqual(len(open_), 5)
            self.assertEqual((place.stored(), place.leftovers()), ({}, []))
            self.assertEqual(len(log.events("trouble")), 100)


@NEEDS_STRACE
class Crashes(unittest.TestCase):
    """The process dies at each storage call of a message: no client got 250, and a file in new/ is whole."""

    def test_each(self):
        for to in ("one", "all"):
            def conversation(s):
                s.hello()
                try:
                    return try_mail(s, TO[to])
                except (Gone, OSError):
                    return None

            with Place() as place:
                calls, reply, _ = traced(place, (), {"MAILBOXES": place.compile("mailboxes", MAILBOXES)},
                                         conversation)
                steps = occurrences(calls, 5)
            for name, which, arguments in steps:
                with self.subTest(to=to, call=name, which=which, arguments=arguments), Place() as place:
                    knobs = {"MAILBOXES": place.compile("mailboxes", MAILBOXES)}
                    _, reply, _ = traced(place, [f"{name}:signal=KILL:when={which}"], knobs, conversation)
                    self.assertIn(reply, (None, "354 End data with <CR><LF>.<CR><LF>"))
                    for folder in place.stored():
                        [m] = place.messages(folder).values()
                        self.assertEqual(body_of(m), b"Subject: test\n\ntext\n")


def check_order(test, calls, dirty=None):
    """Checks that 250 comes only when a message and its name are on disk. Returns how often it came; `dirty`:
    folders that earlier sessions have left without fsync."""
    dirty, files, same, said = set() if dirty is None else dirty, set(), {}, 0
    for name, arguments, result, _ in calls:
        if result.startswith("-") or result == "?":
            continue
        fds = re.findall(r"\d+<([^>]*)>", arguments)
        names = [str(pathlib.Path(fd, n)) for fd, n in zip(fds, re.findall(r'"([^"]*)"', arguments))]
        if name == "writev":
            files.add(same.get(fds[0], fds[0]))
        elif name == "mkdirat" and not names[0].endswith("/tmp"):  # no message is lost with that
            dirty.add(fds[0])
        elif name == "fsync":
            dirty.discard(fds[0])
            files.discard(same.get(fds[0], fds[0]))
        elif name == "linkat":
            same[names[1]] = same.get(names[0], names[0])
            test.assertRegex(names[1], "/tmp/[^/]+$")
        elif name in ("renameat", "renameat2"):
            test.assertNotIn(same.get(names[0], names[0]), files, "shown before it is on disk")
            dirty.add(str(pathlib.Path(names[1]).parent))
        elif name == "sendto" and '"250 2.0.0 Ok ' in arguments:
            test.assertEqual(dirty, set(), "said before it is on disk")
            said += 1
    return said


@NEEDS_STRACE
class Order(unittest.TestCase):
    """The order of the steps is the proof."""

    def test_order(self):
        for to in TO:
            for size in (10, 300_000):
                def conversation(s):
                    s.hello()
                    for _ in range(2):
                        s.mail("x" * size, to=TO[to])
                    s.command("QUIT", 221)

                with self.subTest(to=to, size=size), Place() as place:
                    calls, _, _ = traced(place, (), {"MAILBOXES": place.compile("mailboxes", MAILBOXES)},
                                         conversation)
                    self.assertEqual(check_order(self, calls), 2)
                    self.assertEqual(place.stored(), {folder: 2 for folder in FOLDERS[to]})

    # The parts of deep/er/ that are there before.
    PARTS = {"nothing": [], "its folder": ["."], "tmp": ["tmp"], "new": ["new"], "cur": ["cur"],
             "all but new": ["tmp", "cur"], "all but tmp": ["new", "cur"]}

    def try_making(self, parts, rules):
        """In one folder a session for each rule, which may fail or kill it; then one that must take the message, and
        bring all of their work to disk before. Returns the number of the last session's fsyncs."""
        def conversation(s):
            with contextlib.suppress(Gone, OSError):
                s.hello()
                return [try_mail(s, TO["one"])[:4] for _ in range(2)]

        with Place() as place:
            for part in self.PARTS[parts]:
                (place.path / "deep/er" / part).mkdir(parents=True)
            dirty, said = set(), 0
            for rule in [*rules, []]:
                calls, replies, _ = traced(place, rule, {"SPOOL": "deep/er/"}, conversation)
                said += check_order(self, calls, dirty)
            self.assertEqual((replies, dirty), (["250 ", "250 "], set()))
            self.assertEqual(place.stored(), {"deep/er": said})
            self.assertFalse((place.path / "deep/er/new").stat().st_mode & stat.S_ISVTX)
            return sum(name == "fsync" for name, *_ in calls)

    def test_made(self):
        """A session that makes any part of a Maildir fails or dies at any fsync. The next one brings the rest to
        disk."""
        for parts in self.PARTS:
            count = self.try_making(parts, [])
            for k in range(1, count - 3):  # the last four are those of the messages
                for fault in ("error=EIO", "signal=KILL"):
                    for when in (f"{k}", f"{k}+"):
                        with self.subTest(parts=parts, fault=fault, when=when):
                            self.try_making(parts, [[f"fsync:{fault}:when={when}"]])

    def test_made_below_what_has_no_fsync(self):
        """The root may be on a filesystem in which nothing can be made: nothing of ours is there."""
        def conversation(s):
            s.hello()
            s.mail("text")
            s.command("QUIT", 221)

        last = self.try_making("nothing", []) - 4  # behind it are those of two messages
        with Place() as place:
            traced(place, [f"fsync:error=EINVAL:when={last}"], {"SPOOL": "deep/er/"}, conversation)
            self.assertEqual(place.stored(), {"deep/er": 1})

    def test_cost(self):
        """A further message: at most 20 calls, two fsyncs, one inode, no fork, no exec, no unlink."""
        def conversation(s):
            s.hello()
            for _ in range(4):
                s.send("MAIL FROM:<>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n")
                for code in (250, 250, 354):
                    s.expect(code)
                s.send(b"x" * 4000 + b"\r\n.\r\n")
                s.expect("250 2.0.0")
            s.command("QUIT", 221)

        with Place() as place:
            calls, _, _ = traced(place, (), {}, conversation, "all")
        ends = [i for i, c in enumerate(calls) if c[0] == "sendto" and '"250 2.0.0 Ok ' in c[1]]
        self.assertEqual(len(ends), 4)
        for start, end in zip(ends[1:], ends[2:]):
            message = calls[start + 1:end + 1]
            names = collections.Counter(c[0] for c in message)
            self.assertLessEqual(len(message), 20, names)
            self.assertEqual(names["fsync"], 2)
            self.assertEqual(sum("O_CREAT" in c[1] for c in message), 1)
            self.assertEqual([n for n in names if re.search("unlink|fork|exec|clone", n)], [])


# Short writes
# ---------------------------------------------------------------------------------------------------------

class ShortWrites(unittest.TestCase):
    def test_then_full(self):
        """A write that is short, and then one that fails, as on a full disk."""
        def conversation(s):
            s.hello()
            return [s.mail("x" * size, code=None) for size in (50000, 100)]

        for limit in (1, 100, 40000):
            with self.subTest(limit), Place() as place:
                with Session(place) as s:  # the signal that comes with the limit is not to end it
                    resource.prlimit(s.process.pid, resource.RLIMIT_FSIZE, (limit, limit))
                    replies = conversation(s)
                    self.assertEqual(replies[0], FULL)
                    self.assertEqual(replies[1][:4], "250 " if limit > 1000 else "452 ")
                    s.close()
                    s.wait()
                self.assertEqual(place.stored(), {"spool": 1} if limit > 1000 else {})
                self.assertEqual(place.leftovers(), [])

    @unittest.skipIf(IS_STATIC, "a static program takes no preload: SHORT WRITES THAT GO ON WERE NOT TRIED")
    def test_then_more(self):
        """Writes that are short, or interrupted, and go on."""
        with Place() as place:
            preload = place.path / "short.so"
            subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", "-o", preload,
                            DOUBLE / "preload_short.c"], check=True,
                           timeout=LIMIT)
            libraries = str(preload)
            if IS_ASAN:  # its own library must come first
                libraries = subprocess.run(["cc", "-print-file-name=libasan.so"], check=True, timeout=LIMIT,
                                           stdout=subprocess.PIPE).stdout.decode().strip() + ":" + libraries
            knobs = {"MAILBOXES": place.compile("mailboxes", MAILBOXES), "LD_PRELOAD": libraries}
            text = b"".join(b"line %d\r\n" % i for i in range(3000))
            with Session(place, **knobs) as s:
                s.hello()
                s.mail(text, to=TO["all"])
                s.quit()
            for folder in FOLDERS["all"]:
                [m] = place.messages(folder).values()
                self.assertEqual(body_of(m), text.replace(b"\r\n", b"\n"))
            self.assertEqual(place.leftovers(), [])


if not BUILD.exists():
    raise unittest.SkipTest("nothing is built")
