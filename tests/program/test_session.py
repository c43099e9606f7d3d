"""Sessions by the table: every knob's values, spoilt tables, queue programs, chance, clients that go away at any byte;
and that the tests leave out no reply, no verb and no knob."""
import os
import random
import re
import signal
import subprocess
import unittest

import vocabulary
from harness import BREAKS, LIMIT, SMTPD, TERM, TESTS, Accepted, Place, Session, await_that, body_of, environment

TRANSCRIPTS = sorted((TESTS / "transcripts").glob("*.txt"))


def everything():
    return "".join(p.read_text() for p in [*TRANSCRIPTS, *TESTS.glob("program/*.py")])


class Complete(unittest.TestCase):
    """Every reply, reason, verb and knob of the code is in some test."""

    def test_every_reply(self):
        shown = everything()
        self.assertGreater(len(vocabulary.replies()), 30)
        for name, (_, text) in vocabulary.replies().items():
            with self.subTest(name):
                self.assertTrue(text in shown, text)

    def test_every_reason(self):
        shown = everything()
        for word in vocabulary.reasons() - {"config"}:
            with self.subTest(word):
                self.assertTrue(re.search(rf'"{word}"|reason={word}\b', shown), word)

    def test_every_verb(self):
        shown = "".join(p.read_text() for p in TRANSCRIPTS)
        self.assertGreater(len(vocabulary.verbs()), 15)
        for verb in vocabulary.verbs():
            with self.subTest(verb):
                self.assertTrue(re.search(rf"(?mi)^C: {verb}\b", shown), verb)

    def test_every_knob(self):
        with Place() as place:
            knobs = re.findall(r"^#?([A-Z][A-Z_]+)(?:=|$)", show(place).stdout.decode(), re.M)
        self.assertGreater(len(knobs), 20)
        self.assertEqual(sorted(knobs), sorted(VALUES))


# name: ([(good value, as -n shows it)], [(bad value, why)])
NUMBER = ([("0", "0"), ("1", "1"), ("0010", "10"), ("1099511627776", "1099511627776")],
          [("", "empty"), (" 1", "a space"), ("1 ", "a space"), ("-1", "negative"), ("+1", "a sign"),
           ("1.5", "a fraction"),
           ("1e3", "an exponent"), ("0x10", "hexadecimal"), ("ten", "a word"), ("10M", "a unit"),
           ("1\n", "a line end"),
           ("1099511627777", "too large"), ("18446744073709551615", "too large"),
           ("18446744073709551616", "over 64 bits"),
           ("18446744073709551617", "1 in 64 bits"), ("9" * 1000, "absurd"), ("٣", "a digit, but not ASCII")])


def seconds(most, least=1):
    return ([("1", "1"), ("1.5", "1.500"), ("1.050", "1.050"), ("007", "7"), ("30.000", "30"),
             (str(most), str(most))] + ([] if least else [("0", "0"), ("0.001", "0.001"), ("0.0", "0")]),
            ([("0", "no time"), ("0.999", "under the least")] if least else []) +
            [("", "empty"), (f"{most}.001", "over the most"), (str(most + 1), "over the most"), ("1.", "no digits"), (".5", "no digits"), (".", "no digits"),
             ("1.2345", "too fine"),
             ("-1", "negative"), ("1,5", "a comma"), ("1s", "a unit"), ("1.2.3", "two points"),
             ("inf", "a word"), ("1e3", "an exponent"),
             ("18446744073709551616", "over 64 bits"), ("18446744073709552", "over 64 bits in milliseconds"),
             ("1.-1", "a sign"),
             ("1. 1", "a space")])


def path(name):
    return ([(f"./{name}", f"./{name}"), ("x" * 2047, "x" * 2047), (" \"'\\\xff", " \"'\\\xff")],
            [("", "empty"), ("x" * 2048, "too long"), ("x" * 100000, "absurd")])


# No server but 127.0.0.1 is asked: see harness.environment.
LISTS = ([("zen.example", "zen.example"), ("a.example=127.0.0.[2..11;14]*3, b.example*-1",
                                           "a.example=127.0.0.[2..11;14]*3, b.example*-1")],
         [("a..example", "no name"), ("a.example*", "no weight"), ("a.example*x", "no weight"),
          ("a.example=127.0.0", "half a filter"), ("a.example=127.0.0.[2..]", "half a range"),
          ("a.example=127.0.0.256", "no octet"), ("x" * 100000, "absurd"),
          (" ".join(f"l{i}.example" for i in range(100)), "too many"), ("a.example\n", "a line end"),
          ("\xc3\xbc.example", "not ASCII")])
FLAG = ([("0", None), ("no", None), ("1", "1"), ("yes", "1")],
        [("2", "a number"), ("true", "a word"), ("off", "a word"), (" ", "a space"), ("1 ", "a space"),
         ("-1", "negative"), ("01", "two digits")])
