"""postern-dnsbl, and with it the rooms of dns/, against DNS servers on loopback: sound ones, slow ones, and liars."""
import os
import pathlib
import subprocess
import unittest

from dnsserver import A, REFUSED, SERVFAIL, TXT, Server, Zone, loopback, reverse, unpack, why_not
from harness import BUILD, CLIENT, LIMIT, ROOT, Place, await_that, environment

DNSBL = str(BUILD / "postern-dnsbl")
CLIENT6 = "2001:db8:1:2:3:4:567:89ab"
OK, NO, WRONG, TROUBLE = 0, 1, 100, 111
# A deadline that never passes, though it is before the end of libowfat's second wait; and one that always does.
LONG, SHORT = "10", "1"

LISTED = {CLIENT: "127.0.0.2", CLIENT6: "127.0.0.6"}
# A sound list has these (RFC 5782 5).
SOUND = {"127.0.0.2": "127.0.0.2", "2.0.0.0.0.0.f.7.f.f.f.f" + ".0" * 20: "127.0.0.2"}


def environment(**knobs):
    env = {"PATH": os.environ["PATH"], "DNSBL_TIMEOUT": LONG, **{k: v for k, v in os.environ.items() if "SAN" in k}}
    env.update((name, str(value)) for name, value in knobs.items() if value is not None)
    return env


class Run:
    """Its output: a dict for each line."""

    def __init__(self, *arguments, cwd=None, **knobs):
        done = subprocess.run([DNSBL, *arguments], env=environment(**knobs), timeout=LIMIT, check=False, cwd=cwd,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)
        self.code, self.errors, self.output = done.returncode, done.stderr, done.stdout
        self.lines = [dict(pair.split("=", 1) for pair in self.split(line)) for line in done.stdout.splitlines()]

    @staticmethod
    def split(line):
        before, _, text = line.partition(' text="')
        return before.split() + ([f'text="{text}'] if text else [])

    @property
    def items(self):
        return [line for line in self.lines if "result" in line]

    @property
    def last(self):
        return self.lines[-1]

    def states(self):
        return {line["list"]: line["result"] for line in self.items}


def ask(server, *addresses, **knobs):
    return Run(*(addresses or [CLIENT]), DNSCACHEIP=server.address, **knobs)


