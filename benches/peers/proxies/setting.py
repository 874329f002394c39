"""A proxy's setting: what the modules of the proxies are asked, and what they give."""

import dataclasses
import pathlib

from lab import certificate, free_ports


@dataclasses.dataclass
class Ask:
    """What a setting is made from."""

    # Ports of the origins, which take requests in turn.
    origins: list
    # Where configs go, and the certificate that all share.
    scratch: pathlib.Path
    # Vanne's binary.
    vanne: str
    # The file of the access log; `None`: there is none.
    log: pathlib.Path | None = None

    def file(self, name, ending):
        """Where a proxy's config goes."""
        return self.scratch / f"{name}-{'on' if self.log else 'off'}.{ending}"

    def pem(self):
        """The certificate and its key, in one file."""
        return certificate(self.scratch)


@dataclasses.dataclass
class Setting:
    """A proxy, ready to start."""

    name: str
    command: list
    config: str
    version: str
    # Where it listens: HTTP/1 in plain text, HTTP/1 and HTTP/2 by TLS, HTTP/2 in plain text.
    port: int
    tls_port: int
    h2c_port: int
    # The access log, and whether it is what the process prints.
    log: pathlib.Path | None = None
    is_log_printed: bool = False

    def port_of(self, way):
        """The port for `h1`, `h1s`, `h2` or `h2c`."""
        return {"h1": self.port, "h1s": self.tls_port, "h2": self.tls_port, "h2c": self.h2c_port}[way]


def listeners():
    """A port for each way in, by its name in Setting and in the configs."""
    return dict(zip(("port", "tls_port", "h2c_port"), free_ports(3)))
