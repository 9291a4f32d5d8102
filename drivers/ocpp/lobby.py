"""Connections whose handshake is not finished yet: how many there may be, and who gives way."""

import ipaddress
import resource
from collections import defaultdict
from collections.abc import Callable
from typing import Final, Self

MAX_WAITING: Final = 1_024
"""Of all addresses: a site of a thousand stations may come back in one second."""

FILES_RATIO: Final = 0.25
"""The most of the process's files they may take: the rest is for stations, meters and the ledger."""

PREFIX_BITS: Final = {4: 32, 6: 64}
"""Whoever has one IPv6 address has 2⁶⁴ of them."""

End = Callable[[], None]


class Lobby:
    """Who is on the way in. When it is full the one that waits longest has to leave.

    A handshake takes a round trip, so who waits longest is who will not finish it: a station that
    comes in the midst of a thousand idle sockets, even behind the same router, still gets in. One
    address has at most half of the places, so that it does not crowd out the others.
    """

    def __init__(self, *, most: int, most_of_one: int) -> None:
        """Begin empty; `most_of_one` is for one address."""
        self._most = most
        self._most_of_one = most_of_one
        # Oldest first, as dicts are.
        self._waiting: dict[object, tuple[str, End]] = {}
        self._of_address: defaultdict[str, dict[object, None]] = defaultdict(dict)
        self._is_closed = False
        self.tell: Callable[[str], None] = lambda _: None
        """Is told the address, or its network, of each that had to leave."""

    @classmethod
    def for_this_process(cls) -> Self:
        """Return one that leaves the process files enough."""
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = MAX_WAITING if files == resource.RLIM_INFINITY else int(files * FILES_RATIO)
        most = min(MAX_WAITING, most)
        return cls(most=most, most_of_one=most // 2)

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    def enter(self, who: object, *, address: str, end: End) -> None:
        """Take in a connection; `end` is called if it has to leave before it is through."""
        if self._is_closed:
            end()
            return
        place = _place(address)
        self._waiting[who] = place, end
        self._of_address[place][who] = None
        if len(self._of_address[place]) > self._most_of_one:
            self._crowd_out(next(iter(self._of_address[place])))
        elif len(self._waiting) > self._most:
            fullest = max(self._of_address.values(), key=len)
            self._crowd_out(next(iter(fullest)))

    def leave(self, who: object) -> None:
        """Let a connection go: its handshake is done, or it is gone. Idempotent."""
        place, _ = self._waiting.pop(who, ("", None))
        others = self._of_address.get(place)
        if others is not None:
            others.pop(who, None)
            if not others:
                del self._of_address[place]

    def close(self) -> None:
        """End whoever waits, and whoever comes."""
        self._is_closed = True
        for _, end in tuple(self._waiting.values()):
            end()

    def _crowd_out(self, who: object) -> None:
        place, end = self._waiting[who]
        self.leave(who)
        end()
        self.tell(place)


def _place(address: str) -> str:
    """Return what one peer cannot choose of its address."""
    try:
        known = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(known, ipaddress.IPv6Address) and known.ipv4_mapped is not None:
        known = known.ipv4_mapped
    bits = PREFIX_BITS[known.version]
    return str(ipaddress.ip_network((known, bits), strict=False))
