"""Who is in the lab and where.

                         internet (bridge, 198.51.100.0/24, 2001:db8:1::/64)
        ┌───────────────┬───────────────┬───────────────┬───────────────┐
   controller        ledger            web            trader          clerk
   198.51.100.1   198.51.100.10   198.51.100.11   198.51.100.20   198.51.100.21
   cordon-         segment          segment         laptop of       laptop of
   controller      settlement:      web: nginx      trader@         clerk@
                   PostgreSQL 5432,  443            acme.example    acme.example
                   nginx 443, 8080                  (uid 30001)     (uid 30002)
"""
from dataclasses import dataclass
from typing import Optional


@dataclass(frozen=True)
class Host:
    name: str
    number: int                  # last part of its underlay addresses
    tags: tuple = ()
    uid: int = 0                 # of the laptop's person; 0: a server
    person: Optional[str] = None
    node: bool = True            # runs cordon-node

    @property
    def v4(self):
        return f"198.51.100.{self.number}"

    @property
    def v6(self):
        return f"2001:db8:1::{self.number:x}"


CONTROLLER = Host("controller", 1, node=False)
HOSTS = (
    CONTROLLER,
    Host("ledger", 10, tags=("settlement",)),
    Host("web", 11, tags=("web",)),
    Host("trader", 20, tags=("laptop",), uid=30001, person="trader@acme.example"),
    Host("clerk", 21, tags=("laptop",), uid=30002, person="clerk@acme.example"),
)
NODES = tuple(host for host in HOSTS if host.node)
BY_NAME = {host.name: host for host in HOSTS}

NODE_PORT = 7443
API_PORT = 8443
PROBE_PORT = 7007                # UDP echo on ledger, for counting lost packets
TRUST_DOMAIN = "acme.example"

# Passwords of the lab's people; they live as long as the lab does.
PASSWORDS = {
    "trader@acme.example": "correct horse battery staple",
    "clerk@acme.example": "many small paper clips",
}

POLICY = """\
[groups]
traders = {{ users = ["trader@acme.example"] }}

[segments.settlement]
members     = ["tag:settlement"]
sensitivity = "high"
owner       = "settlement-team"
[segments.settlement.services]
ledger = ["tcp/5432"]
web    = ["tcp/443", "tcp/8080"]
probe  = ["udp/7007", "ping"]

[segments.web]
members = ["tag:web"]
[segments.web.services]
site = ["tcp/443"]

[[allow]]
name  = "traders-to-settlement"
from  = {{ groups = ["traders"] }}
to    = ["settlement/*"]
lease = "{lease}"

[[allow]]
name  = "web-to-ledger"
from  = {{ segments = ["web"] }}
to    = ["settlement/ledger"]
lease = "{lease}"
"""

FREEZE = """
[[forbid]]
name = "settlement-freeze"
from = { groups = ["traders"] }
to   = ["settlement/*"]
"""
