"""The door's measurements: DNS lists, its cost where it is not used, and clients that it keeps waiting."""

import os
import select
import shutil
import subprocess
import time
from statistics import median

from crowd import Crowd, available_kib, banner_delays, most_held
from figures import Goal
from load import load
from nameserver import A, CLIENT, TXT, NameServer, NoPort, Talk, zones
from sections import BIN, NULL, PRODUCT, PRODUCT_GLIBC, SESSION_CLIENTS, idle_memory, microseconds, need, \
    proportional_set, sessions_for
from server import Failed

LIST_NULL = f"{BIN}/listnull"

# --- lists: DNS lists that answer after 100 ms ---

ROUND_TRIP = 0.1
TO_RCPT = ["EHLO load.example", "MAIL FROM:<a@example.org>", "RCPT TO:<b@example.com>"]
SILENCE = None
MISS, HIT, TEXT = (ROUND_TRIP, False), (ROUND_TRIP, True), (0, True)


def lists(bench):
    need(PRODUCT, LIST_NULL)
    try:
        with NameServer() as names:
            visitor = Visitor(bench, names)
            for count, goal in (5, 3), (20, 5):
                verdict(bench, visitor, count, Goal("value", "<=", goal, "ms"))
            text(bench, visitor)
            banner(bench, visitor)
            beside_rblsmtpd(bench, visitor)
    except NoPort as trouble:
        bench.table.note(f"{trouble}: lists are not measured")


class Visitor:
    """A client that lists are asked about: to tcpserver it comes from loopback, to its child from elsewhere."""

    def __init__(self, bench, names):
        self.bench, self.names = bench, names
        self.rules = bench.rules(f':allow,TCPREMOTEIP="{CLIENT}"')

    def talk(self, program, script, lines=(), **env):
        """One session, with lists that answer as `script` has it."""
        self.names.script = script
        env.update(DNSCACHEIP=self.names.address, DISCARD="1")
        with self.bench.server(program, rules=self.rules, **env) as server:
            return Talk(server.port, lines, self.names)

    def since_answer(self, talked, answers):
        """Milliseconds from the last decisive answer, the last of so many, to the last reply."""
        times = self.names.times(A)
        if len(times) != answers:
            raise Failed(f"the verdict came after {len(times)} answers of {answers}")
        return (talked.times[-1] - times[-1]) * 1e3


def verdict(bench, visitor, count, goal):
    dnsbl = " ".join(zones(count))

    def limit():
        talked = visitor.talk([LIST_NULL, str(count)], lambda *_: MISS)
        talked.expect("220")
        visitor.names.check(A, zones(count))
        return visitor.since_answer(talked, count)

    def clean(action, lines, codes):
        talked = visitor.talk([PRODUCT], lambda *_: MISS, lines, DNSBL=dnsbl, DNSBL_ACTION=action)
        talked.expect(*codes)
        visitor.names.check(A, zones(count))
        visitor.names.check(TXT, [])
        return visitor.since_answer(talked, count)

    def listed(script, answers, threshold):
        talked = visitor.talk([PRODUCT], lambda zone, kind: TEXT if kind == TXT else script(zone), TO_RCPT,
                      DNSBL=dnsbl, DNSBL_THRESHOLD=str(threshold))
        talked.expect("220", "250", "250", "550")
        visitor.names.check(A, zones(count))
        if not visitor.names.times(TXT):
            raise Failed("no list was asked for its text")
        return visitor.since_answer(talked, answers)

    cases = {
        "none has the client, to RCPT's reply": lambda: clean("reject", TO_RCPT, ["220", "250", "250", "250"]),
        "none has the client, to the banner (drop)": lambda: clean("drop", [], ["220"]),
        "all are needed and have it, to RCPT's reply": lambda: listed(lambda _: HIT, count, count),
        "one has it, the rest is silent, to RCPT's reply":
            lambda: listed(lambda zone: HIT if zone == "l2.bench" else SILENCE, 1, 1),
    }
    took = bench.in_turn([limit, *cases.values()], lambda case: case(), 11 if bench.quick else 25)
    for label, case in cases.items():
        bench.table.add(f"{count} lists: {label}", "ms", took[case], took[limit], goal, "listnull")


