"""DNS lists as a session sees them: the questions, the steps that wait for answers, and the results."""
import base64
import os
import pathlib
import re
import socket
import struct
import subprocess
import time
import unittest

from dnsserver import A, REFUSED, SERVFAIL, TXT, Server, Zone, loopback, pack_name, reverse, unpack, why_not
from harness import (BREAKS, BUILD, CLIENT, LIMIT, PIPES, ROOT, SMTPD, STREAM, TERM, Place, Session, await_that,
                     environment)

CLIENT6 = "2001:db8:1:2:3:4:567:89ab"
LISTED = {CLIENT: "127.0.0.2", CLIENT6: "127.0.0.6"}
LONG, SHORT = "50", "0.4"  # a deadline that never passes, and one that always does
EARLY = 25                 # seconds; a step that does not wait comes long before
SENDER, RECIPIENT = "MAIL FROM:<a@example.org>", "RCPT TO:<b@example.com>"
NEEDS_DNS = unittest.skipIf(why_not(), why_not())


def session(place, server=None, **knobs):
    knobs = {"DNSBL": "l.x", "DNSBL_TIMEOUT": LONG, **knobs}
    address = server.address if server else loopback()  # no server listens there
    return Session(place, **{"DNSCACHEIP": address, **knobs})


def zones(**by_name):
    """A server; l_x is the zone l.x."""
    return Server(**{name.replace("_", "."): zone for name, zone in by_name.items()})


class Gate:
    """Zones that answer nothing before the test says so."""

    ZONE = "gate.x"

    def __init__(self, **by_name):
        for zone in by_name.values():
            zone.alone = False
        self.server = zones(gate_x=Zone(alone=False), **by_name)

    def __enter__(self):
        return self.server.__enter__()

    def __exit__(self, *why):
        self.server.__exit__(*why)

    @staticmethod
    def open(server):
        head = struct.pack("!HHHHHH", 1, 0x0100, 1, 0, 0, 0)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(LIMIT)
            sock.sendto(head + pack_name("a." + Gate.ZONE) + struct.pack("!HH", A, 1), (server.address, 53))
            sock.recv(512)


def asked(server, kind=A):
    return [q.name for q in server.questions if q.type == kind and not q.name.endswith(Gate.ZONE)]


def until_rcpt(s, code):
    s.hello()
    s.command(SENDER, 250)
    return s.command(RECIPIENT, code)


def whole(s, code=250):
    """A message from the banner to QUIT, and the log."""
    s.hello()
    s.mail("Subject: x\r\n\r\ntext\r\n", code=code)
    s.quit()
    return s.log()


def listed_by(place):
    """The X-Postern-Listed fields of all stored messages."""
    return [re.findall(rb"^X-Postern-Listed: (.*)$", data, re.M) for data in place.messages().values()]


CHECKS = {"DNSBL_ACTION": "reject", "CHECKPASSWORD": "./check", "AUTH_INSECURE": "1"}


@NEEDS_DNS
class Authenticated(unittest.TestCase):
    """A client that authenticates may come from anywhere, any other may not."""

    def send(self, password, code, recipient, **knobs):
        with Place() as place, zones(l_x=Zone(LISTED)) as server:
            place.write("check", "#!/bin/sh\ntr '\\000' ' ' <&3 | grep -q '^a good ' || exit 1\nexec \"$@\"\n", 0o755)
            with session(place, server, **{**CHECKS, **knobs}) as s:
                s.hello()
                s.command("AUTH PLAIN " + base64.b64encode(f"\0a\0{password}".encode()).decode(), code)
                s.command(SENDER, 250)
                s.command(RECIPIENT, recipient)
                s.quit()

    def test_right(self):
        for action in ("reject", "tempfail", "log", "store"):
            with self.subTest(action):
                self.send("good", 235, 250, DNSBL_ACTION=action)

    def test_wrong(self):
        self.send("bad", 535, 550)
        self.send("bad", 535, 451, DNSBL_ACTION="tempfail")