VALUES = {
    "ME": ([("mx.example.net", "mx.example.net"), ("localhost", "localhost"), ("MX.Example", "MX.Example"),
            ("a_b.example", "a_b.example"), ("[192.0.2.1]", "[192.0.2.1]"),
            ("[IPv6:2001:db8::1]", "[IPv6:2001:db8::1]")],
           [("", "empty"), (" ", "a space"), ("mx example", "a space"), ("mx.example ", "a space"),
            ("mx..example", "an empty label"),
            (".mx", "a dot first"), ("mx.", "a dot last"), ("-mx", "a hyphen first"),
            ("mx-", "a hyphen last"), ("m" * 64, "a label too long"),
            (".".join(["m" * 63] * 4) + ".m", "too long"), ("mx\r\n250 evil", "line ends"),
            ("mx\x01", "a control byte"),
            ("b\xc3\xbccher.example", "not ASCII"), ("[192.0.2.256]", "no address"), ("[]", "no address"),
            ("<mx>", "brackets")]),
    "SMTPGREETING": ([("x", "x"), ("x" * 200, "x" * 200), ('"\\ =', '"\\ =')],
                     [("x" * 201, "too long"), ("a\nb", "a line end"), ("a\rb", "a CR"), ("a\tb", "a tab"),
                      ("a\x7f", "DEL"),
                      ("\xc3\xbc", "not ASCII")]),
    "DOMAINS": path("domains.cdb"),
    "MAILBOXES": path("mailboxes.cdb"),
    "BADSENDERS": path("badsenders.cdb"),
    "SPOOL": path("spool"),
    "QMAILQUEUE": path("queue"),
    "RELAYCLIENT": ([("", ""), ("@gate.example", "@gate.example"), ("x" * 255, "x" * 255)],
                    [("x" * 256, "too long"), ("a\nb", "a line end"), ("\xc3\xbc", "not ASCII")]),
    "DISCARD": FLAG,
    "VERBOSE": FLAG,
    "BARELF": ([("normalize", "normalize"), ("reject", "reject")],
               [("", "empty"), ("Reject", "case"), ("no", "a word"), ("reject ", "a space"),
                ("normalise", "spelling")]),
    "EARLYTALK": ([("drop", "drop"), ("reject", "reject"), ("log", "log"), ("off", "off")],
                  [("", "empty"), ("Reject", "case"), ("0", "a number"), ("off ", "a space"), ("of", "cut"),
                   ("offf", "too much"), ("x" * 100000, "absurd")]),
    "RBLSMTPD": ([("", ""), ("Listed", "Listed"), ("-Listed", "-Listed"), ("-", "-"), ("--", "--"),
                  ("x" * 255, "x" * 255)],
                 [("a\nb", "a line end"), ("a\r\n250 Ok", "a reply of its own"), ("x" * 256, "too long"),
                  ("\xc3\xbc", "not ASCII"), ("x" * 100000, "absurd")]),
    "REFUSE": ([("helo 421 4.3.2 Not now", "helo 421 4.3.2 Not now"), ("mail 553 x", "mail 553 x"),
                ("rcpt 450 4.2.0  two", "rcpt 450 4.2.0  two"), ("data 521 x", "data 521 x"),
                ("dot 451 4.3.0 Kept", "dot 451 4.3.0 Kept"), ("DOT 451 4.3.0 Case", "DOT 451 4.3.0 Case"),
                ("connect 554 5.7.1 No", "connect 554 5.7.1 No"), ("connect 421 4.7.1 No", "connect 421 4.7.1 No")],
               [("", "empty"), ("data", "no reply"), ("data ", "no reply"), ("421 4.3.2 x", "no stage"),
                ("quit 421 4.3.2 x", "no such stage"), ("dat 421 4.3.2 x", "cut"), ("data 421", "no text"),
                ("data 421 ", "no text"), ("data 421-x", "a hyphen"), ("data 4210 x", "four digits"),
                ("data 250 2.0.0 Ok", "no refusal"), ("data 354 Go", "no refusal"), ("data 461 x", "no such code"),
                ("data 600 x", "no such code"), ("data  421 x", "two spaces"), (" data 421 x", "a space first"),
                ("data\t421 x", "a tab"), ("data ./x/", "a Maildir"), ("data &a@b.example", "an address"),
                ("data 421 a\r\n250 Ok", "a reply of its own"), ("data 421 a\nb", "a line end"),
                ("data 421 \xc3\xbc", "not ASCII"), ("data 421 " + "x" * 1000, "too long"),
                ("data 421 " + "x" * 100000, "absurd")]),
    "RWL": LISTS,
    "DNSBL": LISTS,
    "DNSBL_THRESHOLD": ([("1", "1"), ("32000", "32000")],
                        [("0", "always listed"), ("", "empty"), ("-1", "never met"), ("32001", "too large"),
                         ("1.5", "a fraction"), ("9" * 1000, "absurd")]),
    "DNSBL_TIMEOUT": seconds(60, 0),
    "DNSBL_ACTION": ([(word, word) for word in ("drop", "reject", "tempfail", "store", "log")],
                     [("", "empty"), ("Drop", "case"), ("accept", "a word"), ("store ", "a space"),
                      ("x" * 100000, "absurd")]),
    "DNSBL_SHOW": ([("key.zen.example=zen.example", "key.zen.example=zen.example"), ("a=b,c=d e=f", "a=b,c=d e=f"),
                    ("", "")],
                   [("a", "no name"), ("a=", "no name"), ("=b", "no zone"), ("a=b,c", "half a pair"), ("a=b\n", "a line end"),
                    ("a=\xc3\xbc", "not ASCII")]),
    "DNSBL_SICK": path("sick.cdb"),
    "UCSPITLS": ([("-", "-"), ("", ""), ("1", ""), ("!", "!")],
                 [("2", "a number"), ("yes", "a word"), ("!!", "too much"), ("! ", "a space"), (" ", "a space"),
                  ("x" * 100000, "absurd")]),
    "CHECKPASSWORD": path("checkpassword"),
    "AUTH_INSECURE": FLAG,
    "AUTH_REQUIRED": FLAG,
    "GREETDELAY": seconds(3600, 0),
    "ERRORDELAY": seconds(3600, 0),
    "TARPITDELAY": seconds(3600, 0),
    "TARPITCOUNT": NUMBER,
    "TIMEOUT": seconds(86400),
    "SESSION_TIMEOUT": seconds(864000),
    **{name: NUMBER for name in ("DATABYTES", "MINRATE", "MAXERRORS", "MAXNOOPS", "MAXVRFYS", "MAXRCPTS",
                                 "MAXMSGS", "MAXHOPS", "MAXAUTHS")},
}


def show(place, *arguments, **knobs):
    return subprocess.run([SMTPD, *(arguments or ("-n",))], cwd=place.path, timeout=LIMIT, check=False,
                          env=environment(**{k: raw(v) for k, v in knobs.items()}), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)


def raw(value):
    return value.encode("latin-1") if isinstance(value, str) and max(value, default="") < "\u0100" else value


NO_DOT = b"postern-smtpd: warning: ME: no dot in this host's name, which the banner says and other hosts may refuse\n"


def warnings(done, why):
    """The variables of which -n says this, and it says nothing else."""
    names = []
    for line in done.stderr.decode().splitlines():
        program, word, name, rest = line.split(": ", 3)
        assert (program, word, rest) == ("postern-smtpd", "warning", why), line
        names.append(name)
    return names


def greets_at_once(name, value):
    return not (name == "GREETDELAY" and float(value) > 0.1 or value.startswith("connect "))