def text(bench, visitor):
    """A listed client waits for the list's text, too."""

    def measure(_):
        talked = visitor.talk([PRODUCT], lambda *_: HIT, TO_RCPT, DNSBL=zones(1)[0])
        talked.expect("220", "250", "250", "550")
        visitor.names.check(TXT, zones(1))
        return visitor.since_answer(talked, 1)

    took = bench.in_turn([""], measure, 5)
    bench.table.add("a list has it, its text comes after 100 ms, too", "ms", took[""])


def banner(bench, visitor):
    """With DNSBL_ACTION=reject it waits for no answer."""

    def measure(count):
        lists_set = {"DNSBL": " ".join(zones(count))} if count else {}
        talked = visitor.talk([PRODUCT], lambda *_: SILENCE, **lists_set)
        talked.expect("220")
        return (talked.times[0] - talked.began) * 1e3

    took = bench.in_turn([0, 5, 20], measure, 31 if bench.quick else 101)
    for count in 5, 20:
        bench.table.add(f"connect to banner (reject), {count} lists, silent", "ms", took[count], took[0], None, "none")


def beside_rblsmtpd(bench, visitor):
    count = 10
    rblsmtpd = shutil.which("rblsmtpd")
    if not rblsmtpd:
        bench.table.note("not installed: rblsmtpd (Debian package ucspi-tcp)")
        return
    one_by_one = [rblsmtpd, *(word for zone in zones(count) for word in ("-r", zone)), PRODUCT]

    def measure(program):
        ours = program == PRODUCT
        talked = visitor.talk([PRODUCT] if ours else one_by_one, lambda *_: MISS,
                      **({"DNSBL": " ".join(zones(count)), "DNSBL_ACTION": "drop"} if ours else {}))
        talked.expect("220")
        visitor.names.check(A if ours else TXT, zones(count))
        return (talked.times[0] - talked.began) * 1e3

    took = bench.in_turn([rblsmtpd, PRODUCT], measure, 3 if bench.quick else 5)
    bench.table.add(f"connect to banner (drop), {count} lists", "ms", took[PRODUCT], took[rblsmtpd], None,
                    f"rblsmtpd -r x{count}")


# --- door: its cost to a session that has no use for it ---

BEFORE = "build/bench/before"


def door(bench):
    need(PRODUCT)
    before = build_before(bench)
    if not before:
        return
    for label, messages in ("EHLO, QUIT", 0), ("one message of 1 KiB, DISCARD", 1):

        def measure(program, sessions=None):
            sessions = sessions or count
            with bench.server([program], DISCARD="1") as server:
                load(server, sessions, SESSION_CLIENTS, messages, "-s", "1024")
            return microseconds(server.cpu, sessions)

        count = sessions_for(bench, lambda n: measure(before, n))
        cost = bench.in_turn([before, PRODUCT], measure, 2 * bench.short_rounds + 1)
        bench.table.add(f"CPU of a session, {label}", "us", cost[PRODUCT], cost[before], Goal("ratio", "<=", 1.03),
                        "before the door")


