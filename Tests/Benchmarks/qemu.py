"""The peer: qemu-storage-daemon, driven over QMP."""
import json, os, pathlib, shutil, socket, subprocess, tempfile, time


class StorageDaemon:
    """One daemon with as many raw nodes as asked for; ended by pid."""

    def __init__(self, arguments, place):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="qsd.", dir=place))
        self.monitor = self.directory / "qmp"
        self.process = subprocess.Popen(
            ["qemu-storage-daemon", "--chardev", f"socket,id=m,path={self.monitor},server=on,wait=off",
             "--monitor", "chardev=m", *arguments], stderr=subprocess.DEVNULL)
        self.socket = socket.socket(socket.AF_UNIX)
        for _ in range(500):
            try:
                self.socket.connect(str(self.monitor))
                break
            except OSError:
                time.sleep(0.02)
        self.stream = self.socket.makefile("rwb")
        self.stream.readline()
        self.execute("qmp_capabilities")

    def execute(self, command, **arguments):
        message = {"execute": command, **({"arguments": arguments} if arguments else {})}
        self.stream.write(json.dumps(message).encode() + b"\n")
        self.stream.flush()
        while True:
            answer = json.loads(self.stream.readline())
            if "return" in answer or "error" in answer:
                if "error" in answer:
                    raise RuntimeError(answer)
                return answer["return"]

    def close(self):
        self.process.terminate()
        self.process.wait(20)
        shutil.rmtree(self.directory, ignore_errors=True)


def transaction_seconds(volumes, place, size="64M"):
    """How long a transaction of that many fleecing backup jobs takes, on sparse raw files."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="qemu.", dir=place))
    arguments = []
    for number in range(volumes):
        path = directory / f"{number}.raw"
        subprocess.run(["truncate", "-s", size, str(path)], check=True)
        arguments += ["--blockdev", f"driver=raw,node-name=v{number},file.driver=file,file.filename={path}",
                      "--blockdev", f"driver=null-co,node-name=t{number},size={64 << 20},read-zeroes=on"]
    daemon = StorageDaemon(arguments, place)
    try:
        actions = [{"type": "blockdev-backup",
                    "data": {"device": f"v{n}", "target": f"t{n}", "sync": "none", "job-id": f"j{n}"}}
                   for n in range(volumes)]
        began = time.monotonic()
        daemon.execute("transaction", actions=actions)
        return time.monotonic() - began
    finally:
        daemon.close()
        shutil.rmtree(directory, ignore_errors=True)