class Knobs(unittest.TestCase):
    def test_good(self):
        with Place() as place:
            for name, (values, _) in VALUES.items():
                for value, shown in values:
                    if not greets_at_once(name, value):
                        continue  # see test_shown, and the transcripts
                    with self.subTest(name, value=value[:60]), Session(place, **{name: raw(value)}) as s:
                        s.expect(220)
                        s.quit()
                        self.assertFalse(s.log().events("config"))

    def test_shown(self):
        with Place() as place:
            for name, (values, _) in VALUES.items():
                for value, shown in values:
                    if name in ("DOMAINS", "MAILBOXES", "BADSENDERS", "DNSBL_SICK"):
                        continue  # they must exist then: see Shown
                    others = {"RELAYCLIENT": ""} if name == "AUTH_REQUIRED" else {}  # else there is a warning
                    with self.subTest(name, value=value[:60]):
                        done = show(place, **others, **{name: value})
                        self.assertEqual(done.returncode, 0)
                        self.assertRegex(done.stderr.decode(), rf"^(postern-smtpd: warning: {name}: there is no such .*\n)?$"
                                         if name in ("QMAILQUEUE", "CHECKPASSWORD") else "^$")
                        line = f"#{name}" if shown is None else f"{name}={shown}"
                        self.assertIn(line, done.stdout.decode("latin-1").split("\n"))

    def test_bad(self):
        with Place() as place:
            for name, (_, values) in VALUES.items():
                for value, why in values:
                    with self.subTest(name, value=value[:60], why=why), Session(place,
                                                                                **{name: raw(value)}) as s:
                        self.assertEqual(s.reply(), "421 4.3.5 Misconfigured")
                        self.assertEqual(s.rest(), b"")
                        s.close()
                        self.assertEqual(s.wait(), 100)
                        log = s.log()
                        self.assertEqual([(e["event"], e["variable"]) for e in log], [("config", name)])
                        self.assertTrue(log[0]["error"])

    def test_bad_shown(self):
        with Place() as place:
            for name, (_, values) in VALUES.items():
                value, why = values[0]
                with self.subTest(name, value=value, why=why):
                    done = show(place, **{name: value})
                    self.assertEqual((done.returncode, done.stdout), (100, b""))
                    self.assertRegex(done.stderr.decode(), rf"\Apostern-smtpd: {name}: [ -~]+\n\Z")

    def test_bad_told(self):
        """The log has the value and the allowed ones; but no value that may hold a key."""
        for name, value, error in (("EARLYTALK", "rejct", "none of drop, reject, log, off"),
                                   ("MAXRCPTS", "many more", "not a number from 0 to 1099511627776"),
                                   ("SMTPGREETING", "a\nevent=message", "not printable ASCII"),
                                   ("DNSBL", "key..bl.example", "bad zone")):
            with self.subTest(name), Place() as place, Session(place, **{name: value}) as s:
                self.assertEqual(s.reply(), "421 4.3.5 Misconfigured")
                s.close()
                self.assertEqual(s.wait(), 100)
                event = s.log().one("config")
                self.assertEqual((event["variable"], event.get("value"), event["error"]),
                                 (name, None if name == "DNSBL" else value, error))

    def test_nowhere(self):
        """No place for mail is a mistake in the configuration, too."""
        with Place() as place, Session(place, SPOOL=None) as s:
            self.assertEqual(s.reply(), "421 4.3.5 Misconfigured")
            s.close()
            self.assertEqual(s.wait(), 100)
            self.assertEqual(s.log().one("config")["variable"], "SPOOL")

    def test_host(self):
        """Without ME it is the host's name."""
        with Place() as place, Session(place, ME=None) as s:
            self.assertEqual(s.expect(220).split()[1], os.uname().nodename)
            s.quit()

    def test_whole_names(self):
        """A name that only begins or ends like a knob's is no knob."""
        with Place() as place:
            shown = show(place, MAXRCPTSX="7", XMAXRCPTS="8", MAXRCPT="9")
            self.assertIn(b"MAXRCPTS=100\n", shown.stdout)
            self.assertEqual(warnings(shown, "no variable of ours; is MAXRCPTS meant?"), ["MAXRCPTSX", "XMAXRCPTS", "MAXRCPT"])


def one_record(key, value):
    """A cdb by the format's own description, as any compiler makes it."""
    h = 5381
    for c in key:
        h = ((h << 5) + h & 0xffffffff) ^ c
    record = len(key).to_bytes(4, "little") + len(value).to_bytes(4, "little") + key + value
    slots = [bytes(8), bytes(8)]
    slots[(h >> 8) % 2] = h.to_bytes(4, "little") + (2048).to_bytes(4, "little")
    at = 2048 + len(record)
    toc = b"".join((at + 16 * (i > h & 255)).to_bytes(4, "little") + (2 * (i == h & 255)).to_bytes(4, "little")
                   for i in range(256))
    return toc + record + b"".join(slots)