class Settings(unittest.TestCase):
    """Cases without a server."""

    BAD = [
        ({}, "neither DNSBL nor RWL names a list"),
        ({"DNSBL": " , "}, "neither DNSBL nor RWL names a list"),
        ({"DNSBL": "bl.example."}, "DNSBL: bad zone"),
        ({"RWL": "wl.example=1.2.3"}, "RWL: bad filter"),
        ({"DNSBL": "bl.example*x"}, "DNSBL: bad weight"),
        ({"DNSBL": "bl.example=127.0.0.1"}, "DNSBL: a filter that no answer can match"),
        ({"DNSBL": " ".join(f"l{i}.example" for i in range(33))}, "DNSBL: too many lists"),
    ] + [({"DNSBL": "x", "DNSBL_THRESHOLD": value}, f'DNSBL_THRESHOLD: "{value}" is not a number from 1 to 32000\n')
         for value in ("", "0", "-1", "x", "1.5", "32001", "99999999999999999999")] + [
        ({"DNSBL": "x", "DNSBL_TIMEOUT": value},
         f'DNSBL_TIMEOUT: "{value}" is not a number of seconds from 0 to 60, with three decimals at most\n')
        for value in ("", "-1", "1.2345", ".5", "5.", "99999999999999999999", "5s", "60.001", "61", "9" * 18)]

    def test_bad_settings(self):
        for knobs, why in self.BAD:
            with self.subTest(knobs):
                run = Run(CLIENT, **knobs)
                self.assertEqual((run.code, run.output), (WRONG, ""))
                self.assertIn(why, run.errors)

    def test_bad_usage(self):
        for arguments in ([], ["-x"], ["-t", CLIENT], ["-c"], ["-c", "f", CLIENT]):
            with self.subTest(arguments):
                run = Run(*arguments, DNSBL="x")
                self.assertEqual((run.code, run.output), (WRONG, ""))
                self.assertIn("usage: ", run.errors)

    def test_bad_address_is_noticed_before_anything_is_asked(self):
        run = Run(CLIENT, "bl.example", DNSBL="x", DNSCACHEIP=loopback())
        self.assertEqual((run.code, run.output), (WRONG, ""))
        self.assertIn("bl.example: not an address", run.errors)

    def test_private_addresses_are_not_asked_about(self):
        for address in ("10.0.0.1", "127.0.0.1", "192.168.7.7", "169.254.1.1", "::1", "fe80::1", "fd00::1",
                        "::ffff:10.0.0.1"):
            with self.subTest(address):
                run = Run(address, DNSBL="bl.example", RWL="wl.example", DNSCACHEIP=loopback())
                self.assertEqual((run.code, len(run.lines)), (OK, 1))
                self.assertEqual((run.last["verdict"], run.last["reason"]), ("clean", "private"))

    def test_lost_output_is_trouble(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run([DNSBL, "10.0.0.1"], env=environment(DNSBL="x"), stdout=full, timeout=LIMIT,
                                  stderr=subprocess.PIPE, check=False)
        self.assertEqual(done.returncode, TROUBLE)
        self.assertIn(b"output: ", done.stderr)

    def test_a_reader_that_is_gone_is_trouble(self):
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run([DNSBL, "10.0.0.1"], env=environment(DNSBL="x"), stdout=writer, timeout=LIMIT,
                              stderr=subprocess.PIPE, check=False)
        os.close(writer)
        self.assertEqual(done.returncode, TROUBLE)


@unittest.skipIf(why_not(), why_not())
class Questions(unittest.TestCase):
    def test_names_and_types(self):
        with Server(bl_example=Zone(LISTED)) as server:
            self.assertEqual(ask(server, CLIENT, "::ffff:192.0.2.7", CLIENT6, DNSBL="bl.example").code, NO)
        names = [(q.name, q.type) for q in server.questions]
        four, six = "7.2.0.192.bl.example", reverse(CLIENT6) + ".bl.example"
        self.assertEqual(names, [(four, A), (four, TXT)] * 2 + [(six, A), (six, TXT)])
        self.assertEqual(six.count("."), 33)

    def test_all_at_once(self):
        """Not one of twenty is answered before all have been asked."""
        names = [f"l{i}.example" for i in range(20)]
        with Server(**{name: Zone(LISTED, alone=False) for name in names}) as server:
            run = ask(server, DNSBL=" ".join(names[:10]), RWL=" ".join(names[10:]))
        self.assertEqual(run.states(), dict.fromkeys(names, "hit"))
        self.assertEqual([line["list"] for line in run.items], names[10:] + names[:10])

    def test_one_zone_is_asked_once(self):
        with Server(bl_example=Zone({CLIENT: ["127.0.0.2", "127.0.0.4"]})) as server:
            run = ask(server, DNSBL="bl.example=127.0.0.2 BL.example=127.0.0.4*2 bl.example=127.0.0.5*4",
                      DNSBL_THRESHOLD=4)
        self.assertEqual([q.type for q in server.questions], [A])
        self.assertEqual([line["result"] for line in run.items], ["hit", "hit", "miss"])
        self.assertEqual((run.last["verdict"], run.last["score"]), ("clean", "3"))

    def test_ids_and_ports_differ_between_runs(self):
        with Server(bl_example=Zone()) as server:
            for _ in range(8):
                ask(server, DNSBL="bl.example")
            seen = {(q.id, q.port) for q in server.questions}
        self.assertEqual(len(seen), 8)
        self.assertNotIn((0xeebc, 64715), seen, "libowfat without a seed")
        for part in zip(*seen):
            self.assertGreater(len(set(part)), 5)

    def test_ids_and_ports_differ_within_a_run(self):
        names = [f"l{i}.example" for i in range(20)]
        with Server(**{name: Zone() for name in names}) as server:
            ask(server, DNSBL=" ".join(names))
        self.assertGreater(len({q.id for q in server.questions}), 17)
        self.assertGreater(len({q.port for q in server.questions}), 17)

    def test_a_lost_question_is_asked_again(self):
        with Server(bl_example=Zone(LISTED, drop=1)) as server:
            run = ask(server, DNSBL="bl.example")
        self.assertEqual(run.states(), {"bl.example": "hit"})

    def test_second_server(self):
        with Server(bl_example=Zone(code=SERVFAIL)) as sick, Server(bl_example=Zone(LISTED)) as well:
            run = Run(CLIENT, DNSBL="bl.example", DNSCACHEIP=f"{sick.address}.{well.address}")
        self.assertEqual((run.code, run.states()), (NO, {"bl.example": "hit"}))


# name, the zone, the lists, result, answer, why
ANSWERS = [
    ("listed", Zone(LISTED), "l.x", "hit", "127.0.0.2", "it is"),
    ("not listed", Zone(), "l.x", "miss", None, "NXDOMAIN"),
    ("no address", Zone({CLIENT: []}, code=0), "l.x", "miss", None, "the name exists, and has no address"),
    ("several", Zone({CLIENT: ["127.0.0.3", "127.0.0.10", "127.0.0.4"]}), "l.x=127.0.0.[4;10]", "hit", "127.0.0.10",
     "one matches"),
    ("filtered", Zone(LISTED), "l.x=127.0.0.[3..9]", "miss", "127.0.0.2", "none matches"),
    ("127.0.0.1", Zone({CLIENT: "127.0.0.1"}), "l.x", "miss", "127.0.0.1", "never"),
    ("open resolver", Zone(world="127.255.255.254"), "l.x", "error", "127.255.255.254", "never"),
    ("over quota", Zone(world="127.255.255.255"), "l.x=127.[0..255].[0..255].[0..255]", "error", "127.255.255.255",
     "no filter makes it count"),
    ("dnswl's own", Zone(world="127.0.0.255"), "l.x", "error", "127.0.0.255", "never"),
    ("parked domain", Zone(world="192.0.2.80"), "l.x", "error", "192.0.2.80", "only 127/8"),
    ("SERVFAIL", Zone(code=SERVFAIL), "l.x", "failed", None, "at once, not at the deadline"),
    ("REFUSED", Zone(code=REFUSED), "l.x", "failed", None, "at once, not at the deadline"),
    ("truncated", Zone(LISTED, truncate=True), "l.x", "hit", "127.0.0.2", "asked again over TCP"),
    ("octet by octet", Zone(LISTED, truncate=True, tcp="dribble"), "l.x", "hit", "127.0.0.2", "TCP is a stream"),
    ("large", Zone({CLIENT: [f"127.0.{i // 250}.{i % 250 + 2}" for i in range(1000)]}),
     "l.x=127.0.3.251", "hit", "127.0.3.251", "16 KB over TCP, the last matches"),
    ("truncated over TCP, too", Zone(LISTED, truncate=True, tcp="truncate"), "l.x", "failed", None, "it is no answer"),
    ("TCP closes", Zone(LISTED, truncate=True, tcp="close"), "l.x", "failed", None, "no answer to be had"),
    ("wrong id", Zone(spoof=("id",)), "l.x", "miss", None, "a spoofed answer is ignored"),
    ("wrong name", Zone(spoof=("name",)), "l.x", "miss", None, "a spoofed answer is ignored"),
    ("wrong type", Zone(spoof=("type",)), "l.x", "miss", None, "a spoofed answer is ignored"),
    ("wrong port", Zone(spoof=("port",)), "l.x", "miss", None, "a spoofed answer is ignored"),
    ("garbage", Zone(spoof=("garbage",) * 20), "l.x", "miss", None, "a spoofed answer is ignored"),
    ("all of them", Zone(LISTED, spoof=("id", "name", "type", "port", "garbage")), "l.x", "hit", "127.0.0.2",
     "the answer behind them counts"),
]


@unittest.skipIf(why_not(), why_not())
class Answers(unittest.TestCase):
    def test_answers(self):
        for name, zone, lists, result, answer, why in ANSWERS:
            with self.subTest(name, why=why):
                with Server(l_x=zone) as server:
                    run = ask(server, DNSBL=lists)
                self.assertEqual((run.items[0]["result"], run.items[0].get("answer")), (result, answer))
                code = {"hit": NO, "failed": TROUBLE}.get(result, OK)
                self.assertEqual((run.code, run.errors), (code, ""))
                self.assertEqual(run.last["verdict"], "listed" if result == "hit" else "clean")

    def test_silence_lasts_until_the_deadline_and_no_longer(self):
        for zone in (Zone(silent=True), Zone(LISTED, truncate=True, tcp="part")):
            with self.subTest(zone), Server(l_x=zone, m_x=Zone(LISTED)) as server:
                run = ask(server, DNSBL="l.x m.x", DNSBL_TIMEOUT=SHORT)
                self.assertEqual(run.states(), {"l.x": "timeout", "m.x": "hit"})
                self.assertEqual((run.code, run.last["list"]), (NO, "m.x"))
                self.assertGreaterEqual(float(run.items[0]["took"]), float(SHORT))

    def test_no_resolver(self):
        run = Run(CLIENT, DNSBL="l.x m.x", RWL="w.x", DNSCACHEIP=loopback())
        self.assertEqual((run.code, set(run.states().values())), (TROUBLE, {"failed"}))
        self.assertEqual(run.last["verdict"], "clean")

    def test_trouble_of_some_is_not_trouble_of_all(self):
        with Server(l_x=Zone(code=SERVFAIL), m_x=Zone()) as server:
            run = ask(server, DNSBL="l.x m.x")
        self.assertEqual((run.code, run.last["verdict"]), (OK, "clean"))

    def test_text(self):
        cases = [("Listed, see https://l.x/", '"Listed, see https://l.x/"'), ("", None), ("bare", "bare"),
                 ('a "b" \\c', '"a \\"b\\" \\\\c"'), ("a\r\n250 ok\x00\x7f\xe9", '"a??250 ok???"'),
                 ("x" * 600, "x" * 200)]
        for said, want in cases:
            with self.subTest(said), Server(l_x=Zone(LISTED, text=said)) as server:
                run = ask(server, DNSBL="l.x")
                self.assertEqual(run.last.get("text"), want)

    def test_text_is_asked_of_the_list_that_decided_only(self):
        with Server(l_x=Zone(LISTED, text="light"), m_x=Zone(LISTED, text="heavy"), n_x=Zone()) as server:
            run = ask(server, DNSBL="l.x m.x*3 n.x")
        self.assertEqual((run.last["list"], run.last["text"]), ("m.x", "heavy"))
        self.assertEqual([q.name for q in server.questions if q.type == TXT], ["7.2.0.192.m.x"])

    def test_silent_text(self):
        """The text shares the deadline of the lists, but for a second at least."""
        class Mute(Server):
            def take(self, packet, peer, over, send):
                if unpack(packet)[2] == A:
                    super().take(packet, peer, over, send)

        with Mute(l_x=Zone(LISTED)) as server:
            run = ask(server, DNSBL="l.x", DNSBL_TIMEOUT=SHORT)
        self.assertEqual((run.code, run.last["verdict"], run.last.get("text")), (NO, "listed", None))


@unittest.skipIf(why_not(), why_not())
class Verdicts(unittest.TestCase):
    # lists that have the client, knobs, verdict, score, the list that decided
    CASES = [
        ("a", {"DNSBL": "a.x b.x"}, "listed", "1", "a.x"),
        ("a", {"DNSBL": "a.x b.x", "DNSBL_THRESHOLD": 2}, "clean", "1", None),
        ("ab", {"DNSBL": "a.x b.x*2", "DNSBL_THRESHOLD": 3}, "listed", "3", "b.x"),
        ("ab", {"DNSBL": "a.x*3 b.x*-3"}, "clean", "0", None),
        ("ab", {"DNSBL": "a.x*3 b.x*-1", "DNSBL_THRESHOLD": 2}, "listed", "2", "a.x"),
        ("ab", {"DNSBL": "a.x", "RWL": "b.x"}, "welcome", "1", "b.x"),
        ("a", {"DNSBL": "a.x", "RWL": "b.x"}, "listed", "1", "a.x"),
        ("b", {"RWL": "a.x b.x"}, "welcome", "0", "b.x"),
        ("a", {"DNSBL": "a.x", "RWL": "b.x=127.0.0.[3..9]"}, "listed", "1", "a.x"),
    ]

    def test_verdicts(self):
        for listed, knobs, verdict, score, decider in self.CASES:
            for client in (CLIENT, CLIENT6):
                with self.subTest(listed, client=client, **knobs):
                    with Server(**{f"{name}.x": Zone(LISTED if name in listed else {}) for name in "ab"}) as server:
                        run = ask(server, client, **knobs)
                    self.assertEqual(run.last["client"], client)
                    self.assertEqual((run.last["verdict"], run.last["score"], run.last.get("list")),
                                     (verdict, score, decider))
                    self.assertEqual(run.code, NO if verdict == "listed" else OK)

    def test_several_clients(self):
        with Server(l_x=Zone({"192.0.2.8": "127.0.0.2"})) as server:
            run = ask(server, "192.0.2.7", "192.0.2.8", "192.0.2.9", DNSBL="l.x")
        self.assertEqual([line["verdict"] for line in run.lines if "verdict" in line], ["clean", "listed", "clean"])
        self.assertEqual(run.code, NO)


def cdb_records(data):
    """All records of a cdb; no key is there twice."""
    at, end, found = 2048, int.from_bytes(data[:4], "little"), {}
    while at < end:
        k, v = (int.from_bytes(data[at + i:at + i + 4], "little") for i in (0, 4))
        key = data[at + 8:at + 8 + k].decode()
        assert key not in found, key
        found[key] = data[at + 8 + k:at + 8 + k + v].decode()
        at += 8 + k + v
    return found


@unittest.skipIf(why_not(), why_not())
class Tests(unittest.TestCase):
    """-t and -c."""

    SIX = list(SOUND)[1]
    # name, the zone, why it must not be used (None: it may), whether it does IPv6
    LISTS = [
        ("sound", Zone(SOUND), None, "yes"),
        ("four", Zone({"127.0.0.2": "127.0.0.10"}), None, "no"),
        ("codes", Zone({"127.0.0.2": ["127.0.0.2", "127.0.0.4", "127.0.0.10"]}), None, "no"),
        ("empty", Zone(), "unlisted", None),
        ("six", Zone({SIX: "127.0.0.2"}), "unlisted", None),
        ("world", Zone(world="127.0.0.2"), "world", None),
        ("one", Zone({**SOUND, "127.0.0.1": "127.0.0.2"}), "world", None),
        ("one6", Zone({**SOUND, SIX.replace("2", "1", 1): "127.0.0.2"}), "world", None),
        ("parked", Zone(world="192.0.2.80"), "error", None),
        ("quota", Zone(world="127.255.255.254"), "error", None),
        ("broken", Zone(code=SERVFAIL), "failed", None),
        ("weird", Zone({"127.0.0.2": "127.0.0.1"}), "unlisted", None),
    ]

    def serve(self, *names):
        return Server(**{name + ".x": zone for name, zone, *_ in self.LISTS if not names or name in names})

    def names(self):
        return [name + ".x" for name, *_ in self.LISTS]

    def test_each(self):
        with self.serve() as server:
            run = Run("-t", DNSBL=" ".join(self.names()), DNSCACHEIP=server.address)
        self.assertEqual(run.code, NO)
        want = [{"list": name + ".x", "use": "no" if fault else "yes",
                 **({"reason": fault} if fault else {"ipv6": six})} for name, _, fault, six in self.LISTS]
        self.assertEqual(run.lines, want)

    def test_sound_lists_alone(self):
        with self.serve() as server:
            run = Run("-t", DNSBL="sound.x codes.x", RWL="four.x", DNSCACHEIP=server.address)
        self.assertEqual((run.code, len(run.lines)), (OK, 3))

    def test_filters_are_no_matter(self):
        with self.serve() as server:
            run = Run("-t", DNSBL="sound.x=127.0.0.9 sound.x=127.0.0.8*2", RWL="four.x=127.0.0.9",
                      DNSCACHEIP=server.address)
        self.assertEqual((run.code, len(run.lines)), (OK, 2))

    def test_silent_list(self):
        with Server(sound_x=Zone(SOUND), silent_x=Zone(silent=True)) as server:
            run = Run("-t", DNSBL="sound.x silent.x", DNSCACHEIP=server.address, DNSBL_TIMEOUT=SHORT)
        self.assertEqual((run.code, run.last), (NO, {"list": "silent.x", "use": "no", "reason": "timeout"}))

    def test_table(self):
        with self.serve() as server, Place() as place:
            lists = " ".join(self.names()) + " Broken.X*3"
            run = Run("-c", "sick.cdb", DNSBL=lists, DNSCACHEIP=server.address, cwd=place.path)
            self.assertEqual((run.code, len(run.lines)), (NO, len(self.LISTS)))
            self.assertEqual(cdb_records(place.read("sick.cdb")),
                             {"": "lists", **{name + ".x": fault for name, _, fault, _ in self.LISTS if fault}})
            self.assertEqual(os.listdir(place.path), ["sick.cdb"])
            run = Run("-c", "sick.cdb", DNSBL="SOUND.x", RWL="WORLD.x", DNSCACHEIP=server.address, cwd=place.path)
            self.assertEqual(cdb_records(place.read("sick.cdb")), {"": "lists", "world.x": "world"})
            run = Run("-c", "sick.cdb", DNSBL="sound.x", DNSCACHEIP=server.address, cwd=place.path)
            self.assertEqual((run.code, cdb_records(place.read("sick.cdb"))), (OK, {"": "lists"}))
            self.assertEqual((place.path / "sick.cdb").stat().st_mode & 0o777, 0o644 & ~umask())

    def test_no_answer_at_all_changes_nothing(self):
        with Place() as place:
            place.write("sick.cdb", "as it was")
            run = Run("-c", "sick.cdb", DNSBL="a.x b.x", DNSCACHEIP=loopback(), cwd=place.path)
            self.assertEqual((run.code, run.output, run.errors), (TROUBLE, "", "postern-dnsbl: no list answers\n"))
            self.assertEqual(place.read("sick.cdb"), b"as it was")
            self.assertEqual(os.listdir(place.path), ["sick.cdb"])

    def test_table_that_cannot_be_written(self):
        with self.serve() as server, Place() as place:
            for path, at in (("none/sick.cdb", "none/sick.cdb.tmp."), ("folder", "folder"), ("x" * 5000, "xxx")):
                (place.path / "folder").mkdir(exist_ok=True)
                with self.subTest(path[:20]):
                    run = Run("-c", path, DNSBL="sound.x", DNSCACHEIP=server.address, cwd=place.path)
                    self.assertEqual(run.code, TROUBLE)
                    self.assertTrue(run.errors.startswith("postern-dnsbl: " + at), run.errors)
                    self.assertEqual(os.listdir(place.path), ["folder"])


def umask():
    old = os.umask(0)
    os.umask(old)
    return old


RBLDNSD = next((path for path in (ROOT / "dep/rbldnsd/usr/sbin/rbldnsd", pathlib.Path("/usr/sbin/rbldnsd"))
                if path.exists()), None)


@unittest.skipUnless(RBLDNSD, "no rbldnsd here: tools/deps check")
@unittest.skipIf(why_not(), why_not())
class Rbldnsd(unittest.TestCase):
    """The server that most lists are served by."""

    ZONES = {
        "bl.example:ip4set:four": ":127.0.0.2:Listed, see http://bl.example/?ip=$\n127.0.0.2\n192.0.2.0/28\n"
                                  "!192.0.2.9\n198.51.100.7 :127.0.0.10:Dynamic $\n",
        "six.example:ip6trie:six": ":127.0.0.3:Six $\n::ffff:7f00:2\n2001:db8:1::/48\n",
        "wl.example:ip4trie:white": ":127.0.5.3:\n127.0.0.2\n192.0.2.5/32\n",
        "world.example:ip4trie:world": ":127.0.0.2:Gone\n0/0\n",
    }

    @classmethod
    def setUpClass(cls):
        cls.place = Place()
        cls.addClassCleanup(cls.place.__exit__)
        cls.place.path.chmod(0o755)
        for zone, text in cls.ZONES.items():
            cls.place.write(zone.rsplit(":", 1)[1], text)
        cls.address = loopback()
        user = ["-u", "nobody"] if os.getuid() == 0 else []
        cls.log = open(cls.place.path / "log", "wb")
        cls.addClassCleanup(cls.log.close)
        cls.process = subprocess.Popen([RBLDNSD, "-n", "-4", *user, "-w", cls.place.path, "-b", cls.address + "/53",
                                        *cls.ZONES], stdout=cls.log, stderr=cls.log,
                                       env=environment())  # under systemd it logs elsewhere
        cls.addClassCleanup(cls.stop)
        await_that(lambda: b" started " in cls.place.read("log") or cls.process.poll() is not None, "rbldnsd starts")
        if b"unable to setuid" in cls.place.read("log"):
            raise unittest.SkipTest("rbldnsd wants another user than root, and this namespace has none")

    @classmethod
    def stop(cls):
        cls.process.terminate()
        cls.process.wait(LIMIT)

    def ask(self, *arguments, **knobs):
        return Run(*arguments, DNSCACHEIP=self.address, **knobs)

    def test_four(self):
        run = self.ask("192.0.2.7", "192.0.2.9", "198.51.100.7", "203.0.113.1", DNSBL="bl.example", RWL="wl.example")
        verdicts = [line for line in run.lines if "verdict" in line]
        self.assertEqual([line["verdict"] for line in verdicts], ["listed", "clean", "listed", "clean"])
        self.assertEqual(verdicts[0]["text"], '"Listed, see http://bl.example/?ip=192.0.2.7"')
        self.assertEqual(verdicts[2]["text"], '"Dynamic 198.51.100.7"')
        self.assertEqual([line.get("answer") for line in run.items if line["list"] == "bl.example"],
                         ["127.0.0.2", None, "127.0.0.10", None])

    def test_filter_and_white_list(self):
        run = self.ask("198.51.100.7", "192.0.2.5", DNSBL="bl.example=127.0.0.[2..9]", RWL="wl.example")
        self.assertEqual([line["verdict"] for line in run.lines if "verdict" in line], ["clean", "welcome"])

    def test_six(self):
        run = self.ask("2001:db8:1::25", "2001:db8:2::25", DNSBL="six.example")
        self.assertEqual([line["verdict"] for line in run.lines if "verdict" in line], ["listed", "clean"])
        self.assertEqual(run.items[0]["answer"], "127.0.0.3")

    def test_lists(self):
        run = self.ask("-t", DNSBL="bl.example six.example world.example", RWL="wl.example")
        self.assertEqual({line["list"]: line.get("reason") for line in run.lines},
                         {"bl.example": None, "wl.example": None, "six.example": "unlisted", "world.example": "world"})


if __name__ == "__main__":
    unittest.main()
