from collections.abc import Callable, Container, Hashable

from dnsd.net.picks import Picked
from dnsd.net.udp import Learned

BATCH_SIZE: int
PICKS: int

class Batch:
    is_full: bool
    def __init__(
        self,
        fd: int,
        learn: Callable[[bytes, str], Learned],
        limits: Callable[[bytes], bool],
        passes: Callable[[bytes, Hashable], bool],
        not_sent: Callable[[bytes], None],
        wants_ancillary: bool,
        max_known: int,
    ) -> None: ...
    def exchange(self) -> int: ...
    def take(self) -> list[tuple[Hashable, int, bool]]: ...
    def picked(self) -> Picked: ...
    def forget(self, names: Container[bytes], longest: int, /) -> None: ...