class Shown(unittest.TestCase):
    """postern-smtpd -n, and wrong usage."""

    def test_defaults(self):
        with Place() as place:
            done = show(place, ME="mx.example.net", TIMEOUT=None, SESSION_TIMEOUT=None)
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            self.assertEqual(done.stdout.decode(), "".join(line + "\n" for line in [
                "# postern 0.1", "ME=mx.example.net", "SMTPGREETING=ESMTP Postern", "#DOMAINS", "#MAILBOXES", "#BADSENDERS",
                "#RELAYCLIENT",
                "SPOOL=spool", "#DISCARD", "#QMAILQUEUE", "DATABYTES=26214400", "TIMEOUT=300",
                "SESSION_TIMEOUT=3600",
                "MINRATE=100", "MAXERRORS=10", "MAXNOOPS=30", "MAXVRFYS=10", "MAXRCPTS=100", "MAXMSGS=100",
                "MAXHOPS=100",
                "BARELF=normalize", "GREETDELAY=0", "ERRORDELAY=0", "TARPITCOUNT=0", "TARPITDELAY=5",
                "EARLYTALK=reject", "UCSPITLS=-", "#CHECKPASSWORD", "MAXAUTHS=3", "#AUTH_INSECURE",
                "#AUTH_REQUIRED", "#RWL", "#DNSBL", "DNSBL_THRESHOLD=1", "DNSBL_TIMEOUT=5",
                "DNSBL_ACTION=reject", "#DNSBL_SHOW", "#DNSBL_SICK", "#RBLSMTPD", "#REFUSE", "#VERBOSE"]))

    def test_tables(self):
        with Place() as place:
            knobs = {kind.upper(): place.compile(kind, text) for kind, text in (
                ("domains", "example.com\n.example.org\n"),
                ("mailboxes", "".join(f"u{i}@example.com\n" for i in range(1000))),
                ("badsenders", ""))}
            done = show(place, **knobs)
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            for line in (b"# DOMAINS: 2 entries\n", b"# MAILBOXES: 1000 entries\n",
                         b"# BADSENDERS: 0 entries\n"):
                self.assertIn(line, done.stdout)

    def test_tables_broken(self):
        for kind, text in TABLES.items():
            for how, spoil in BREAKS.items():
                with self.subTest(kind, how=how), Place() as place:
                    knob = place.compile(kind, text)
                    spoil(place.path / knob)
                    done = show(place, **{kind.upper(): knob})
                    self.assertEqual(done.returncode, 111)
                    self.assertRegex(done.stderr.decode(),
                                     rf"\Apostern-smtpd: {kind.upper()}: {re.escape(knob)}: .+\n\Z")

    def test_version(self):
        with Place() as place:
            self.assertEqual(show(place).stdout.split(b"\n")[0], b"# postern 0.1")

    def test_misspelt(self):
        """A variable that looks like one of ours is told, also where the rest is wrong; its value is not."""
        with Place() as place:
            for name, meant in (("DATABYTEZ", "DATABYTES"), ("spool", "SPOOL"), ("DOMAIN", "DOMAINS"),
                                ("EARLY_TALK", "EARLYTALK"), ("CERT_FILE", "CERTFILE"), ("TLSMIN", "TLS_MIN"),
                                ("USRS", "USERS"), ("MAX_RCPTS", "MAXRCPTS")):
                for knobs, code in (({}, 0), ({"TIMEOUT": "x"}, 100)):
                    with self.subTest(name, **knobs):
                        done = show(place, **{name: "secret", **knobs})
                        self.assertEqual(done.returncode, code)
                        self.assertIn(f"postern-smtpd: warning: {name}: no variable of ours; is {meant} meant?\n",
                                      done.stderr.decode())
                        self.assertNotIn(b"secret", done.stderr)

    def test_others_variables(self):
        """Variables of others, and of our other programs, are not told."""
        names = ("""HOME USER LOGNAME SHELL TERM PATH PWD OLDPWD LANG LC_ALL TZ MAIL HOSTNAME SHLVL _ TMOUT TMPDIR EDITOR
                 DISPLAY INVOCATION_ID JOURNAL_STREAM NOTIFY_SOCKET LISTEN_PID LISTEN_FDS REMOTE_ADDR REMOTE_PORT PROTO
                 TCPREMOTEIP TCPREMOTEPORT TCPREMOTEHOST TCPREMOTEINFO TCPLOCALIP TCPLOCALPORT TCPLOCALHOST DNSCACHEIP
                 DNSREWRITEFILE SSLCTLFD SSLREADFD SSLWRITEFD SSL_PROTOCOL SSL_CIPHER PORT TLS AUTH ME2 DEBUG VERSION
                 CERTFILE KEYFILE CERTDIR TLS_MIN CIPHERS CCAFILE USERS X""" + "X" * 300).split()
        with Place() as place:
            done = show(place, **dict.fromkeys(names, "1"))
            self.assertEqual((done.returncode, done.stderr), (0, b""))

    def test_warnings(self):
        nowhere = "mail for other hosts is refused with 451: neither QMAILQUEUE nor SPOOL nor DISCARD is set"
        bare = NO_DOT.decode().split(": ", 3)[3].rstrip()
        lacking = "there is no such program that can be run: "
        closed = "all mail is refused with 530: CHECKPASSWORD is not set"
        rows = [
            ({"ME": "vm"}, bare, ["ME"], "half a name"),
            ({"ME": "[IPv6:2001:db8::1]"}, bare, [], "an address has no dots"),
            ({"ME": "localhost"}, bare, [], "for tests"),
            ({"ME": None}, bare, [] if "." in os.uname().nodename else ["ME"], "this host's own"),
            ({"RELAYCLIENT": "", "MAILBOXES": "x.cdb", "SPOOL": None}, nowhere, ["RELAYCLIENT"], "whither?"),
            ({"CHECKPASSWORD": "./run", "MAILBOXES": "x.cdb", "SPOOL": None}, nowhere, ["CHECKPASSWORD"], "whither?"),
            ({"CHECKPASSWORD": "./run", "RELAYCLIENT": "", "MAILBOXES": "x.cdb", "SPOOL": None}, nowhere,
             ["RELAYCLIENT"], "once is enough"),
            ({"CHECKPASSWORD": "./run", "MAILBOXES": "x.cdb", "SPOOL": None, "QMAILQUEUE": "./run"}, nowhere, [],
             "there"),
            ({"CHECKPASSWORD": "./run", "MAILBOXES": "x.cdb", "SPOOL": None, "DISCARD": "1"}, nowhere, [], "there"),
            ({"CHECKPASSWORD": "./run", "MAILBOXES": "x.cdb"}, nowhere, [], "there"),
            ({"MAILBOXES": "x.cdb", "SPOOL": None}, nowhere, [], "mail for other hosts is not taken"),
            ({"QMAILQUEUE": "./none"}, lacking + "mail is refused with 451", ["QMAILQUEUE"], "none"),
            ({"QMAILQUEUE": "./x"}, lacking + "mail is refused with 451", ["QMAILQUEUE"], "no program"),
            ({"CHECKPASSWORD": "./none"}, lacking + "nobody can log in", ["CHECKPASSWORD"], "none"),
            ({"AUTH_REQUIRED": "1"}, closed, ["AUTH_REQUIRED"], "how?"),
            ({"AUTH_REQUIRED": "1", "CHECKPASSWORD": "./run"}, closed, [], "by AUTH"),
            ({"AUTH_REQUIRED": "1", "RELAYCLIENT": ""}, closed, [], "not for this client"),
        ]
        for knobs, text, names, why in rows:
            with self.subTest(why, **{k: str(v) for k, v in knobs.items()}), Place() as place:
                place.compile("mailboxes", "a@b.example ./x/\n", "x")
                place.write("run", "", 0o755)
                done = show(place, **knobs)
                self.assertEqual(done.returncode, 0)
                self.assertEqual(warnings(done, text), names)

    def test_text_for_a_table(self):
        with Place() as place:
            place.write("domains", "example.com\n" * 300)
            done = show(place, DOMAINS="domains")
            self.assertEqual((done.returncode, done.stderr.decode()),
                             (111, "postern-smtpd: DOMAINS: domains: Not a whole table: compile it with postern-cdb\n"))

    def test_table_of_another_kind(self):
        """Each kind set for each other. A table without the word, such as an old one, has the kind it is set for."""
        texts = {**TABLES, "users": "alice $6$abc$" + "x" * 86 + "\n"}
        for kind, text in texts.items():
            for knob in ("domains", "mailboxes", "badsenders"):
                with self.subTest(kind, knob=knob), Place() as place:
                    done = show(place, **{knob.upper(): place.compile(kind, text, "x")})
                    if knob == kind:
                        self.assertEqual((done.returncode, done.stderr), (0, b""))
                        continue
                    self.assertEqual((done.returncode, done.stderr.decode()),
                                     (111, f"postern-smtpd: {knob.upper()}: x.cdb: a table of {kind}, not of {knob}\n"))

    def test_lists_of_another_kind(self):
        with Place() as place:
            done = show(place, DNSBL="bl.example", DNSBL_SICK=place.compile("domains", "bl.example\n", "x"))
            self.assertEqual((done.returncode, done.stderr.decode()),
                             (111, "postern-smtpd: DNSBL_SICK: x.cdb: a table of domains, not of lists\n"))
            place.write("sick.cdb", one_record(b"", b""))  # of tcprules, which begin like this
            done = show(place, DNSBL="bl.example", DNSBL_SICK="sick.cdb")
            self.assertEqual((done.returncode, done.stderr.decode()),
                             (111, "postern-smtpd: DNSBL_SICK: sick.cdb: a table of another program's: compile it with postern-cdb\n"))
            place.write("sick.cdb", one_record(b"", b"lists"))
            done = show(place, DNSBL="bl.example", DNSBL_SICK="sick.cdb")
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            self.assertIn(b"# DNSBL_SICK: 0 entries\n", done.stdout)

    def test_table_without_a_word(self):
        """Older tables have no kind, and those of other compilers, either."""
        with Place() as place:
            place.write("old.cdb", one_record(b"example.com", b""))
            done = show(place, DOMAINS="old.cdb", BADSENDERS="old.cdb")
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            self.assertIn(b"# DOMAINS: 1 entries\n", done.stdout)
            with Session(place, DOMAINS="old.cdb") as s:
                s.hello()
                s.command("MAIL FROM:<>", 250)
                s.command("RCPT TO:<a@example.com>", 250)
                s.command("RCPT TO:<a@example.org>", 550)
                s.quit()

    def test_tables_lost_key(self):
        """A slot that damage made a free one: lookups say that there is no such key."""
        for kind, text in TABLES.items():
            with self.subTest(kind), Place() as place:
                knob = place.compile(kind, text)
                cdb = bytearray(place.read(knob))
                at = next(i for i in range(int.from_bytes(cdb[:4], "little"), len(cdb), 8) if any(cdb[i:i + 8]))
                cdb[at:at + 8] = bytes(8)
                place.write(knob, bytes(cdb))
                done = show(place, **{kind.upper(): knob})
                self.assertEqual(done.returncode, 111)
                self.assertRegex(done.stderr.decode(), rf"\Apostern-smtpd: {kind.upper()}: {re.escape(knob)}: .+\n\Z")

    def test_usage(self):
        with Place() as place:
            for arguments in (["-x"], ["-n", "-n"], [""], ["--help", "-n"], ["-n", ""], ["-w"],
                              ["-w", "192.0.2.1", "x", "a@b.example"],
                              ["-w", "192.0.2.1", "x", "a@b.example", "c@d.example", ""],
                              ["-n", "192.0.2.1", "x", "a@b.example", "c@d.example"]):
                with self.subTest(arguments):
                    done = show(place, *arguments)
                    self.assertEqual((done.returncode, done.stdout, done.stderr),
                                     (100, b"", b"usage: postern-smtpd [-n | -w client helo sender recipient]\n"))

    def test_output_lost(self):
        """A full disk behind -n does not pass for success."""
        with Place() as place, open("/dev/full", "wb") as full:
            done = subprocess.run([SMTPD, "-n"], cwd=place.path, env=environment(), stdout=full,
                                  timeout=LIMIT,
                                  stderr=subprocess.PIPE, check=False)
            self.assertEqual(done.returncode, 111)