@NEEDS_DNS
class Order(unittest.TestCase):
    """The order of questions, and the steps that wait."""

    def test_questions_go_out_at_connect_and_nothing_waits_but_rcpt(self):
        with Place() as place, Gate(l_x=Zone(LISTED)) as server, session(place, server) as s:
            s.expect(220)
            await_that(lambda: asked(server), "the question, before the client said anything")
            s.command("EHLO client.example", 250)
            s.command(SENDER, 250)
            s.send(RECIPIENT + "\r\n")
            s.sock.settimeout(0.2)
            self.assertRaises(TimeoutError, s.recv)  # the answer is not there
            s.sock.settimeout(LIMIT)
            Gate.open(server)
            s.expect("550 5.7.1 Client [192.0.2.7] is listed by l.x")
            s.quit()

    def test_a_session_that_names_nobody_never_waits(self):
        with Place() as place, zones(l_x=Zone(silent=True)) as server, session(place, server) as s:
            s.hello()
            s.command(SENDER, 250)
            s.command("RCPT TO:<b", 501)
            s.quit()
            log = s.log()
        self.assertLess(float(log.one("close")["took"]), EARLY)
        self.assertEqual(log.events("dnsbl"), [], "nobody needed to know")

    def test_late_recipient(self):
        """Answers that came in time count, even if they are needed late; then the session waits for no others."""
        for zone, code, state in ((Zone(LISTED, text="why"), "550 5.7.1", None), (Zone(silent=True), 250, "timeout"),
                                  (Zone(), 250, None)):
            with self.subTest(zone), Place() as place, zones(l_x=zone) as server:
                with session(place, server, DNSBL_TIMEOUT="0.5", ERRORDELAY="1") as s:
                    s.hello()
                    s.command("FOO", 500)  # a second later
                    s.command(SENDER, 250)
                    reply = s.command(RECIPIENT, code)
                    s.quit()
                    log = s.log()
                self.assertEqual([e.get("trouble") for e in log.events("dnsbl")], [] if zone.hosts == {} and not state
                                 else [state])
                if zone.text:
                    self.assertEqual(reply, "550 5.7.1 Client [192.0.2.7] is listed by l.x: why")

    def test_verdict_is_asked_for_once(self):
        with Place() as place, zones(l_x=Zone(LISTED, text="why")) as server, session(place, server) as s:
            first = until_rcpt(s, 550)
            self.assertEqual(s.command("RCPT TO:<c@example.com>", 550), first)
            s.command("RSET", 250)
            s.command("EHLO again.example", 250)
            s.command(SENDER, 250)
            self.assertEqual(s.command(RECIPIENT, 550), first)
            s.command("DATA", 554)
            s.quit()
            log = s.log()
        self.assertEqual([q.type for q in server.questions], [A, TXT])
        self.assertEqual(len(log.events("rcpt", reason="listed", verdict="reject", reply=first)), 3)
        self.assertEqual((len(log.events("dnsbl")), len(log.events("listed"))), (1, 1))
        self.assertEqual(place.stored(), {})

    def test_local_checks_come_first(self):
        """A recipient that the tables refuse does not wait for the lists."""
        with Place() as place, zones(l_x=Zone(silent=True)) as server:
            domains = place.compile("domains", "example.com\n")
            with session(place, server, DOMAINS=domains) as s:
                s.hello()
                s.command(SENDER, 250)
                s.command("RCPT TO:<b@elsewhere.example>", "550 5.7.1")
                s.quit()
                self.assertEqual(s.log().events("dnsbl"), [])

    def test_client_that_sends_all_and_leaves(self):
        text = f"EHLO c.example\r\n{SENDER}\r\n{RECIPIENT}\r\nDATA\r\nSubject: x\r\n\r\ntext\r\n.\r\nQUIT\r\n"
        for how, overs in (("close", [STREAM]), ("end_of_input", [STREAM, PIPES])):
            for over in overs:
                with self.subTest(how, over=over), Place() as place, Gate(l_x=Zone(LISTED)) as server:
                    with session(place, server, EARLYTALK="off", over=over) as s:
                        s.send(text)
                        getattr(s, how)()
                        await_that(lambda: asked(server), "the question")
                        Gate.open(server)
                        log = s.log()
                    self.assertEqual(place.stored(), {})
                    # to one that closed, no reply can be written: it may be gone before it is heard
                    self.assertEqual({e["reason"] for e in log.events("rcpt")},
                                     {"listed"} if how == "end_of_input" or log.events("rcpt") else set())

    def test_all_at_once(self):
        names = [f"l{i}.example" for i in range(20)]
        with Place() as place, Server(**{name: Zone(LISTED, alone=False) for name in names}) as server:
            with session(place, server, DNSBL=" ".join(names[:10]), RWL=",".join(names[10:])) as s:
                log = whole(s)
        self.assertEqual(sorted(asked(server)), sorted(f"7.2.0.192.{name}" for name in names))
        self.assertTrue(log.events("dnsbl", kind="white"))

    def test_ids_and_ports_differ_between_sessions(self):
        with Place() as place, zones(l_x=Zone()) as server:
            for _ in range(6):
                with session(place, server) as s:
                    until_rcpt(s, 250)
                    s.quit()
            seen = [(q.id, q.port) for q in server.questions]
        self.assertEqual(len(seen), 6)
        for part in zip(*seen):
            self.assertGreater(len(set(part)), 4)
        self.assertNotIn((0xeebc, 64715), seen, "libowfat without a seed")

    def test_over_tcp(self):
        with Place() as place, zones(l_x=Zone(LISTED, truncate=True, text="t" * 100)) as server:
            with session(place, server) as s:
                self.assertTrue(until_rcpt(s, 550).endswith("l.x: " + "t" * 100))
            self.assertEqual([q.over for q in server.questions], ["udp", "tcp"] * 2)


# action, reply at: banner, RCPT, DATA; the rcpt event's verdict; whether stored
ACTIONS = [
    ("drop", "521 5.7.1", None, None, None, False),
    ("reject", "220", "550 5.7.1", "554", "reject", False),
    ("tempfail", "220", "451 4.7.1", "554", "tempfail", False),
    ("store", "220", "250", "354", "accept", True),
    ("log", "220", "250", "354", "accept", True),
]


