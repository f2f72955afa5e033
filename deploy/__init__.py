"""From a registered version to a cluster: images, canary, rollout, rollback."""