def git(*arguments):
    done = subprocess.run(["git", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return done.stdout.split() if done.returncode == 0 else []


def build_before(bench):
    """The static program of the last commit without door.c; None where there is none to be had."""
    if not shutil.which("git") or not os.path.exists(".git"):
        bench.table.note("no git, or no repository: there is no build from before the door to compare with")
        return None
    first = git("log", "--diff-filter=A", "--format=%H", "--", "door.c")
    commit = git("rev-parse", "--verify", "--quiet", f"{first[-1]}^") if first else []
    if not commit:
        bench.table.note("git does not have the commit before the door: there is nothing to compare with")
        return None
    folder = f"{BEFORE}/{commit[0]}"
    program = f"{folder}/build/static/postern-smtpd"
    if not os.path.exists(program):
        bench.say(f"building {commit[0][:12]}, the last commit before the door")
        shutil.rmtree(BEFORE, ignore_errors=True)
        os.makedirs(folder)
        archive = subprocess.run(["git", "archive", commit[0]], capture_output=True, check=True).stdout
        subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
        os.symlink(os.path.abspath("dep"), f"{folder}/dep")
        done = subprocess.run(["make", "-C", folder, "build/static/postern-smtpd"], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(f"{folder}: make: {done.stderr.strip().splitlines()[-1:]}")
    return program


# --- held: clients that are kept waiting ---

GREETED, TARPITTED, FRESH, ASKED_5, ASKED_20 = (f"127.0.0.{n}" for n in range(2, 7))
LONG, DUE = 600, 2  # seconds
HELD_RULES = [f'{GREETED}:allow,GREETDELAY="{LONG}"',
              f'{TARPITTED}:allow,TARPITCOUNT="1",TARPITDELAY="{LONG}"',
              f'{FRESH}:allow,GREETDELAY="{DUE}"',
              *(f'{source}:allow,GREETDELAY="{LONG}",TCPREMOTEIP="{CLIENT}",DNSBL="{" ".join(zones(count))}"'
                for source, count in ((ASKED_5, 5), (ASKED_20, 20))),
              ":deny"]
TO_TARPIT = [["EHLO load.example"],
             ["MAIL FROM:<a@example.org>", "RCPT TO:<b@example.com>", "RCPT TO:<c@example.com>"]]
HELD = 100
MANY = 5000
FRESH_CLIENTS, APART = 10, 0.02


def held(bench):
    need(PRODUCT, PRODUCT_GLIBC, NULL)
    rules = bench.rules(*HELD_RULES)
    held_memory(bench, rules)
    memory_after_lists(bench, rules)
    many, why = most_held(MANY)
    if many < MANY:
        bench.table.note(f"{MANY:,} sessions cannot be held here, but {many:,}: {why}")
    if many >= HELD:
        fresh_clients(bench, rules, many - many % 2)


def join(crowd, source, count):
    crowd.join(count, source, *(TO_TARPIT if source == TARPITTED else ()))


def mean_memory(server, crowd, program):
    """KiB of proportional set size per session."""
    await_waiting(server.sessions(), program)
    memory = sum(proportional_set(pid, program) for pid in server.sessions()) / len(crowd.sockets)
    crowd.check()
    return memory


def await_waiting(pids, program):
    """All of these processes run this program, and sleep."""
    end = time.monotonic() + 60
    program = os.path.abspath(program)
    for pid in pids:
        while not (os.readlink(f"/proc/{pid}/exe") == program and sleeps(pid)):
            if time.monotonic() > end:
                raise Failed(f"{program}: a session does not wait")
            time.sleep(0.001)


def sleeps(pid):
    with open(f"/proc/{pid}/stat") as f:
        return f.read().rsplit(")", 1)[1].split()[0] == "S"


def held_memory(bench, rules):
    def measure(case):
        program, source = case
        if program == NULL:
            return idle_memory(bench, NULL, HELD)
        with bench.server([program], rules=rules, DISCARD="1") as server, Crowd(server) as crowd:
            join(crowd, source, HELD)
            return mean_memory(server, crowd, program)

    limit = NULL, ""
    cases = {(program, source): f"memory, {knob}, {build} build"
             for program, build in ((PRODUCT, "static"), (PRODUCT_GLIBC, "glibc"))
             for source, knob in ((GREETED, "GREETDELAY"), (TARPITTED, "TARPITDELAY"))}
    memory = bench.in_turn([limit, *cases], measure, 3)
    for case, label in cases.items():
        goal = Goal("value", "<=", 20, "KiB") if case[0] == PRODUCT else None
        bench.table.add(label, "KiB", memory[case], memory[limit], goal, "smtpnull")


def memory_after_lists(bench, rules):
    """Held by GREETDELAY with all answers there: no list has the client."""

    def measure(case):
        source, count = case
        names.script = lambda *_: (0, False)
        names.reset()
        with bench.server([PRODUCT], rules=rules, DISCARD="1", DNSCACHEIP=names.address) as server, \
                Crowd(server) as crowd:
            for n in range(HELD):
                crowd.join(1, source)
                await_answers(names, (n + 1) * count)
            return mean_memory(server, crowd, PRODUCT)

    cases = [(ASKED_5, 5), (ASKED_20, 20)]
    try:
        with NameServer() as names:
            memory = bench.in_turn(cases, measure, 3)
    except NoPort as trouble:
        bench.table.note(f"{trouble}: memory after DNS lists is not measured")
        return
    for case in cases:
        bench.table.add(f"memory, GREETDELAY and {case[1]} lists asked, static build", "KiB", memory[case], [],
                        Goal("value", "<=", 20, "KiB"))


def await_answers(names, count):
    end = time.monotonic() + 10
    while len(names.sent) < count:
        if not select.select([names.socket], [], [], max(0, end - time.monotonic()))[0]:
            raise Failed(f"{len(names.asked)} questions instead of {count}")
        names.take()
        names.answer()


def fresh_clients(bench, rules, many):
    """Half of the held ones wait for the banner, half for the reply to RCPT."""
    rounds = 2 if bench.quick else 5

    def late(server):
        """Milliseconds after the due time: (median, latest) of some fresh clients."""
        delays = [(delay - DUE) * 1e3 for delay in banner_delays(server.port, FRESH, FRESH_CLIENTS, APART)]
        if min(delays) < 0:
            raise Failed(f"a banner came {-min(delays):.1f} ms before its due time")
        return median(delays), max(delays)

    with bench.server([PRODUCT], rules=rules, sessions=many + 1000, DISCARD="1") as server, Crowd(server) as crowd:
        alone = [late(server) for _ in range(rounds)]
        bench.say(f"holding {many:,} sessions")
        free, began = available_kib(), time.monotonic()
        for source in GREETED, TARPITTED:
            join(crowd, source, many // 2)
        await_waiting(server.sessions(), PRODUCT)
        took, used = time.monotonic() - began, free - available_kib()
        before = server.group.seconds() if server.group.live else None
        began = time.monotonic()
        among = [late(server) for _ in range(rounds)]
        if before is not None:
            busy = (server.group.seconds() - before) / (time.monotonic() - began)
        await_no_more(server, many)
        crowd.check()
    goal = Goal("value", "<=", 50, "ms")
    add = bench.table.add
    add(f"banner after its due time, {many:,} held", "ms", [m for m, _ in among], [m for m, _ in alone], goal,
        "none held")
    add(f"  the latest of {FRESH_CLIENTS}", "ms", [m for _, m in among], [m for _, m in alone], goal, "none held")
    add("  memory of the machine per session held, the kernel's included", "KiB", [used / many])
    bench.table.note(f"{many:,} sessions began within {took:.1f} s"
                     + (f"; held, they and {FRESH_CLIENTS} fresh clients in {DUE} s took {busy:.1%} of a processor"
                        if before is not None else ""))


def await_no_more(server, many):
    """The fresh clients' sessions are over."""
    end = time.monotonic() + 10
    while len(server.sessions()) > many and time.monotonic() < end:
        time.sleep(0.005)


SECTIONS = {
    "lists": (lists, "DNS lists that answer after 100 ms: from the last answer needed"),
    "door": (door, "Door: sessions without lists, delays or refuse mode"),
    "held": (held, "Held sessions: memory of 100, clients beside 5,000"),
}
