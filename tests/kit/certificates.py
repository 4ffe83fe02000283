"""A certificate authority of the test's own, made by `openssl`."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Authority:
    """Signs certificates; its own is in `certificate`.

    Args:
        folder: where its files go.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.certificate, self._key = folder / "ca.pem", folder / "ca.key"
        _openssl(
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test authority"),
            *("-keyout", str(self._key), "-out", str(self.certificate)),
        )

    def sign(self, name: str) -> tuple[Path, Path]:
        """Return a certificate for a name or an address, as `DNS:example` or `IP:127.0.0.1`, and its key."""
        stem = name.replace(":", "-")
        request, extensions = self._folder / f"{stem}.csr", self._folder / f"{stem}.ext"
        certificate, key = self._folder / f"{stem}.pem", self._folder / f"{stem}.key"
        extensions.write_text(f"subjectAltName={name}\n")
        _openssl(
            *("req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=server"),
            *("-keyout", str(key), "-out", str(request)),
        )
        _openssl(
            *("x509", "-req", "-in", str(request), "-CA", str(self.certificate), "-CAkey", str(self._key)),
            *("-CAcreateserial", "-days", "2", "-extfile", str(extensions), "-out", str(certificate)),
        )
        return certificate, key


def _openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
