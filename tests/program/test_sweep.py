"""Every system call between DATA and its 250, and of postern-cdb, fails or is the last one: the promises hold.

Each scenario is run once to learn its calls, and then once for each of them and each fault: an error, an error that
stays from there on, SIGKILL. A call has one error of those it may have, another in the next scenario, and it comes once
and stays by turns: 1300 faults, half a minute on two processors. SWEEP=all in the environment tries all errors both
ways, 4000 faults in a minute and a half."""
import collections
import concurrent.futures
import contextlib
import os
import pathlib
import re
import subprocess
import unittest

import test_crash
from harness import CDB, IS_ASAN, LIMIT, NEEDS_STRACE, Gone, Place, Session, body_of, environment

ALL = os.environ.get("SWEEP") == "all"
AT_ONCE = 4  # most of the time is waiting for disk and strace

# Errors of calls; others: EIO.
ERRORS = {
    **dict.fromkeys(["open", "openat"], ["EMFILE", "EIO", "ENOSPC", "EACCES", "ENFILE", "ENOMEM", "ENOENT", "EINTR"]),
    "mkdirat": ["ENOSPC", "EIO", "EROFS", "EDQUOT", "EACCES", "EMLINK", "EEXIST"],
    **dict.fromkeys(["write", "writev", "pwrite64"], ["ENOSPC", "EIO", "EINTR", "EDQUOT", "EFBIG"]),
    **dict.fromkeys(["read", "pread64"], ["EIO", "EINTR"]),
    "fsync": ["EIO", "ENOSPC", "EDQUOT", "EINTR"],
    "linkat": ["EXDEV", "EIO", "EMLINK", "EPERM", "ENOSPC", "ENOENT", "EEXIST"],
    **dict.fromkeys(["rename", "renameat", "renameat2"], ["EIO", "ENOSPC", "EDQUOT", "EACCES", "ENOENT", "EXDEV"]),
    **dict.fromkeys(["fchmod", "fcntl", "unlink", "unlinkat"], ["EPERM", "EIO"]),
    "close": ["EIO", "EINTR"],
    "poll": ["EINTR", "ENOMEM"],
    "recvfrom": ["ECONNRESET", "EINTR", "ETIMEDOUT"],
    "sendto": ["EPIPE", "EINTR", "ECONNRESET"],
    **dict.fromkeys(["pipe", "pipe2"], ["EMFILE", "ENFILE"]),
    **dict.fromkeys(["fork", "vfork", "clone", "clone3"], ["EAGAIN", "ENOMEM"]),
    **dict.fromkeys(["wait4", "waitid"], ["EINTR", "ECHILD"]),
}
# A sanitizer or a debugger lives by some of these; others cannot fail.
SPARED = {"exit_group", "rt_sigreturn", "restart_syscall", "brk", "mmap", "munmap", "mprotect", "mremap", "madvise",
          "futex", "sigaltstack"}
FOLDERS = {"alice": "spool", "bob": "bob", "carol": "carol", "dave": "dave"}
MAILBOXES = "alice@example.com\n" + "".join(f"{f}@example.com ./{f}/\n" for f in ("bob", "carol", "dave"))


def faults(calls, shift):
    """The rules for strace, and their names."""
    for i, (name, which, arguments) in enumerate(calls):
        errors = ERRORS.get(name, ["EIO"])
        if '".."' in arguments:  # a folder that may not be read has nothing of ours
            errors = [e for e in errors if e != "EACCES"]
        once = [(e, "") for e in errors]
        staying = [(e, "+") for e in errors if e != "EINTR"]  # nothing is interrupted for ever
        if not ALL:
            both = staying if (i + shift) % 2 and staying else once
            once, staying = [both[(i + shift) % len(both)]], []
        for error, plus in once + staying:
            yield f"{name}:error={error}:when={which}{plus}", arguments
        yield f"{name}:signal=KILL:when={which}", arguments


def parse(place):
    lines = place.read("trace").decode("latin-1").splitlines()
    return [m.groups() for m in map(test_crash.CALL.match, lines) if m]


def number(calls, first, last):
    """The calls from the one for which first() holds to that for which last() does: (name, number among the process's
    calls of that name, arguments)."""
    counts, inside, found = collections.Counter(), False, []
    for name, arguments, _, _ in calls:
        counts[name] += 1
        inside = inside or first(name, arguments)
        if inside and last(name, arguments):
            break
        if inside and name not in SPARED:
            found.append((name, counts[name], arguments))
    return found


