"""Volumes over TLS, with clients that are not ours: libnbd's GnuTLS, qemu-img and nbdcopy."""

import json
import subprocess
import unittest

import nbd

from clients import random_bytes
from harness import SiteCase, Worker, binary, clean_environment

MIB = 1 << 20


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def make_certificates(directory):
    """An authority, a server's certificate for 127.0.0.1, and a client's, named as GnuTLS wants them."""
    directory.mkdir()
    extension = directory / "names.cnf"
    extension.write_text("subjectAltName = IP:127.0.0.1, DNS:localhost\n", encoding="ascii")
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=authority",
            "-keyout", directory / "ca-key.pem", "-out", directory / "ca-cert.pem")
    for name in ("server", "client"):
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
                "-keyout", directory / f"{name}-key.pem", "-out", directory / f"{name}.csr")
        openssl("x509", "-req", "-in", directory / f"{name}.csr", "-days", "2", "-CAcreateserial",
                "-CA", directory / "ca-cert.pem", "-CAkey", directory / "ca-key.pem",
                "-extfile", extension, "-out", directory / f"{name}-cert.pem")
    return directory


class Secured(SiteCase):
    """A worker of its own beside the shared one, with a broker prefix and volumes of its own."""

    required = True

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        home = cls.site.directory / cls.__name__
        cls.certificates = make_certificates(cls.site.directory / f"{cls.__name__}-tls")
        cls.worker = Worker(home, cls.site.broker.uri, prefix=cls.__name__.lower())
        cls.worker.configuration["nbd"] |= {"tls": {
            "certificate": str(cls.certificates / "server-cert.pem"),
            "key": str(cls.certificates / "server-key.pem"),
            "ca": str(cls.certificates / "ca-cert.pem"),
            "required": cls.required,
        }}
        cls.worker.start()
        cls.send("CreateVolumes", "box1", volumes=[
            {"id": "0100", "capacity": "8MiB", "safeguardedMultiplier": 16}])

    @classmethod
    def tearDownClass(cls):
        cls.worker.terminate()
        super().tearDownClass()

    @classmethod
    def send(cls, command, target, **parameters):
        words = [f"--parameter={name}={json.dumps(value)}" for name, value in parameters.items()]
        subprocess.run(
            [binary(), "send", command, target, "--config",
             str(cls.worker.directory / "stillpoint.yaml"), *words],
            check=True, capture_output=True, stdin=subprocess.DEVNULL, env=clean_environment(),
            timeout=60)

    def connect(self, tls, certificates=True):
        host = nbd.NBD()
        host.set_export_name("box1:0100")
        host.set_tls(tls)
        if certificates:
            host.set_tls_certificates(str(self.certificates))
        host.connect_tcp("127.0.0.1", str(self.worker.nbd_port))
        return host

    def socket(self):
        return f"127.0.0.1:{self.worker.nbd_port}"


class TLSRequired(Secured):
    def test_bytes_written_through_tls_are_read_through_tls(self):
        host = self.connect(nbd.TLS_REQUIRE)
        self.assertTrue(host.get_tls_negotiated())
        data = random_bytes(3 * MIB)
        host.pwrite(data, 4096)
        host.flush()
        self.assertEqual(data, host.pread(len(data), 4096))
        self.assertEqual(data[:777], host.pread(777, 4096))
        host.shutdown()

    def test_without_tls_nothing_is_served(self):
        with self.assertRaises(nbd.Error):
            self.connect(nbd.TLS_DISABLE)

    def test_a_client_without_a_certificate_is_turned_away(self):
        empty = self.certificates / "empty"
        empty.mkdir(exist_ok=True)
        (empty / "ca-cert.pem").write_bytes((self.certificates / "ca-cert.pem").read_bytes())
        host = nbd.NBD()
        host.set_export_name("box1:0100")
        host.set_tls(nbd.TLS_REQUIRE)
        host.set_tls_certificates(str(empty))
        with self.assertRaises(nbd.Error):
            host.connect_tcp("127.0.0.1", str(self.worker.nbd_port))
            host.pread(512, 0)

    def test_qemu_and_nbdcopy_read_what_is_there(self):
        host = self.connect(nbd.TLS_REQUIRE)
        data = random_bytes(8 * MIB)
        host.pwrite(data, 0)
        host.flush()
        copy = self.site.directory / "copied.raw"
        subprocess.run(
            ["nbdcopy", f"nbds://{self.socket()}/box1:0100?tls-certificates={self.certificates}",
             str(copy)], check=True, capture_output=True, timeout=60)
        self.assertEqual(data, copy.read_bytes())
        subprocess.run(
            ["qemu-img", "convert", "-O", "raw", "--object",
             f"tls-creds-x509,id=tls0,endpoint=client,dir={self.certificates}", "--image-opts",
             f"driver=nbd,host=127.0.0.1,port={self.worker.nbd_port},export=box1:0100,"
             "tls-creds=tls0", str(copy)], check=True, capture_output=True, timeout=60)
        self.assertEqual(data, copy.read_bytes())

    def test_the_worker_outlives_clients_that_break_off(self):
        for _ in range(20):
            host = self.connect(nbd.TLS_REQUIRE)
            for _ in range(8):
                host.aio_pread(nbd.Buffer(2 * MIB), 0)
            del host
        self.assertEqual(MIB, len(self.connect(nbd.TLS_REQUIRE).pread(MIB, 0)))


class TLSOffered(Secured):
    required = False

    def test_both_are_served_and_see_the_same(self):
        plain, secure = self.connect(nbd.TLS_DISABLE), self.connect(nbd.TLS_REQUIRE)
        secure.pwrite(b"s" * 4096, 8192)
        self.assertEqual(b"s" * 4096, plain.pread(4096, 8192))
        self.assertFalse(plain.get_tls_negotiated())


if __name__ == "__main__":
    unittest.main()
