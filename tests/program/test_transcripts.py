"""Conversations of tests/transcripts through the real program.

A transcript is a text of lines, each a keyword and its text. The head:

    # ...                    a remark, anywhere
    ENV NAME=value           a knob (the folder's SPOOL is ./spool, ME is mx.example.net)
    UNSET NAME
    TABLE mailboxes          `| ` lines that follow are its source; it is compiled and set as the knob
    FILE name                an executable made of the `| ` lines that follow
    LINK name target         a symbolic link
    BREAK mailboxes HOW      spoils the compiled table: see harness.BREAKS
    OVER packets             a connection that keeps write boundaries: a group's replies must come in one write
    OVER pipes               two pipes instead of a socket
    OVER ucspitls [HOW]      a socket, and a double of a UCSPI-TLS server in front: see ucspitls.BEHAVIOURS
    EARLY text               bytes from the client that are there before the server is
    EXAMPLE name             the knobs of etc/name.env

The conversation:

    C: text                  a line from the client, CRLF is added
    C. text                  bytes from the client, nothing is added
    S: text                  a line from the server
    C* 3 text, S* 3 text     three such lines, %d in them is 1, 2, 3
    TLS                      the client's handshake with the double; from there on all is said inside
    CLOSE                    the client sends no more, but reads on
    GONE                     the client is gone
    SIGNAL                   SIGTERM
    CLOSED                   the server has closed by itself

C lines that follow one another go out in one write. In both, \\r \\n \\t \\0 \\\\ \\xHH are bytes and \\{9:text} is
text nine times; in S lines {id} and {any} stand for changing text. Behind the conversation the server must have
nothing more to say.

Then these must be true:

    EXIT 100                 0 where nothing is said
    LOG event=rcpt ...       these pairs, or more, in one line of the log; several LOG in the order they came.
                             A value of * is any. NOLOG: in no line. LOG#3: in so many lines
    STORED 2 [in folder]     so many messages in new/; 0 in every folder that is not named
    STORED contains text     of a message in the folder named last; also: lacks, begins, ends
    HOLDS name text          a file the conversation made, whole

Nothing may be left in any tmp/, ever."""
import re
import unittest

import harness
from harness import BREAKS, TESTS, Place, Session, parse_line
from ucspitls import Gated

FOLDER = TESTS / "transcripts"

REPEAT = re.compile(r"\\\{(\d+):([^}]*)\}")
ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|[rnt0\\])")
SIMPLE = {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "\\": "\\"}
PATTERNS = {"id": rb"[0-9a-z]+\.[0-9]+", "any": rb"[^\r\n]*"}


def unescape(text):
    text = REPEAT.sub(lambda m: m[2] * int(m[1]), text)
    parts, at = [], 0
    for m in ESCAPE.finditer(text):
        parts += [text[at:m.start()].encode(),
                  bytes([int(m[1][1:], 16)]) if len(m[1]) > 1 else SIMPLE[m[1]].encode()]
        at = m.end()
    return b"".join(parts) + text[at:].encode()


def matches(pattern, line):
    parts = re.split(r"\{(%s)\}" % "|".join(PATTERNS), pattern)
    expression = b"".join(PATTERNS[p] if i % 2 else re.escape(unescape(p)) for i, p in enumerate(parts))
    return re.fullmatch(expression, line)


class Transcript:
    def __init__(self, path):
        self.path = path
        self.steps = []
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            if line.startswith("|"):
                self.steps[-1][2].append(line[2:])
                continue
            word, _, text = line.partition(" ")
            if word in ("C*", "S*"):
                count, _, text = text.partition(" ")
                for i in range(1, int(count) + 1):
                    self.steps.append((word[0] + ":", text.replace("%d", str(i)), [], number))
            else:
                self.steps.append((word, text, [], number))