def strace(rule):
    traced = f"{test_crash.TRACED},?rename,{rule.partition(':')[0]}" if rule else "all"
    more = ["-e", f"inject={rule}"] if rule else []
    return ["strace", "-qq", "-y", "-s", "64", "-o", "trace", "-e", f"trace={traced}", *more]


@NEEDS_STRACE
class Sweep(unittest.TestCase):
    def sweep(self, shift, record, attempt, first, last, least):
        """attempt(rule): the complaint, or nothing."""
        calls = number(record(), first, last)
        self.assertGreaterEqual(len(calls), least, calls)
        rules = list(faults(calls, shift))
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            complaints = list(pool.map(lambda rule: self.complaint(attempt, rule[0]), rules))
        bad = [f"{rule} {arguments}: {c}" for (rule, arguments), c in zip(rules, complaints) if c]
        self.assertFalse(bad, f"{len(bad)} of {len(rules)}:\n" + "\n".join(bad[:20]))

    def complaint(self, attempt, rule):
        try:
            attempt(rule)
        except Exception as error:  # told by sweep
            return f"{type(error).__name__}: {error}"
        return None

    # Messages

    BODIES = [b"Subject: test %d\n\ntext\n" % i for i in range(2)]

    def talk(self, s, to):
        """Two messages: the reply to each, or None."""
        replies = [None, None]
        with contextlib.suppress(Gone, OSError):
            s.hello()
            for i, body in enumerate(self.BODIES):
                replies[i] = self.send(s, to, body)
            s.command("QUIT")
        return replies

    def send(self, s, to, body):
        """The reply that decides."""
        for line in ("MAIL FROM:<>", *(f"RCPT TO:<{t}@example.com>" for t in to), "DATA"):
            reply = s.command(line)
            if reply[0] not in "23":
                return reply
        s.send(body.replace(b"\n", b"\r\n") + b".\r\n")
        return s.reply()

    def session(self, place, rule, to, knobs):
        """The calls, and which of the two messages were accepted."""
        with Session(place, before=strace(rule), **knobs) as s:
            replies = self.talk(s, to)
            s.close()
            s.wait()
        killed = "signal=KILL" in (rule or "")
        return parse(place), [bool(r) and r.startswith("250 2.0.0 Ok ") for r in replies], killed

    def check_maildirs(self, place, folders, accepted, killed):
        want = [body for body, was in zip(self.BODIES, accepted) if was]
        for folder in folders:
            bodies = sorted(body_of(m) for m in place.messages(folder).values())
            if killed:
                self.assertEqual(accepted, [False, False])
                self.assertIn(bodies, ([], self.BODIES[:1]), folder)
            else:
                self.assertEqual(bodies, want, folder)
        if not killed:
            self.assertEqual(place.leftovers(), [])

    def sweep_maildirs(self, shift, to, made, least):
        folders = [FOLDERS[t] for t in to]

        def attempt(rule):
            with Place() as place:
                for folder in [] if made else folders:
                    for part in ("tmp", "new", "cur"):
                        (place.path / folder / part).mkdir(parents=True)
                knobs = {"MAILBOXES": place.compile("mailboxes", MAILBOXES)}
                calls, accepted, killed = self.session(place, rule, to, knobs)
                self.check_maildirs(place, folders, accepted, killed)
                self.assertEqual(test_crash.check_order(self, calls), sum(accepted))
                if not rule:
                    self.assertEqual(accepted, [True, True])
                elif not killed:
                    self.assertTrue(any("INJECTED" in c[3] for c in calls), "not reached")
                return calls

        self.sweep(shift, lambda: attempt(None), attempt, is_data, is_accepted, least)

    def test_one(self):
        """One recipient, a Maildir that is there."""
        self.sweep_maildirs(0, ["alice"], False, 12)

    def test_made(self):
        """One recipient, a Maildir to be made."""
        self.sweep_maildirs(1, ["bob"], True, 30)

    def test_links(self):
        """Three Maildirs that are there: links."""
        self.sweep_maildirs(2, ["bob", "carol", "dave"], False, 30)

    def test_spool_and_maildir(self):
        """SPOOL and a Maildir: a copy."""
        self.sweep_maildirs(3, ["alice", "bob"], False, 20)

    def test_all_made(self):
        """SPOOL and two Maildirs to be made: a link and a copy."""
        self.sweep_maildirs(4, ["alice", "bob", "carol"], True, 80)

    # A queue program

    QUEUE = """#!/bin/sh
cat >m.$$ && cat <&1 >e.$$
[ "$(tail -c 2 e.$$ | od -An -tx1)" = " 00 00" ] && cat e.$$ m.$$ >q.$$ && mv q.$$ queue/$$
code=$?
rm -f m.$$ e.$$ q.$$
[ $code = 0 ] || exit 91
"""

    def check_queue(self, place, accepted, killed):
        """Every accepted message is queued; a queued one is whole, and there once."""
        queued = []
        for file in (place.path / "queue").iterdir():
            envelope, _, message = file.read_bytes().partition(b"\0\0Received: ")
            self.assertEqual(envelope, b"F\0Talice@example.com\0Tbob@example.com")
            queued.append(body_of(b"Received: " + message))
        for body, was in zip(self.BODIES, accepted):
            self.assertLessEqual(int(was), queued.count(body))
            self.assertLessEqual(queued.count(body), 1)
        self.assertLessEqual(set(queued), set(self.BODIES))

    def attempt_queue(self, rule=None):
        with Place() as place:
            place.write("program", self.QUEUE, 0o755)
            (place.path / "queue").mkdir()
            # the session waits for a program that lacks its end of the pipe
            knobs = {"QMAILQUEUE": "./program", "SPOOL": None, "TIMEOUT": "2" if rule else "30"}
            calls, accepted, killed = self.session(place, rule, ["alice", "bob"], knobs)
            self.check_queue(place, accepted, killed)
            if not rule:
                self.assertEqual(accepted, [True, True])
            return calls

    def test_queue(self):
        """A program with the interface of qmail-queue, which may be done when its verdict gets lost."""
        self.sweep(5, self.attempt_queue, self.attempt_queue, is_data, is_accepted, 20)

    def test_queue_lacks_a_part(self):
        """One write of header, body or envelope fails, and those behind it do not."""
        calls = number(self.attempt_queue(), is_data, is_accepted)
        writes = [which for name, which, _ in calls if name == "write"]
        self.assertGreater(len(writes), 8)
        for which in writes:
            with self.subTest(which):
                self.attempt_queue(f"write:error=EIO:when={which}")

    # postern-cdb

    def test_cdb(self):
        """The target is the old table or the new one, nothing is left beside it, and 0 tells that it is safe."""
        table = "".join(f"user{i}@example.com ./box/{i}/\n" for i in range(300))
        with Place() as place:
            fresh = (place.path / place.compile("mailboxes", table)).read_bytes()
            old = (place.path / place.compile("mailboxes", "old@example.com\n", "old")).read_bytes()

        def attempt(rule):
            with Place() as place:
                place.write("source", table)
                place.write("target", old)
                done = subprocess.run([*strace(rule), CDB, "mailboxes", "source", "target"], cwd=place.path,
                                      env=environment(), timeout=LIMIT, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, check=False)
                calls, killed = parse(place), "signal=KILL" in (rule or "")
                self.assertIn(place.read("target"), (old, fresh))
                left = {p.name for p in place.path.iterdir()} - {"source", "target", "trace"}
                if not killed:
                    self.assertEqual(left, set())
                    self.assertIn(done.returncode, (0, 111), done.stdout)
                    self.assertTrue(done.stdout or not done.returncode or "write" in rule, "a failure without a word")
                if done.returncode == 0:
                    self.assertEqual(place.read("target"), fresh)
                    good = [c[:2] for c in calls if not c[2].startswith("-")]
                    [at] = [i for i, (name, _) in enumerate(good) if name.startswith("rename")]
                    self.assertTrue(any(n == "fsync" and ".tmp." in a for n, a in good[:at]), "the file")
                    self.assertTrue(any(n == "fsync" for n, _ in good[at:]), "its folder")
                return calls

        self.sweep(6, lambda: attempt(None), attempt, lambda n, a: n.startswith("open") and '"source"' in a,
                   lambda n, a: n == "exit_group", 10)


def is_data(name, arguments):
    return name == "recvfrom" and '"DATA' in arguments


def is_accepted(name, arguments):
    return name == "sendto" and '"250 2.0.0 Ok' in arguments


if not pathlib.Path(CDB).exists():
    raise unittest.SkipTest("nothing is built")
