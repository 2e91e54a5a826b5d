"""What every settings section is.

A section's hash is part of the code version of the assets it governs, so an edit makes exactly those stale.
"""

import hashlib
import json

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """One part of domain.yaml: immutable, and a key it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    def version(self) -> str:
        """Hash of the content, equal for equal settings however they were written down."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]