TABLES = {
    "domains": "example.com\n",
    "mailboxes": "alice@example.com\nbob@example.com ./bob/\n",
    "badsenders": "example.com\n",
}


class BrokenTables(unittest.TestCase):
    """A table that cannot be asked: 451 for an answer, one line of trouble for each, nothing accepted."""

    def test_each(self):
        for kind, text in TABLES.items():
            for how, spoil in BREAKS.items():
                with self.subTest(kind, how=how), Place() as place:
                    knobs = {kind.upper(): place.compile(kind, text)}
                    spoil(place.path / knobs[kind.upper()])
                    with Session(place, **knobs) as s:
                        self.ask(s, kind)
                        s.quit()
                        log = s.log()
                        trouble = log.events("trouble", step="lookup", object=f"{kind}.cdb")
                        self.assertEqual((len(trouble), len(log.events("trouble"))), (2, 2))
                        self.assertTrue(trouble[0]["error"])
                        self.assertEqual(len([e for e in log if e.get("reason") == "lookup"]), 2)
                    self.assertEqual(place.stored(), {})

    def ask(self, s, kind):
        s.hello()
        if kind == "badsenders":
            for _ in range(2):
                self.assertEqual(s.command("MAIL FROM:<spam@example.com>"),
                                 "451 4.3.0 Temporary lookup failure")
            s.command("RCPT TO:<alice@example.com>", 503)
            return
        s.command("MAIL FROM:<a@example.org>", 250)
        for _ in range(2):
            self.assertEqual(s.command("RCPT TO:<alice@example.com>"), "451 4.3.0 Temporary lookup failure")
        s.command("DATA", "554 5.5.1")

    def test_any_byte(self):
        """A record with any one byte changed: it may go unnoticed in a value, but its mailbox never becomes unknown."""
        with Place() as place:
            knob = place.compile("mailboxes", "alice@example.com\n")
            whole = place.read(knob)
            end = int.from_bytes(whole[:4], "little")
            slot = whole.index((2048).to_bytes(4, "little"), end) - 4
            for i in [*range(2048, slot + 1), *range(slot + 4, len(whole))]:
                for flip in (1, 0x80):
                    spoilt = bytearray(whole)
                    spoilt[i] ^= flip
                    place.write(knob, bytes(spoilt))
                    with self.subTest(byte=i, flip=flip), Session(place, MAILBOXES=knob) as s:
                        s.hello()
                        s.command("MAIL FROM:<>", 250)
                        reply = s.command("RCPT TO:<alice@example.com>")
                        self.assertIn(reply[:9], ("451 4.3.0", "250 2.1.5"))
                        if 2056 <= i < 2056 + len("alice@example.com"):
                            self.assertEqual(reply[:3], "451")
                        s.quit()

    def test_rebuilt(self):
        """A session keeps the table it has opened; the next one sees the new."""
        with Place() as place:
            knob = place.compile("mailboxes", "alice@example.com\n")
            with Session(place, MAILBOXES=knob) as old:
                old.hello()
                old.command("MAIL FROM:<>", 250)
                old.command("RCPT TO:<alice@example.com>", 250)
                place.compile("mailboxes", "bob@example.com\n")
                with Session(place, MAILBOXES=knob) as new:
                    new.hello()
                    new.command("MAIL FROM:<>", 250)
                    new.command("RCPT TO:<alice@example.com>", "550 5.1.1")
                    new.command("RCPT TO:<bob@example.com>", 250)
                    new.quit()
                old.command("RCPT TO:<bob@example.com>", "550 5.1.1")
                old.command("RCPT TO:<alice@example.com>", 250)
                old.quit()

    def test_not_opened_in_vain(self):
        """A session that asks nothing of a table has no trouble with it."""
        with Place() as place, Session(place, DOMAINS="missing", MAILBOXES="missing",
                                       BADSENDERS="missing") as s:
            s.hello()
            s.command("MAIL FROM:<>", 250)
            s.quit()
            self.assertEqual(s.log().events("trouble"), [])


