"""From a registered version to a cluster: images, canary, rollout, rollback."""

import components  # noqa: F401 - first, as it sets the HOME that MLflow needs