@NEEDS_DNS
class Actions(unittest.TestCase):
    def test_each(self):
        for action, banner, rcpt, data, verdict, stored in ACTIONS:
            with self.subTest(action), Place() as place, zones(l_x=Zone(LISTED, text="why")) as server:
                with session(place, server, DNSBL="l.x*3", DNSBL_THRESHOLD="2", DNSBL_ACTION=action) as s:
                    replies = [s.expect(banner)]
                    if rcpt:
                        s.command("EHLO client.example", 250)
                        s.command(SENDER, 250)
                        replies += [s.command(RECIPIENT, rcpt), s.command("DATA", data)]
                        if data == "354":
                            s.send("Subject: x\r\n\r\ntext\r\n.\r\n")
                            s.expect(250)
                        s.quit()
                    else:
                        self.assertEqual(s.rest(), b"")
                    log = s.log()
                self.check(action, verdict, stored, replies, place, log, server)

    def check(self, action, verdict, stored, replies, place, log, server):
        hit, listed = log.one("dnsbl"), log.one("listed")
        self.assertEqual([hit[k] for k in ("list", "answer", "weight", "score")], ["l.x", "127.0.0.2", "3", "3"])
        self.assertEqual([listed[k] for k in ("list", "score", "threshold", "action")], ["l.x", "3", "2", action])
        self.assertEqual(listed.get("would"), "reject" if action == "log" else None)
        self.assertEqual(bool(place.stored()), stored)
        self.assertEqual(asked(server, TXT), [] if stored else ["7.2.0.192.l.x"])
        if action == "drop":
            self.assertEqual((log.one("banner")["verdict"], log.one("close")["reason"]), ("reject", "listed"))
        else:
            self.assertEqual(log.one("rcpt")["verdict"], verdict)
        if stored:
            self.assertEqual(listed_by(place), [[b"l.x=127.0.0.2"]])
        else:
            words = "Client [192.0.2.7] is listed by l.x: why"
            self.assertEqual([r[10:] for r in replies if words in r], [words])
            self.assertEqual(log.one("banner" if action == "drop" else "rcpt")["reason"], "listed")

    def test_clean_client_sees_nothing_of_it(self):
        for action, *_ in ACTIONS:
            with self.subTest(action), Place() as place, zones(l_x=Zone()) as server:
                with session(place, server, DNSBL_ACTION=action) as s:
                    log = whole(s)
                self.assertEqual((log.events("dnsbl"), log.events("listed"), listed_by(place)), ([], [], [[]]))
                self.assertEqual([q.type for q in server.questions], [A])

    def test_store_tags_wherever_mail_goes(self):
        keep = "#!/bin/sh\ncat >message; cat <&1 >/dev/null\n"
        with Place() as place, zones(l_x=Zone(LISTED), m_x=Zone({CLIENT: ["127.0.0.9", "127.0.0.4"]})) as server:
            knobs = {"DNSBL": "l.x m.x=127.0.0.4", "DNSBL_ACTION": "store", "DNSBL_THRESHOLD": "2"}
            boxes = place.compile("mailboxes", "b@example.com ./bob/\n")
            with session(place, server, MAILBOXES=boxes, **knobs) as s:
                whole(s)
            place.write("queue", keep, 0o755)
            with session(place, server, QMAILQUEUE="./queue", SPOOL=None, **knobs) as s:
                whole(s)
            found = [*place.messages("bob").values(), place.read("message")]
        self.assertEqual(len(found), 2)
        for data in found:
            self.assertIn(b"\nX-Postern-Listed: l.x=127.0.0.2, m.x=127.0.0.4\n", b"\n" + data.partition(b"\n\n")[0])

    def test_many_lists_are_named_in_a_header_line(self):
        names = [f"{'long' * 15}{i}.example" for i in range(20)]
        with Place() as place, Server(**{name: Zone(LISTED) for name in names}) as server:
            with session(place, server, DNSBL=" ".join(names), DNSBL_ACTION="store", DNSBL_THRESHOLD="20") as s:
                whole(s)
            (found,), = listed_by(place)
        self.assertGreater(found.count(b"=127.0.0.2"), 5)
        self.assertLessEqual(len(found) + len("X-Postern-Listed: "), 998)

    def test_drop_waits_before_the_banner(self):
        with Place() as place, Gate(l_x=Zone(LISTED)) as server, session(place, server, DNSBL_ACTION="drop") as s:
            await_that(lambda: asked(server), "the question")
            s.sock.settimeout(0.2)
            self.assertRaises(TimeoutError, s.recv)
            s.sock.settimeout(LIMIT)
            Gate.open(server)
            s.expect("521 5.7.1")


    def test_drop_hears_who_talks_meanwhile(self):
        with Place() as place, Gate(l_x=Zone({})) as server, session(place, server, DNSBL_ACTION="drop") as s:
            await_that(lambda: asked(server), "the question")
            s.send("EHLO x\r\n")
            self.assertEqual(s.reply(), "554 5.5.0 Wait for your turn")
            s.close()
            s.wait()
            self.assertEqual(s.log().one("early")["at"], "banner")

    def test_answers_are_taken_while_the_client_says_nothing(self):
        """One that needs a second step, TCP, comes before a client that takes its time has said RCPT."""
        zone = Zone(LISTED, truncate=True)
        with Place() as place, zones(l_x=zone) as server, session(place, server) as s:
            s.expect("220 ")
            await_that(lambda: [q for q in server.questions if q.over == "tcp"], "the question over TCP")
            s.command("EHLO client.example", 250)
            s.command(SENDER, 250)
            s.command(RECIPIENT, 550)
            s.quit()

    def test_no_question_stays_out(self):
        with Place() as place, zones(l_x=Zone(silent=True)) as server:
            with session(place, server, DNSBL_TIMEOUT=SHORT) as s:
                s.expect("220 ")
                fds = f"/proc/{s.process.pid}/fd"
                await_that(lambda: len(os.listdir(fds)) <= 3, "the socket of the question is closed")
                s.command("EHLO client.example", 250)
                s.quit()
                self.assertEqual(s.log().one("dnsbl")["trouble"], "timeout")

    def test_a_verdict_that_nobody_asked_for_is_logged(self):
        with Place() as place, zones(l_x=Zone(LISTED)) as server:
            with session(place, server, GREETDELAY="0.3", REFUSE="mail 553 5.7.1 No") as s:
                s.hello()
                s.command(SENDER, 553)
                s.quit()
                self.assertEqual(s.log().one("listed")["list"], "l.x")


