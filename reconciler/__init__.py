"""Config as code for contact-centre interactions: declare in YAML, plan, apply, record."""

from typing import Final

__version__ = "0.9.0"
DISTRIBUTION: Final = "vcc-reconciler"
"""What to install; on the public index, `reconciler` is another project's."""