REASONS = {"250": None, "554": "queue", "452": "full", "451": "storage"}
ALL = "cat >/dev/null; cat <&1 >/dev/null; "
QUEUES = [
    # name, script, bytes of message, reply, lines of trouble, why
    ("done", ALL + "exit 0", 10, "250 2.0.0 Ok", 0, "queued"),
    ("large", ALL + "exit 0", 1000000, "250 2.0.0 Ok", 0, "more than a pipe holds"),
    ("too long", ALL + "exit 11", 10, "554 5.3.0 Message refused", 1, "permanent"),
    ("31", ALL + "exit 31", 10, "554 5.3.0 Message refused", 1, "permanent"),
    ("40", ALL + "exit 40", 10, "554 5.3.0 Message refused", 1, "the last permanent one"),
    ("1", ALL + "exit 1", 10, "451 4.3.0 Temporary storage failure", 1, "unknown is temporary"),
    ("10", ALL + "exit 10", 10, "451 4.3.0 Temporary storage failure", 1, "below the permanent ones"),
    ("41", ALL + "exit 41", 10, "451 4.3.0 Temporary storage failure", 1, "above the permanent ones"),
    ("51", ALL + "exit 51", 10, "451 4.3.0 Temporary storage failure", 1, "out of memory"),
    ("52", ALL + "exit 52", 10, "451 4.3.0 Temporary storage failure", 1, "timeout"),
    ("53", ALL + "exit 53", 10, "452 4.3.1 Out of space", 1, "disk full"),
    ("54", ALL + "exit 54", 10, "451 4.3.0 Temporary storage failure", 1, "read error"),
    ("71", ALL + "exit 71", 10, "451 4.3.0 Temporary storage failure", 1, "server refused for now"),
    ("81", ALL + "exit 81", 10, "451 4.3.0 Temporary storage failure", 1, "internal bug"),
    ("91", ALL + "exit 91", 10, "451 4.3.0 Temporary storage failure", 1, "envelope format"),
    ("111", ALL + "exit 111", 10, "451 4.3.0 Temporary storage failure", 1,
     "as daemontools' programs say it"),
    ("255", ALL + "exit 255", 10, "451 4.3.0 Temporary storage failure", 1, "unknown is temporary"),
    ("crash", ALL + "kill -9 $$", 10, "451 4.3.0 Temporary storage failure", 1, "killed"),
    ("deaf no", "exec <&-; exit 31", 1000000, "554 5.3.0 Message refused", 1,
     "its verdict counts though it read nothing"),
    ("deaf yes", "exec <&-; exit 0", 1000000, "451 4.3.0 Temporary storage failure", 1,
     "it cannot have queued an unread message"),
    ("half deaf", "head -c 1000 >/dev/null; exit 0", 1000000, "451 4.3.0 Temporary storage failure", 1,
     "nor one it read a part of"),
    ("hang", "exec sleep 1000", 10, "451 4.3.0 Temporary storage failure", 1, "it is ended"),
    ("hang, full", "exec sleep 1000", 1000000, "451 4.3.0 Temporary storage failure", 1, "it is ended"),
    ("hang late", ALL + "exec sleep 1000", 10, "451 4.3.0 Temporary storage failure", 1, "it is ended"),
]


