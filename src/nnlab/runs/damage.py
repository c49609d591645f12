"""Is a journal what was written, from its first line to its last? Looked at without decoding it."""

from pathlib import Path
from zlib import crc32

from nnlab.runs.journal import HEAD


def damage(path: Path) -> str | None:
    """Where the journal is damaged; None where every whole line is as it was written.

    As `journal.read` sees it, in a tenth of the time.
    """
    offset = 0
    with path.open("rb") as file:
        for n, line in enumerate(file):
            if not line.endswith(b"\n"):  # torn, or still to come
                break
            body = memoryview(line)[HEAD:-1]
            if not line.startswith(b'{"crc":"%08x","n":%d,' % (crc32(body), n)):
                return f"damaged at byte {offset:,}: record {n:,} was expected there"
            offset += len(line)
    return None
