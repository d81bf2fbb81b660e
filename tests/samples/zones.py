"""Sample zones as other programs write them; README.md says how each was made."""

from pathlib import Path

ZONES = sorted(Path(__file__).parent.glob("*.zone"))
EXPORT, SIGNED = ZONES