class Queue(unittest.TestCase):
    """QMAILQUEUE: each class of exit codes of qmail-queue(8), and programs that misbehave."""

    def test_each(self):
        for name, script, size, reply, lines, why in QUEUES:
            with self.subTest(name, why=why), Place() as place:
                place.write("queue", f"#!/bin/sh\necho $$ >pid\n{script}\n", 0o755)
                with Session(place, QMAILQUEUE="./queue", SPOOL=None,
                             TIMEOUT="1" if "hang" in name else "30") as s:
                    s.hello()
                    got = s.mail((b"x" * 98 + b"\r\n") * (size // 100 + 1), code=None)
                    self.assertEqual(got[:len(reply)], reply)
                    self.check_gone(int(place.read("pid")))
                    place.write("queue", "#!/bin/sh\n" + ALL, 0o755)
                    s.mail("next")
                    s.quit()
                    log = s.log()
                    self.assertEqual(len(log.events("trouble")), lines, log)
                    first, second = log.events("message")
                    self.assertEqual((first.get("reason"), second["verdict"]), (REASONS[reply[:3]], "accept"))

    def check_gone(self, pid):
        with self.assertRaises(ProcessLookupError):
            os.kill(pid, 0)

    def test_no_program(self):
        for name, mode, why in (("missing", None, "there is none"), ("plain", 0o644, "it may not run"),
                                ("folder", "", "it is none")):
            with self.subTest(name, why=why), Place() as place:
                if mode is not None:
                    place.write("queue", "") if mode else (place.path / "queue").mkdir()
                with Session(place, QMAILQUEUE="./queue", SPOOL=None) as s:
                    s.hello()
                    self.assertEqual(s.mail("text", code=None), "451 4.3.0 Temporary storage failure")
                    s.quit()
                    self.assertEqual(s.log().one("trouble")["object"], "./queue")

    def test_stopped(self):
        """SIGTERM while the program is at work: its verdict is awaited, then the session ends."""
        with Place() as place:
            os.mkfifo(place.path / "go")
            place.write("queue", f"#!/bin/sh\n{ALL} echo >ready; read word <go; exit 0\n", 0o755)
            with Session(place, QMAILQUEUE="./queue", SPOOL=None) as s:
                s.hello()
                s.command("MAIL FROM:<>", 250)
                s.command("RCPT TO:<b@example.com>", 250)
                s.command("DATA", 354)
                s.send("text\r\n.\r\n")
                await_that((place.path / "ready").exists, "the program has read its message")
                s.signal(TERM)
                (place.path / "go").write_text("go\n")
                s.expect("250 2.0.0")
                s.expect("421 4.3.2")
                self.assertEqual(s.rest(), b"")

    def test_clean_descriptors(self):
        """The program has two descriptors and the log."""
        with Place() as place:
            place.write("queue", f"#!/bin/sh\n{ALL} exec ls -1 /proc/self/fd >fds\n", 0o755)
            with Session(place, QMAILQUEUE="./queue", SPOOL=None) as s:
                s.hello()
                s.mail("text")
                s.quit()
            self.assertEqual(place.read("fds").split(), [b"0", b"1", b"2", b"3"])  # the last is ls's own

    def test_clean_signals(self):
        """It finds signals as under a shell; here it is cp, and writes the kernel's words about it over its script."""
        with Place() as place:
            place.write("queue", "#!/bin/cp /proc/self/status\n", 0o755)
            with Session(place, QMAILQUEUE="./queue", SPOOL=None) as s:
                s.hello()
                s.mail("text", code=None)
                s.quit()
            masks = dict(line.split(b":") for line in place.read("queue").splitlines())
            ours = sum(1 << n - 1 for n in (signal.SIGPIPE, signal.SIGTERM, signal.SIGCHLD,
                                            signal.SIGXFSZ))  # others may be inherited
            for name in (b"SigBlk", b"SigIgn"):
                self.assertEqual(int(masks[name], 16) & ours, 0, name)


class Random(unittest.TestCase):
    """Conversations by chance (seeded): one reply for each command of any kind; and the same replies when the
    same bytes come in other pieces."""

    LINES = [b"HELO a.example", b"EHLO b.example", b"MAIL FROM:<a@b.example>", b"MAIL FROM:<>",
             b"MAIL FROM:<a@b> SIZE=99999999",
             b"RCPT TO:<alice@example.com>", b"RCPT TO:<bob@example.com>", b"RCPT TO:<no@example.com>",
             b"RCPT TO:<x", b"DATA",
             b"DATA", b"DATA x", b"RSET", b"NOOP", b"NOOP x", b"VRFY x", b"EXPN x", b"HELP", b"", b" ", b" \0",
             b"FOO", b"x" + b"\xff" * 50,
             b"x" * 5000, b".", b"..", b"STARTTLS", b"MAIL", b"QUIT x", b"NOOP\rQUIT"]
    MAILING = [b"HELO a.example", b"MAIL FROM:<>", b"RCPT TO:<alice@example.com>",
               b"RCPT TO:<bob@example.com>", b"DATA"]
    BODIES = [b"", b"text\r\n", b"a\nb\r\n", b"a\rb\r\n", b"\0\r\n", b"..\r\n", b"a\n.\nb\r\n",
              b"a\r\n.\nb\r\n", b"a\n.\r\nb\r\n",
              b"a\r\n.\rb\r\n", b"Received: x\r\n" * 4 + b"\r\n", b"x" * 3000 + b"\r\n",
              b"x" * 70000 + b"\r\n", b"QUIT\r\n"]
    KNOBS = {"MAXERRORS": "30", "MAXNOOPS": "15", "MAXVRFYS": "5", "MAXMSGS": "4", "MAXHOPS": "3",
             "MAXRCPTS": "3", "DATABYTES": "5000",
             "EARLYTALK": "off"}

    def test_one_reply_each(self):
        total = 0
        for seed in range(60):
            with self.subTest(seed=seed), Place() as place:
                knobs = {**self.KNOBS, "MAILBOXES": place.compile("mailboxes", TABLES["mailboxes"])}
                pieces, replies = self.talk(place, knobs, random.Random(seed))
                stored = place.stored()
                accepted = sum(r.startswith("250 2.0.0 Ok ") for r in replies)
                self.assertLessEqual(max(stored.values(), default=0), accepted)
                total += accepted
                for how in ("whole", "bytes", "split"):
                    self.assertEqual(self.say(place, knobs, pieces, how, random.Random(seed)),
                                     "\n".join(replies))
                    for folder, count in place.stored().items():
                        self.assertEqual(count % stored[folder], 0)
                self.assertEqual(place.leftovers(), [])
        self.assertGreater(total, 30)

    def talk(self, place, knobs, r):
        """In step: each line is sent when its turn has come."""
        pieces, replies = [], []
        with Session(place, **knobs) as s:
            replies.append(s.expect(220))
            for _ in range(80):
                line = r.choice(self.LINES if r.random() < 0.5 else self.MAILING) + r.choice([b"\r\n",
                                                                                              b"\r\n", b"\n"])
                if replies[-1].startswith("354"):
                    line = r.choice(self.BODIES) + b".\r\n"
                s.send(line)
                pieces.append(line)
                replies.append(s.reply())
                if replies[-1][:3] in ("421", "221"):
                    break
            s.end_of_input()
            self.assertEqual(s.rest(), b"")
            self.assertEqual(s.wait(), 0)
        return pieces, [IDENT.sub("Ok ID", reply) for reply in replies]

    def say(self, place, knobs, pieces, how, r):
        data = b"".join(pieces)
        with Session(place, **knobs) as s:
            if how == "whole":
                s.send(data)
            elif how == "split":
                cuts = sorted(r.randrange(len(data) + 1) for _ in range(20))
                for a, b in zip([0, *cuts], [*cuts, len(data)]):
                    s.send(data[a:b])
            else:
                for i in range(0, len(data), 1 if len(data) < 3000 else 997):
                    s.send(data[i:i + (1 if len(data) < 3000 else 997)])
            s.end_of_input()
            rest = s.rest().decode()
            self.assertEqual(s.wait(), 0)
        return IDENT.sub("Ok ID", rest.replace("\r\n", "\n").rstrip("\n"))


IDENT = re.compile(r"Ok [0-9a-z]+\.[0-9]+")
CONVERSATION = [
    # sent before each reply is awaited
    b"EHLO client.example\r\n",
    b"MAIL FROM:<a@example.org> SIZE=100\r\nRCPT TO:<alice@example.com>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\n",
    b"Subject: test\r\n\r\n..text\r\n.\r\n",
    b"QUIT\r\n",
]
REPLIES = [1, 4, 1, 1]


def converse(client, cut):
    """Says the first `cut` bytes of the conversation, awaiting replies where RFC 2920 says so."""
    client.expect(220)
    for part, replies in zip(CONVERSATION, REPLIES):
        client.send(part[:cut])
        cut -= len(part)
        if cut < 0:
            return
        for _ in range(replies):
            client.reply()


class Vanishing(unittest.TestCase):
    """The client goes away behind any byte: nothing in tmp/, and in new/ the message that was wholly sent."""

    LENGTH = sum(map(len, CONVERSATION))
    WHOLE = sum(map(len, CONVERSATION[:3]))

    def check(self, place, cut, log):
        wanted = {"spool": 1, "bob": 1} if cut >= self.WHOLE else {}
        self.assertEqual(place.stored(), wanted)
        self.assertEqual(place.leftovers(), [])
        self.assertEqual(log[-1]["event"], "close")
        self.assertIn(log[-1]["reason"], ("eof", "lost", "quit"))
        self.assertEqual(int(log[-1]["messages"]), bool(wanted))
        self.assertEqual(log.events("trouble"), [])

    def knobs(self, place):
        return {"MAILBOXES": place.compile("mailboxes", "alice@example.com\nbob@example.com ./bob/\n")}

    def test_anywhere(self):
        for cut in range(self.LENGTH + 1):
            with self.subTest(cut=cut), Place() as place, Session(place, **self.knobs(place)) as s:
                converse(s, cut)
                s.close()
                self.assertEqual(s.wait(), 0)
                self.check(place, cut, s.log())

    def test_reset(self):
        """Over TCP, and not politely."""
        for cut in [*range(0, self.LENGTH, 9), self.WHOLE - 1, self.WHOLE]:
            with self.subTest(cut=cut), Place() as place, Accepted(place, **self.knobs(place)) as s:
                converse(s, cut)
                s.reset()
                self.assertEqual(s.wait(), 0)
                self.check(place, cut, s.log())

    def test_log_gone(self):
        """A log without a reader is no reason to refuse mail."""
        with Place() as place:
            reader, writer = os.pipe()
            with Session(place, log=writer) as s:
                os.close(writer)
                s.hello()
                os.close(reader)
                s.mail("text")
                s.quit()
            self.assertEqual(place.stored(), {"spool": 1})

    def test_log_closed(self):
        """Nor is one that was never open; and a file opened in its place is not written to."""
        knobs = {"before": ["sh", "-c", 'exec "$@" 2>&-', "sh"]}
        with Place() as place:
            for more in ({}, {"DOMAINS": place.compile("domains", "example.com\n")}, self.knobs(place)):
                with Session(place, **knobs, **more) as s:
                    s.hello()
                    for _ in range(3):
                        s.mail("text", to=["alice@example.com"])
                    s.command("FOO", 500)
                    s.quit()
            self.assertEqual(place.stored(), {"spool": 9})
            self.assertEqual({body_of(m) for m in place.messages().values()}, {b"text\n"})

    def test_never_reads(self):
        """A client that talks and never listens is let go after TIMEOUT."""
        with Place() as place, Session(place, TIMEOUT="1", MAXNOOPS="0", MAXERRORS="0") as s:
            s.expect(220)
            s.sock.settimeout(0.2)
            with self.assertRaises(TimeoutError):
                for _ in range(1000):
                    s.sock.sendall(b"NOOP\r\n" * 10000)
            self.assertEqual(s.wait(), 0)
            self.assertEqual(s.log().one("close")["reason"], "lost")

    def test_never_stops(self):
        """SESSION_TIMEOUT holds for a client that is never late, too."""
        with Place() as place, Session(place, SESSION_TIMEOUT="1", MAXNOOPS="0") as s:
            s.hello()
            for _ in range(1000000):
                reply = s.command("NOOP")
                if not reply.startswith("250"):
                    break
            self.assertEqual(reply, "421 4.4.2 Timeout")

    def test_never_stops_sending(self):
        """Nor in a message."""
        with Place() as place, Session(place, SESSION_TIMEOUT="1", DATABYTES="0", DISCARD="1") as s:
            s.hello()
            s.command("MAIL FROM:<>", 250)
            s.command("RCPT TO:<b@example.com>", 250)
            s.command("DATA", 354)
            with self.assertRaises(OSError):
                for _ in range(1000000):
                    s.sock.sendall(b"x" * 100000)
            self.assertEqual(s.wait(), 0)
            self.assertEqual(s.log().one("close")["reason"], "timeout")


class Private(unittest.TestCase):
    """Stored mail is for its owner only, with any umask."""

    def test_modes(self):
        for mask in ("0", "027", "077"):
            with self.subTest(umask=mask), Place() as place:
                with Session(place, before=["sh", "-c", f'umask {mask}; exec "$@"', "sh"]) as s:
                    s.hello()
                    s.mail("text")
                    s.quit()
                for path in [place.path / "spool", *(place.path / "spool").rglob("*")]:
                    self.assertEqual(path.stat().st_mode & 0o777, 0o700 if path.is_dir() else 0o600, path)