ALL = "abcs"
# lists that have the client (s never answers), knobs, code at RCPT, score of event listed, why
VERDICTS = [
    ("a", {"DNSBL": "a.x b.x"}, 550, "1", "one is enough"),
    ("a", {"DNSBL": "a.x b.x", "DNSBL_THRESHOLD": 2}, 250, None, "one is not enough"),
    ("ab", {"DNSBL": "a.x b.x", "DNSBL_THRESHOLD": 2}, 550, "2", "two are"),
    ("ab", {"DNSBL": "a.x*3 b.x*-3"}, 250, None, "weights of both signs"),
    ("ab", {"DNSBL": "a.x*3 b.x*-1", "DNSBL_THRESHOLD": 2}, 550, "3 2", "listed with the second or without it"),
    ("a", {"DNSBL": "a.x*0"}, 250, None, "no weight"),
    ("ab", {"DNSBL": "a.x", "RWL": "b.x"}, 250, None, "a white list passes all others"),
    ("abc", {"DNSBL": "a.x*1000 c.x", "RWL": "b.x"}, 250, None, "of any weight"),
    ("ab", {"DNSBL": "a.x", "RWL": "b.x=127.0.0.[7..9]"}, 550, "1", "its answer does not match"),
    ("a", {"RWL": "b.x"}, 250, None, "not to be in a white list is no sin"),
    ("a", {"DNSBL": "a.x=127.0.0.[2..6]"}, 550, "1", "a filter"),
    ("a", {"DNSBL": "a.x=127.0.0.[9..11;14]"}, 250, None, "a filter"),
    ("a", {"DNSBL": "a.x=127.0.0.[2;6] a.x*2", "DNSBL_THRESHOLD": 3}, 550, "3", "one zone twice"),
    ("a", {"DNSBL": "a.x*2 s.x"}, 550, "2", "the silent list cannot change it"),
    ("", {"DNSBL": "a.x s.x", "DNSBL_THRESHOLD": 2}, 250, None, "the silent list cannot change it"),
    ("a", {"DNSBL": "a.x*5 s.x*-2"}, 550, "5", "the silent list cannot change it"),
    ("a", {"DNSBL": "b.x s.x*-2"}, 250, None, "the silent list cannot change it"),
    ("b", {"DNSBL": "a.x s.x", "RWL": "b.x"}, 250, None, "the silent list cannot change it"),
    ("", {"DNSBL": "a.x", "RWL": "s.x"}, 250, None, "the silent white list cannot change it"),
    ("", {"RWL": "s.x", "DNSBL": None}, 250, None, "the silent white list cannot change it"),
]
# the same where the silent list could change it
WAITING = [
    ("a", {"DNSBL": "a.x", "RWL": "s.x"}, 550, "1"),
    ("a", {"DNSBL": "a.x s.x", "DNSBL_THRESHOLD": 2}, 250, None),
    ("a", {"DNSBL": "a.x s.x*-1"}, 550, "1"),
    ("", {"DNSBL": "a.x s.x"}, 250, None),
]


@NEEDS_DNS
class Verdicts(unittest.TestCase):
    def serve(self, listed):
        return Server(**{f"{name}.x": Zone(LISTED if name in listed else {}, silent=name == "s") for name in ALL})

    def test_verdicts(self):
        for client in (CLIENT, CLIENT6):
            for listed, knobs, code, score, why in VERDICTS:
                with self.subTest(why, listed=listed, client=client, **knobs), Place() as place:
                    with self.serve(listed) as server, session(place, server, TCPREMOTEIP=client, **knobs) as s:
                        until_rcpt(s, code)
                        s.quit()
                        log = s.log()
                    found = [e["score"] for e in log.events("listed")]
                    self.assertEqual(len(found), bool(score))
                    self.assertLessEqual(set(found), set((score or "").split()))
                    self.assertLess(float(log.one("close")["took"]), EARLY)
                    self.assertEqual(log.events("dnsbl", trouble="timeout"), [])

    def test_what_could_matter_is_waited_for_until_the_deadline(self):
        for listed, knobs, code, score in WAITING:
            for action, where in (("reject", code), ("drop", "521" if code == 550 else 220)):
                with self.subTest(listed, action=action, **knobs), Place() as place, self.serve(listed) as server:
                    with session(place, server, DNSBL_TIMEOUT=SHORT, DNSBL_ACTION=action, **knobs) as s:
                        if action == "reject":
                            until_rcpt(s, where)
                        else:
                            s.expect(where)
                        s.end_of_input()
                        s.rest()
                        log = s.log()
                    self.assertEqual(len(log.events("dnsbl", list="s.x", trouble="timeout")), 1)
                    self.assertEqual([e["score"] for e in log.events("listed")], [score] if score else [])
                    self.assertGreaterEqual(float(log.one("close")["took"]), float(SHORT))

    def test_white_list_ends_the_greeting_delay(self):
        for knobs in ({}, {"EARLYTALK": "off"}, {"DNSBL_ACTION": "drop"}):
            with self.subTest(**knobs), Place() as place, self.serve("ab") as server:
                with session(place, server, GREETDELAY=LONG, RWL="b.x", DNSBL="a.x s.x", **knobs) as s:
                    log = whole(s)
                self.assertLess(float(log.one("close")["took"]), EARLY)
                hit = log.one("dnsbl", kind="white")
                self.assertEqual((hit["list"], hit["answer"]), ("b.x", "127.0.0.2"))

    def test_nothing_else_ends_it(self):
        for listed in ("", "a"):
            with self.subTest(listed), Place() as place, self.serve(listed) as server:
                started = time.monotonic()
                with session(place, server, GREETDELAY="0.7", RWL="b.x", DNSBL="a.x") as s:
                    s.expect(220)
                    self.assertGreaterEqual(time.monotonic() - started, 0.7)
                    s.command("QUIT", 221)

    def test_answers_come_during_the_delay(self):
        """The lists cost no time of their own: their deadline passes while the client waits for its banner."""
        with Place() as place, self.serve("a") as server:
            with session(place, server, GREETDELAY="0.7", DNSBL="a.x s.x*-1", DNSBL_TIMEOUT="0.3") as s:
                until_rcpt(s, 550)
                s.quit()
                log = s.log()
        self.assertEqual([e.get("trouble") for e in log.events("dnsbl")], [None, "timeout"])

    def test_early_talker_in_the_delay(self):
        with Place() as place, self.serve("") as server:
            with session(place, server, GREETDELAY=LONG, DNSBL="a.x s.x") as s:
                await_that(lambda: asked(server), "the questions")
                s.send("EHLO x\r\n")
                s.expect("554 5.5.0")
                s.end_of_input()
                s.rest()
                self.assertEqual(s.log().one("early")["at"], "banner")

    def test_client_that_leaves_in_the_delay(self):
        with Place() as place, self.serve("") as server:
            with session(place, server, GREETDELAY=LONG, DNSBL="a.x s.x") as s:
                await_that(lambda: asked(server), "the questions")
                s.close()
                self.assertLess(float(s.log().one("close")["took"]), EARLY)


