"""Which hosts only this machine can mean, by their looks: nothing is resolved."""

import ipaddress
from functools import lru_cache


@lru_cache(maxsize=256)  # asked several times a request, mostly about the same two names
def is_loopback(host: str | None) -> bool:
    """A name or address of this machine's own. None (no TCP address at all) is a Unix socket."""
    if host is None:
        return True
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
