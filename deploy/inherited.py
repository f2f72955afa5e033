"""Find what KServe would give a canary from the stable predictor, and refuse such a canary.

KServe copies the stable predictor and merges the canary's spec into the copy (buildCanaryPredictor,
in August 2026: mergo with override). A field that the canary leaves out, or sets to an empty value,
keeps the stable predictor's value until the promotion, which then replaces the pods that were
judged. Lists are replaced whole, so nothing inside a container is inherited.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from components.errors import UserError
from deploy.overlay import TEMPLATE, Predictor

# maps of strings, in which an empty string is a value
_MAPS = ("labels", "annotations", "nodeSelector")
# the Deployment's, not the pods'
_IGNORED = ("deploymentStrategy",)


def require_own_fields(canary: Predictor, stable: Predictor) -> None:
    """Check that the canary's pods would be the same after its promotion.

    Raises:
        UserError: KServe would give the canary fields of the stable predictor.
    """
    spec = {key: value for key, value in stable.spec.items() if key not in _IGNORED}
    fields = list(inherited(spec, canary.spec))
    if fields:
        raise UserError(
            f"{TEMPLATE}: {', '.join(fields)}: {stable.name} has a value, and {canary.name} none or"
            " an empty one; KServe gives a canary the stable predictor's value until it is"
            " promoted, so other pods would be promoted than were judged. Give each a value that is"
            " not empty, such as Kubernetes' default"
        )


def inherited(
    stable: Mapping[str, Any], canary: Mapping[str, Any], path: str = ""
) -> Iterator[str]:
    """Yield the fields, as ``nodeSelector.disk``, that the canary would get from the stable one."""
    for key, value in stable.items():
        own, field = canary.get(key), f"{path}{key}"
        if isinstance(value, Mapping):
            yield from inherited(value, own or {}, f"{field}.")
        elif own is None:
            if value not in (None, "", []):
                yield field
        elif value and not own and path.rstrip(".") not in _MAPS:
            yield field