# name, the zone, the trouble that is logged, its answer
TROUBLES = [
    ("SERVFAIL", Zone(code=SERVFAIL), "failed", None),
    ("REFUSED", Zone(code=REFUSED), "failed", None),
    ("silence", Zone(silent=True), "timeout", None),
    ("silence over TCP", Zone(LISTED, truncate=True, tcp="part"), "timeout", None),
    ("closed over TCP", Zone(LISTED, truncate=True, tcp="close"), "failed", None),
    ("open resolver", Zone(world="127.255.255.254"), "error", "127.255.255.254"),
    ("over quota", Zone(world="127.255.255.255"), "error", "127.255.255.255"),
    ("typing error", Zone(world="127.255.255.252"), "error", "127.255.255.252"),
    ("dnswl's own", Zone(world="127.0.0.255"), "error", "127.0.0.255"),
    ("parked", Zone(world="192.0.2.80"), "error", "192.0.2.80"),
    ("above", Zone(world="128.0.0.2"), "error", "128.0.0.2"),
    ("127.0.0.1", Zone(world="127.0.0.1"), None, None),
    ("lies", Zone(spoof=("id", "name", "type", "port", "garbage")), None, None),
]


@NEEDS_DNS
class Trouble(unittest.TestCase):
    """Trouble is "not listed", logged, and mail comes in."""

    def test_troubles(self):
        for name, zone, word, answer in TROUBLES:
            for knobs in ({"DNSBL": "l.x"}, {"DNSBL": "k.x", "RWL": "l.x"}, {"DNSBL": "l.x", "DNSBL_ACTION": "drop"}):
                with self.subTest(name, **knobs), Place() as place, zones(l_x=zone, k_x=Zone(LISTED)) as server:
                    with session(place, server, DNSBL_TIMEOUT=SHORT if word == "timeout" else LONG, **knobs) as s:
                        if "RWL" in knobs:  # and it lets nobody in
                            until_rcpt(s, 550)
                            s.quit()
                            log = s.log()
                        else:
                            log = whole(s)
                            self.assertEqual(log.events("listed"), [])
                            self.assertEqual(place.stored(), {"spool": 1})
                    found = log.events("dnsbl", list="l.x")
                    self.assertEqual([(e["trouble"], e.get("answer")) for e in found],
                                     [(word, answer)] if word else [])

    def test_no_resolver(self):
        with Place() as place, session(place, DNSBL="l.x m.x", RWL="w.x") as s:
            log = whole(s)
        self.assertEqual({e["trouble"] for e in log.events("dnsbl")}, {"failed"})
        self.assertEqual({e["list"] for e in log.events("dnsbl")} - {"w.x"}, {"l.x", "m.x"})

    def test_stopped_while_waiting(self):
        for action, over in (("reject", STREAM), ("reject", PIPES), ("drop", STREAM), ("drop", PIPES)):
            with self.subTest(action, over=over), Place() as place, zones(l_x=Zone(silent=True)) as server:
                with session(place, server, DNSBL_ACTION=action, VERBOSE="1", over=over) as s:
                    if action == "reject":
                        s.hello()
                        s.command(SENDER, 250)
                        s.send(RECIPIENT + "\r\n")
                        await_that(lambda: b"RCPT" in os.pread(s.log_file.fileno(), 65536, 0), "it has the command")
                    await_that(lambda: asked(server), "the question")
                    s.signal(TERM)
                    s.expect("421 4.3.2")
                    self.assertEqual((s.rest(), s.wait()), (b"", 0))
                    self.assertEqual(s.log().one("close")["reason"], "shutdown")

    def test_session_is_over_while_waiting(self):
        with Place() as place, zones(l_x=Zone(silent=True)) as server:
            with session(place, server, SESSION_TIMEOUT="1") as s:
                until_rcpt(s, "421 4.4.2")
                self.assertEqual(s.rest(), b"")
                self.assertEqual(s.log().one("close")["reason"], "timeout")

    def test_queue_inherits_no_socket(self):
        listing = "#!/bin/sh\ncat >/dev/null; cat <&1 >/dev/null; exec ls -1 /proc/self/fd >fds\n"
        for lists in ("l.x", "l.x s.x*-1", "l.x t.x"):
            for action in ("store", "log", "reject"):
                with self.subTest(lists, action=action), Place() as place:
                    with zones(l_x=Zone(LISTED if action != "reject" else {}), s_x=Zone(silent=True),
                               t_x=Zone(code=SERVFAIL)) as server:
                        place.write("queue", listing, 0o755)
                        with session(place, server, DNSBL=lists, DNSBL_ACTION=action, DNSBL_TIMEOUT=SHORT,
                                     QMAILQUEUE="./queue", SPOOL=None) as s:
                            s.hello()
                            s.mail("text")
                            s.quit()
                    self.assertEqual(place.read("fds").split(), [b"0", b"1", b"2", b"3"])  # the last is ls's own