class Run:
    """One transcript on its way."""

    def __init__(self, place):
        self.place = place
        self.knobs = {}
        self.over = harness.STREAM
        self.early = b""
        self.session = self.log = self.exit = None
        self.group = []
        self.reads_before = None
        self.accepted = 0
        self.closed = self.gone = False
        self.log_at = 0
        self.folder = "spool"
        self.named = {}

    # the head

    def env(self, text, _):
        name, _, value = text.partition("=")
        self.knobs[name] = unescape(value)

    def unset(self, text, _):
        self.knobs[text] = None

    def table(self, kind, rows):
        self.knobs[kind.upper()] = self.place.compile(kind, "".join(row + "\n" for row in rows))

    def file(self, name, rows):
        self.place.write(name, "".join(row + "\n" for row in rows), 0o755)

    def link(self, text, _):
        name, target = text.split()
        (self.place.path / name).symlink_to(target)

    def break_table(self, text, _):
        kind, how = text.split()
        BREAKS[how](self.place.path / f"{kind}.cdb")

    def take_over(self, text, _):
        self.over = text

    def talk_early(self, text, _):
        self.early += unescape(text)

    def example(self, name, _):
        self.knobs.update(harness.example(name))

    # the conversation

    def start(self):
        if self.session:
            return
        over, _, how = self.over.partition(" ")
        if over == "ucspitls":
            self.session = Gated(self.place, how or "polite", early=self.early, **self.knobs)
        else:
            self.session = Session(self.place, over=over, early=self.early, **self.knobs)

    def client_line(self, text, _):
        self.client_bytes(text + "\\r\\n", _)

    def client_bytes(self, text, _):
        self.start()
        if self.reads_before is not None:
            self.end_group()
        self.group.append(unescape(text))

    def send_group(self):
        """Sends the client's lines up to its next listening."""
        if self.group:
            self.reads_before = self.session.reads
            self.session.send(b"".join(self.group))
            self.group = []

    def end_group(self):
        """The replies to a group came in one write."""
        if self.reads_before is not None and self.over == harness.PACKETS:
            reads = self.session.reads - self.reads_before
            if reads > 1:
                raise AssertionError(f"a group's replies came in {reads} writes")
        self.reads_before = None

    def server_line(self, text, _):
        self.start()
        self.send_group()
        line = self.session.line()
        self.accepted += line.startswith("250 2.0.0 Ok ")
        if not matches(text, line.encode()):
            raise AssertionError(f"the server said {line!r}")

    def shake_hands(self, *_):
        self.start()
        self.send_group()
        self.session.tls()

    def close(self, *_):
        self.start()
        self.send_group()
        self.session.end_of_input()

    def go(self, *_):
        self.start()
        self.send_group()
        self.session.close()
        self.gone = True

    def sigterm(self, *_):
        self.start()
        self.send_group()
        self.session.signal(harness.TERM)

    def await_close(self, *_):
        self.start()
        self.send_group()
        left = self.session.rest()
        if left:
            raise AssertionError(f"before it closed the server said {left!r}")
        self.closed = True

    # afterwards

    def finish(self):
        """Checks that must hold after any conversation."""
        if self.log is not None:
            return
        s = self.session
        self.send_group()
        if not self.gone:
            s.end_of_input()
            if not self.closed:
                self.await_close()
            self.end_group()
            s.close()
        self.exit = s.wait()
        self.log = s.log()
        leftovers = self.place.leftovers()
        if leftovers:
            raise AssertionError(f"left in tmp/: {leftovers}")
        if self.exit:
            return
        end = self.log.one("close")
        if self.log[0]["event"] != "connect" or self.log[-1] is not end:
            raise AssertionError("the log does not begin with connect and end with close")
        if not self.gone and (int(end["messages"]) != self.accepted or int(end["out"]) != s.received):
            raise AssertionError(f"{self.accepted} messages, {s.received} bytes received, but logged: {end}")

    def exit_code(self, text, _):
        self.finish()
        if self.exit != int(text):
            raise AssertionError(f"exit code {self.exit}")
        self.exit = 0

    def find_log(self, text):
        wanted = parse_line(text.encode())
        return [i for i, event in enumerate(self.log)
                if all(k in event if v == "*" else event.get(k) == v for k, v in wanted.items())]

    def has_log(self, text, _):
        self.finish()
        found = [i for i in self.find_log(text) if i >= self.log_at]
        if not found:
            raise AssertionError("no such line, or not in this order; the log is\n" + "\n".join(map(str,
                                                                                                    self.log)))
        self.log_at = found[0] + 1

    def has_no_log(self, text, _):
        self.finish()
        if self.find_log(text):
            raise AssertionError(f"such a line is there: {self.log[self.find_log(text)[0]]}")

    def counts_log(self, count):
        def check(text, _):
            self.finish()
            found = len(self.find_log(text))
            if found != count:
                raise AssertionError(f"{found} such lines")
        return check

    def stored(self, text, _):
        self.finish()
        word, _, rest = text.partition(" ")
        if word.isdigit():
            self.folder = rest.removeprefix("in ").rstrip("/") or "spool"
            self.named[self.folder] = int(word)
            return
        messages = list(self.place.messages(self.folder).values())
        want = unescape(rest)
        good = {
            "contains": any(want in m for m in messages),
            "lacks": all(want not in m for m in messages),
            "begins": any(m.startswith(want) for m in messages),
            "ends": any(m.endswith(want) for m in messages),
        }[word]
        if not good:
            raise AssertionError("the messages are\n" + "\n".join(map(repr, messages)))

    def holds(self, text, _):
        self.finish()
        name, _, want = text.partition(" ")
        if self.place.read(name) != unescape(want):
            raise AssertionError(f"{name} holds {self.place.read(name)!r}")

    def end(self):
        self.finish()
        if self.exit:
            raise AssertionError(f"exit code {self.exit}")
        wanted = {folder: n for folder, n in self.named.items() if n}
        if self.place.stored() != wanted:
            raise AssertionError(f"stored: {self.place.stored()}, wanted: {wanted}")

    def do(self, word, text, rows):
        if word.startswith("LOG#"):
            return self.counts_log(int(word[4:]))(text, rows)
        return {
            "ENV": self.env, "UNSET": self.unset, "TABLE": self.table, "FILE": self.file, "LINK": self.link,
            "BREAK": self.break_table, "OVER": self.take_over,
            "EARLY": self.talk_early, "EXAMPLE": self.example,
            "C:": self.client_line, "C.": self.client_bytes, "S:": self.server_line,
            "TLS": self.shake_hands, "CLOSE": self.close,
            "GONE": self.go, "SIGNAL": self.sigterm, "CLOSED": self.await_close,
            "EXIT": self.exit_code, "LOG": self.has_log, "NOLOG": self.has_no_log, "STORED": self.stored,
            "HOLDS": self.holds,
        }[word](text, rows)


def run(path):
    with Place() as place:
        r = Run(place)
        number = 0
        try:
            for word, text, rows, number in Transcript(path).steps:
                r.do(word, text, rows)
            r.end()
        except AssertionError as why:
            text = path.read_text().splitlines()[number - 1]
            raise AssertionError(f"{path.name}:{number}: {text[:200]}\n{why}") from None
        finally:
            if r.session:
                r.session.__exit__()


class Transcripts(unittest.TestCase):
    """One test for each file."""


def add_transcript(path):
    setattr(Transcripts, "test_" + path.stem.replace("-", "_"), lambda self: run(path))


for transcript in sorted(FOLDER.glob("*.txt")):
    add_transcript(transcript)
