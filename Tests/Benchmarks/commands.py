#!/usr/bin/python3
"""Commands a second, from the queue to acknowledged with events confirmed, over 1,000 sessions on quorum
queues; beside a bare C program that consumes, publishes one confirmed event and acknowledges, with no
state at all. Interleaved; medians.

  commands.py [COMMANDS 20000] [ROUNDS 3] [ModifySession|DescribeSession]
"""
import json, subprocess, sys, time
import pika
from bench_site import Site, compile_c, median, HERE

commands = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
kind = sys.argv[3] if len(sys.argv) > 3 else "ModifySession"
SESSIONS = 1_000
COMPLETED = 'stillpoint_commands_total{outcome="completed"}'


def body(number, command, session, parameters):
    return json.dumps({"id": f"{command}-{number}", "command": command, "session": session,
                       **({"parameters": parameters} if parameters else {})}).encode()


def load(site, bodies):
    connection = pika.BlockingConnection(pika.URLParameters(site.uri))
    channel = connection.channel()
    properties = pika.BasicProperties(delivery_mode=2, content_type="application/json")
    for key, message in bodies:
        channel.basic_publish("stillpoint.commands", key, message, properties)
    connection.close()


def parameters(number):
    if kind == "ModifySession":
        return {"description": f"change {number}"}
    return {"parts": ["summary"]} if kind == "DescribeSession" else None


def ours(site, round_):
    load(site, ((f"s{n % SESSIONS}", body(f"{round_}-{n}", kind, f"s{n % SESSIONS}", parameters(n)))
                for n in range(commands)))
    site.start()
    began, seen = time.monotonic(), 0
    first = None
    while seen < commands:
        seen = site.metric(COMPLETED)
        if first is None and seen > 0:
            first = (time.monotonic(), seen)
        time.sleep(0.01)
    site.until(lambda: site.metric("stillpoint_outbox_owed") == 0, 60)
    seconds = time.monotonic() - first[0]
    site.stop()
    return (commands - first[1]) / seconds


def main():
    bare = compile_c(HERE / "bare/bare.c", "-lrabbitmq")
    site = Site()
    try:
        site.start()
        load(site, ((f"s{n}", body(n, "CreateSession", f"s{n}", {"type": "SafeguardedCopy"})) for n in range(SESSIONS)))
        site.until(lambda: site.metric(COMPLETED) >= SESSIONS, 120)
        site.stop()
        results = []
        for round_ in range(rounds):
            subprocess.run([bare, "127.0.0.1", str(site.port), str(commands), "load"], check=True, stdout=subprocess.DEVNULL)
            line = subprocess.check_output([bare, "127.0.0.1", str(site.port), str(commands)], text=True)
            peer = float(line.split()[-1].removesuffix("/s"))
            mine = ours(site, round_)
            results.append((mine, peer))
            print(f"round {round_}: bare: {line.strip()} | {kind}: {mine:.0f}/s | ratio {mine / peer:.2f}", flush=True)
        print(f"median: {kind} {median([a for a, _ in results]):.0f}/s, bare {median([b for _, b in results]):.0f}/s, "
              f"ratio {median([a / b for a, b in results]):.2f}")
    finally:
        site.close()


main()