@NEEDS_DNS
class Clients(unittest.TestCase):
    # client, name asked about, literal in the reply
    NAMES = [
        (CLIENT, "7.2.0.192", "[192.0.2.7]"),
        ("::ffff:192.0.2.7", "7.2.0.192", "[192.0.2.7]"),
        ("::FFFF:C000:207", "7.2.0.192", "[192.0.2.7]"),
        (CLIENT6, reverse(CLIENT6), f"[IPv6:{CLIENT6}]"),
    ]
    NOBODY = ["10.0.0.1", "127.0.0.1", "127.9.9.9", "192.168.7.7", "172.16.0.1", "172.31.255.255", "169.254.1.1",
              "100.64.0.1", "0.0.0.0", "::", "::1", "fe80::1", "fe80::1%eth0", "fd00::1", "::ffff:10.0.0.1",
              "::ffff:127.0.0.1", "unknown", "", None]

    def test_who_is_asked_about(self):
        for client, name, literal in self.NAMES:
            with self.subTest(client), Place() as place, zones(l_x=Zone(LISTED)) as server:
                with session(place, server, TCPREMOTEIP=client) as s:
                    self.assertEqual(until_rcpt(s, 550), f"550 5.7.1 Client {literal} is listed by l.x")
                self.assertEqual([q.name for q in server.questions], [name + ".l.x"] * 2)

    def test_who_is_not(self):
        with Place() as place, zones(l_x=Zone(world="127.0.0.2"), w_x=Zone(world="127.0.0.2")) as server:
            for client in self.NOBODY:
                for action in ("drop", "reject"):
                    with self.subTest(client, action=action):
                        with session(place, server, TCPREMOTEIP=client, RWL="w.x", DNSBL_ACTION=action) as s:
                            log = whole(s)
                        self.assertEqual((server.questions, log.events("dnsbl")), ([], []))

    def test_public_neighbours_are_asked_about(self):
        for client in ("172.32.0.1", "100.128.0.1", "11.0.0.1", "2002::1"):
            with self.subTest(client), Place() as place, zones(l_x=Zone(world="127.0.0.2")) as server:
                with session(place, server, TCPREMOTEIP=client) as s:
                    until_rcpt(s, 550)

    def test_rblsmtpd_decides_alone(self):
        for value, code in (("", 250), ("no", "451 4.7.1 no"), ("-no", "553 5.7.1 no")):
            with self.subTest(value), Place() as place, zones(l_x=Zone(world="127.0.0.2")) as server:
                with session(place, server, RBLSMTPD=value, RWL="l.x") as s:
                    until_rcpt(s, code)
                    s.quit()
                self.assertEqual(server.questions, [])

    def test_no_lists_no_questions(self):
        for knobs in ({"DNSBL": None}, {"DNSBL": ""}, {"DNSBL": " , ", "RWL": ""}):
            with self.subTest(**knobs), Place() as place, zones(l_x=Zone(world="127.0.0.2")) as server:
                with session(place, server, **knobs) as s:
                    whole(s)
                self.assertEqual(server.questions, [])


@NEEDS_DNS
class Text(unittest.TestCase):
    KEY = "s3cr3tkey"

    def test_key_goes_nowhere(self):
        zone = f"{self.KEY}.zen.x"
        cases = [({"DNSBL_ACTION": action}, Zone(LISTED, text="why")) for action, *_ in ACTIONS]
        cases += [({}, Zone(code=SERVFAIL)), ({"DNSBL_TIMEOUT": SHORT}, Zone(silent=True)),
                  ({}, Zone(world="127.255.255.254")), ({"RWL": zone, "DNSBL": "l.x"}, Zone(LISTED))]
        for knobs, what in cases:
            for spelling in (zone, zone.upper()):
                with self.subTest(spelling, **knobs), Place() as place, Server(**{zone: what, "l.x": Zone()}) as server:
                    said = self.talk(place, server, **{"DNSBL": spelling, "DNSBL_SHOW": f"a=b,{zone}=zen.example.org",
                                                       "VERBOSE": "1", **knobs})
                    self.assertIn(b"zen.example.org", said)
                    self.assertNotIn(self.KEY.encode(), said.lower())

    def talk(self, place, server, **knobs):
        """All that leaves the session: to the client, to the log, to the disk."""
        with session(place, server, **knobs) as s:
            said = (s.reply() + "\n").encode()
            if said.startswith(b"220"):
                s.send("EHLO c.example\r\n")
                said += s.reply().encode()
                s.send(f"{SENDER}\r\n{RECIPIENT}\r\nDATA\r\n")
                said += "\n".join(s.reply() for _ in range(3)).encode()
                s.send("x\r\n.\r\n")
            s.end_of_input()
            said += s.rest()
            s.wait()
            said += os.pread(s.log_file.fileno(), 1 << 20, 0)
        return said + b"".join(place.messages().values())

    # the list's text, the client's reply
    TEXTS = [
        ("Listed, see https://l.x/?ip=192.0.2.7", ": Listed, see https://l.x/?ip=192.0.2.7"),
        ("", ""),
        ("a\r\n250 ok\x00\x1b[2J\x7f\xe9", ": a??250 ok??[2J??"),
        ('say "no" \\', ': say "no" \\'),
        ("%s%n", ": %s%n"),
        ("x" * 200, ": " + "x" * 200),
        ("x" * 4096, ": " + "x" * 200),
    ]

    def test_texts(self):
        for said, want in self.TEXTS:
            with self.subTest(said[:40]), Place() as place:
                with zones(l_x=Zone(LISTED, text=said, truncate=len(said) > 300)) as server:
                    with session(place, server) as s:
                        reply = until_rcpt(s, 550)
                        s.quit()
                        log = s.log()
                self.assertEqual(reply, "550 5.7.1 Client [192.0.2.7] is listed by l.x" + want)
                self.assertEqual(log.one("rcpt")["reply"][:255], reply[:255])

    def test_longest_of_everything(self):
        zone = ".".join(["z" * 63, "y" * 63, "x" * 61])
        client = "2001:db8:1111:2222:3333:4444:5555:6666"
        for show in (None, f"{zone}={'n' * 2000}"):
            for action, code in (("reject", 550), ("tempfail", 451), ("drop", 521)):
                with self.subTest(action, show=bool(show)), Place() as place:
                    with Server(**{zone: Zone(world="127.0.0.2", text="t" * 4096, truncate=True)}) as server:
                        with session(place, server, DNSBL=zone, DNSBL_SHOW=show, DNSBL_ACTION=action,
                                     TCPREMOTEIP=client) as s:
                            reply = s.expect(code) if action == "drop" else until_rcpt(s, code)
                self.assertTrue(reply.endswith(": " + "t" * 200), reply)

    def test_text_is_asked_of_the_list_that_decides(self):
        with Place() as place, zones(a_x=Zone(LISTED, text="light"), b_x=Zone(LISTED, text="heavy"),
                                     c_x=Zone(LISTED, text="late")) as server:
            with session(place, server, DNSBL="a.x b.x*3 c.x*3", DNSBL_THRESHOLD="7") as s:
                self.assertTrue(until_rcpt(s, 550).endswith(" b.x: heavy"))
                s.quit()
                self.assertEqual(s.log().one("listed")["list"], "b.x")
        self.assertEqual(asked(server, TXT), ["7.2.0.192.b.x"])

    def test_silent_text(self):
        """It shares the deadline of the lists, and the client is refused without it."""
        class Mute(Server):
            def take(self, packet, peer, over, send):
                if unpack(packet)[2] == A:
                    super().take(packet, peer, over, send)

        with Place() as place, Mute(l_x=Zone(LISTED)) as server, session(place, server, DNSBL_TIMEOUT=SHORT) as s:
            self.assertEqual(until_rcpt(s, 550), "550 5.7.1 Client [192.0.2.7] is listed by l.x")
            s.command("RCPT TO:<c@example.com>", 550)


