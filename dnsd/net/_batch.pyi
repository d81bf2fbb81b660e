import mmap
from collections.abc import Callable, Hashable

from dnsd.engine.entry import Octets
from dnsd.net.limits import OverLimit, Ranges, RateLimiter
from dnsd.net.picks import Picked
from dnsd.net.reply import DnsReply

BATCH_SIZE: int
PICKS: int

class Batch:
    is_full: bool
    def __init__(
        self,
        fd: int,
        answer: Callable[[bytes, bytes], DnsReply],
        not_sent: Callable[[bytes], None],
        wants_ancillary: bool,
        max_known: int,
    ) -> None: ...
    def exchange(self) -> int: ...
    def take(self) -> list[tuple[Hashable, int, int, int, bool]]: ...
    def picked(self) -> Picked: ...
    def forget(self, octets: Octets, overlay: Octets | None, limiter: RateLimiter | None, /) -> None: ...

class Limiter:
    def __init__(
        self,
        times: memoryview[float],
        excess: bytearray | mmap.mmap,
        key: bytes,
        interval_s: float,
        ahead_s: float,
        slip: int,
        log_only: bool,
        prefixes: tuple[int, int],
        exempt: Ranges,
    ) -> None: ...
    def verdict(self, ip: bytes, kind: bytes, now: float, /) -> int: ...
    def drops(self, ip: bytes, kind: bytes, now: float, /) -> bool: ...
    def take(self) -> OverLimit: ...
