"""Who is in the lab and where.

                         internet (bridge, 198.51.100.0/24, 2001:db8:1::/64)
        ┌───────────────┬───────────────┬───────────────┬───────────────┬───────────────┐
   controller        ledger            web            trader          clerk            jump
   198.51.100.1   198.51.100.10   198.51.100.11   198.51.100.20   198.51.100.21   198.51.100.22
   cordon-         segment          segment         laptop of       laptop of       shared by ann
   controller      settlement:      web: nginx      trader@         clerk@          and ben@acme.example
                   PostgreSQL 5432,  443            acme.example    acme.example    (uids 30011, 30012)
                   nginx 443, 8080    │             (uid 30001)     (uid 30002)
                                      │ lan0: 192.0.2.1/24, 2001:db8:2::1/64
                                   printer
                                   192.0.2.7, 2001:db8:2::7: no daemon; web forwards to it
"""
from dataclasses import dataclass
from typing import Optional


@dataclass(frozen=True)
class Person:
    name: str                    # on the host
    uid: int
    user: str                    # at the controller


@dataclass(frozen=True)
class Host:
    name: str
    number: int                  # last part of its underlay addresses
    tags: tuple = ()
    people: tuple = ()           # nobody: a server
    node: bool = True            # runs cordon-node
    gateway: Optional[str] = None  # the host behind which it is, in the gateway's own network

    @property
    def uid(self):
        """Of the laptop's person; 0 where there is nobody, or several."""
        return self.people[0].uid if len(self.people) == 1 else 0

    @property
    def person(self) -> Optional[str]:
        return self.people[0].user if len(self.people) == 1 else None

    def named(self, name):
        """Its person of that name, or None."""
        return next((person for person in self.people if person.name == name), None)

    @property
    def v4(self):
        return f"192.0.2.{self.number}" if self.gateway else f"198.51.100.{self.number}"

    @property
    def v6(self):
        return f"2001:db8:2::{self.number:x}" if self.gateway else f"2001:db8:1::{self.number:x}"


CONTROLLER = Host("controller", 1, node=False)
HOSTS = (
    CONTROLLER,
    Host("ledger", 10, tags=("settlement",)),
    Host("web", 11, tags=("web",)),
    Host("printer", 7, node=False, gateway="web"),
    Host("trader", 20, tags=("laptop",), people=(Person("trader", 30001, "trader@acme.example"),)),
    Host("clerk", 21, tags=("laptop",), people=(Person("clerk", 30002, "clerk@acme.example"),)),
    Host("jump", 22, tags=("jump",), people=(Person("ann", 30011, "ann@acme.example"),
                                             Person("ben", 30012, "ben@acme.example"))),
)
BEHIND = {"web": ("192.0.2.0/24", "2001:db8:2::/64")}  # a gateway's subnets; it has the first address in each
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
    "ann@acme.example": "every row has its index",
    "ben@acme.example": "trust but read the minutes",
}

POLICY = """\
[groups]
traders  = {{ users = ["trader@acme.example"] }}
dba      = {{ users = ["ann@acme.example"] }}
auditors = {{ users = ["ben@acme.example"] }}

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

[[allow]]
name  = "dba-to-ledger"
from  = {{ groups = ["dba"] }}
to    = ["settlement/ledger", "settlement/probe"]
lease = "{lease}"

[[allow]]
name  = "auditors-to-site"
from  = {{ groups = ["auditors"] }}
to    = ["web/site"]
lease = "{lease}"
"""

FREEZE = """
[[forbid]]
name = "settlement-freeze"
from = { groups = ["traders"] }
to   = ["settlement/*"]
"""