@NEEDS_DNS
class Sick(unittest.TestCase):
    SOUND = {"127.0.0.2": "127.0.0.2", **LISTED}

    def make(self, place, server, lists):
        done = subprocess.run([BUILD / "postern-dnsbl", "-c", "sick.cdb"], cwd=place.path, timeout=LIMIT, check=False,
                              env=environment(DNSBL=lists, DNSBL_TIMEOUT=LONG, DNSCACHEIP=server.address),
                              capture_output=True)
        self.assertTrue((place.path / "sick.cdb").exists(), done)

    def serve(self):
        return zones(world_x=Zone(world="127.0.0.2"), sound_x=Zone(self.SOUND), dead_x=Zone(code=SERVFAIL))

    def test_sick_lists_are_left_out(self):
        # knobs, code, the lists that are asked
        cases = [({"DNSBL": "world.x"}, 250, []), ({"DNSBL": "World.X"}, 250, []),
                 ({"DNSBL": "world.x sound.x"}, 550, ["sound.x"]),
                 ({"DNSBL": "sound.x", "RWL": "world.x"}, 550, ["sound.x"]), ({"DNSBL": "dead.x*2 world.x"}, 250, [])]
        with Place() as place, self.serve() as server:
            self.make(place, server, "world.x sound.x dead.x")
            for knobs, code, names in cases:
                with self.subTest(**knobs):
                    server.questions.clear()
                    with session(place, server, DNSBL_SICK="sick.cdb", **knobs) as s:
                        until_rcpt(s, code)
                        s.quit()
                        log = s.log()
                    self.assertEqual(asked(server), [f"7.2.0.192.{name}" for name in names])
                    self.assertEqual(log.events("trouble"), [])

    def test_broken_table(self):
        for name, spoil in BREAKS.items():
            with self.subTest(name), Place() as place, self.serve() as server:
                self.make(place, server, "world.x sound.x dead.x")
                spoil(place.path / "sick.cdb")
                with session(place, server, DNSBL_SICK="sick.cdb", DNSBL="world.x sound.x") as s:
                    until_rcpt(s, 550)
                    s.quit()
                    log = s.log()
                trouble = log.one("trouble")  # once, not for each list
                self.assertEqual((trouble["step"], trouble["object"]), ("lookup", "sick.cdb"))
                self.assertEqual(log.one("listed")["score"], log.events("dnsbl")[-1]["score"])


# knob: values that are refused, values that are not
VALUES = {
    "DNSBL": (["bl.example.", "-x", "a..b", "bl.example=", "bl.example=127.0.0.256", "bl.example=127.0.0",
               "bl.example=127.0.0.[5..2]", "bl.example=127.0.0.1", "bl.example=10.0.0.2", "bl.example=127.255.255.254",
               "bl.example*", "bl.example*1001", "bl.example*x", "bl.example*1.5", "bl.example*2=127.0.0.2", "b\x01l",
               "b\xe9.example", "z" * 64, "z." * 95 + "z", " ".join(f"l{i}" for i in range(33)), "x" * 100000],
              ["", " ", "zen.example", "a,b c", "a\tb", "_dnsbl.example", "a=127.0.0.[2..11;14]*-3", "a*+2", "a*1000",
               " ".join(f"l{i}" for i in range(32))]),
    "RWL": (["bl.example.", "bl.example=x", "bl.example*x", " ".join(f"l{i}" for i in range(33))],
            ["", "list.dnswl.example=127.0.[0..255].[1..3]"]),
    "DNSBL_THRESHOLD": (["", "0", "-1", "+1", "1.5", " 1", "x", "32001", "99999999999999999999"], ["1", "32000"]),
    "DNSBL_TIMEOUT": (["", "-1", "5s", "1.2345", ".5", "5.", "1e1", "60.001", "61", "9" * 30],
                      ["0", "0.001", "0.500", "60"]),
    "DNSBL_ACTION": (["", "Reject", "reject ", "accept", "0"], [a for a, *_ in ACTIONS]),
    "DNSBL_SHOW": (["x", "=x", "x=", "a=b,c", "a=b\x01", "a=\xe9"], ["", "a=b", "a=b,c=d", "a=b  c=d", "a=b\tc=d"]),
    "DNSBL_SICK": ([""] + ["x" * 5000], ["sick.cdb"]),
    "RBLSMTPD": (["a\nb", "\xe9", "x" * 300], ["", "text", "-text"]),
}


class Settings(unittest.TestCase):
    """Cases without a server."""

    def show(self, place, **knobs):
        return subprocess.run([SMTPD, "-n"], cwd=place.path, env=environment(**knobs), timeout=LIMIT, check=False,
                              capture_output=True)

    def test_bad(self):
        with Place() as place:
            for knob, (bad, _) in VALUES.items():
                for value in bad:
                    value = value.encode("latin-1")
                    with self.subTest(knob, value=value[:40]):
                        with Session(place, **{knob: value}) as s:
                            s.expect("421 4.3.5")
                            s.end_of_input()
                            self.assertEqual((s.rest(), s.wait()), (b"", 100))
                            self.assertEqual(s.log().one("config")["variable"], knob)
                        done = self.show(place, **{knob: value})
                        self.assertEqual((done.returncode, done.stdout), (100, b""))
                        self.assertTrue(done.stderr.startswith(f"postern-smtpd: {knob}: ".encode()), done.stderr)

    def test_good(self):
        with Place() as place:
            for knob, (_, good) in VALUES.items():
                for value in good:
                    with self.subTest(knob, value=value[:40]):
                        with Session(place, **{knob: value, "TCPREMOTEIP": "10.0.0.1"}) as s:
                            s.hello()
                            s.quit()
                            self.assertEqual(s.log().events("config"), [])
                        done = self.show(place, **{knob: value})
                        missing = 111 if knob == "DNSBL_SICK" else 0  # -n looks whether it is there
                        self.assertEqual((done.returncode, bool(done.stderr)), (missing, bool(missing)))
                        self.assertIn(f"\n{knob}={value}\n".encode(), done.stdout)


@NEEDS_DNS
class Why(unittest.TestCase):
    """postern-smtpd -w asks the same."""

    def why(self, place, server, client=CLIENT, **knobs):
        knobs = {"DNSBL": "l.x", "DNSBL_TIMEOUT": LONG, "DNSCACHEIP": server.address, "TCPREMOTEIP": None, **knobs}
        return subprocess.run([SMTPD, "-w", client, "client.example", "a@example.org", "b@example.com"], cwd=place.path,
                              env=environment(**knobs), timeout=LIMIT, check=False, capture_output=True, text=True)

    def test_same_as_a_session(self):
        codes = {"drop": 1, "reject": 1, "tempfail": 2, "store": 0, "log": 0}
        for action, banner, rcpt, *_ in ACTIONS:
            with self.subTest(action), Place() as place, zones(l_x=Zone(LISTED, text="why")) as server:
                done = self.why(place, server, DNSBL_ACTION=action)
                self.assertEqual(done.returncode, codes[action], done)
                reply = (rcpt or banner) + " Client [192.0.2.7] is listed by l.x: why"
                rows = [line for line in done.stdout.splitlines() if re.match(r"\w+ +DNSBL +listed", line)]
                self.assertEqual([reply in row for row in rows], [codes[action] != 0])
                self.assertIn("event=listed ", done.stderr)
                self.assertEqual(place.stored(), {})

    def test_verdicts(self):
        for knobs, code, word in (({"RWL": "w.x"}, 0, "in RWL"), ({"DNSBL": "m.x"}, 0, "not listed"),
                                  ({"DNSBL": "s.x", "DNSBL_TIMEOUT": SHORT}, 0, "not listed"),
                                  ({"DNSBL": "m.x", "RWL": "s.x"}, 0, "not listed"),
                                  ({"DNSBL": "l.x"}, 1, "listed")):
            with self.subTest(**knobs), Place() as place:
                with zones(l_x=Zone(LISTED), m_x=Zone(), w_x=Zone(LISTED), s_x=Zone(silent=True)) as server:
                    done = self.why(place, server, **knobs)
                self.assertEqual(done.returncode, code, done)
                self.assertRegex(done.stdout, rf"(?m)^rcpt +DNSBL +{word}(:|$)")

    def test_not_asked(self):
        with Place() as place, zones(l_x=Zone(world="127.0.0.2")) as server:
            for client, knobs in (("10.0.0.1", {}), (CLIENT, {"RBLSMTPD": ""})):
                done = self.why(place, server, client, **knobs)
                self.assertEqual((done.returncode, server.questions), (0, []), done)


RBLDNSD = next((path for path in (ROOT / "dep/rbldnsd/usr/sbin/rbldnsd", pathlib.Path("/usr/sbin/rbldnsd"))
                if path.exists()), None)


@unittest.skipUnless(RBLDNSD, "no rbldnsd here: tools/deps check")
@NEEDS_DNS
class Rbldnsd(unittest.TestCase):
    def test_real_server(self):
        address = loopback()
        with Place() as place, open(place.path / "log", "wb") as log:
            place.path.chmod(0o755)
            place.write("four", ":127.0.0.2:Listed, see http://bl.example/?ip=$\n192.0.2.0/28\n!192.0.2.9\n")
            place.write("six", ":127.0.0.3:Six $\n2001:db8:1::/48\n")
            place.write("white", ":127.0.5.3:\n192.0.2.5/32\n")
            user = ["-u", "nobody"] if os.getuid() == 0 else []
            process = subprocess.Popen([RBLDNSD, "-n", "-4", *user, "-w", place.path, "-b", address + "/53",
                                        "bl.example:ip4set:four", "six.example:ip6trie:six",
                                        "wl.example:ip4trie:white"],
                                       stdout=log, stderr=log, env=environment())  # under systemd it logs elsewhere
            try:
                await_that(lambda: b" started " in place.read("log") or process.poll() is not None, "rbldnsd starts")
                for client, code, text in (
                        (CLIENT, 550, "listed by bl.example: Listed, see http://bl.example/?ip=192.0.2.7"),
                        ("192.0.2.5", 250, ""), ("192.0.2.9", 250, ""), ("2001:db8:1::25", 550, "by six.example: Six "),
                        ("2001:db8:2::25", 250, "")):
                    with self.subTest(client), session(place, DNSBL="bl.example six.example", RWL="wl.example",
                                                       DNSCACHEIP=address, TCPREMOTEIP=client) as s:
                        self.assertIn(text, until_rcpt(s, code))
                        s.quit()
            finally:
                process.terminate()
                process.wait(LIMIT)


if __name__ == "__main__":
    unittest.main()
