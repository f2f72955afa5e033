"""Load and unload the model over v2, where an operator allows it."""

import asyncio
from collections.abc import Callable

from kserve import ModelRepository
from kserve.errors import ModelNotFound, ModelNotReady
from kserve.protocol.model_repository_extension import ModelRepositoryExtension

from serving.errors import ForbiddenError
from serving.model.registry import SourceError
from serving.predictor import SentimentPredictor


class ModelControl(ModelRepositoryExtension):
    """Loads the model from its source, which may have another one by then.

    KServe cannot load a model again that it has unloaded (seen with kserve 0.21.0). Any client
    that reaches the port could unload the model, so both are refused unless ``allowed``.
    """

    def __init__(
        self,
        repository: ModelRepository,
        predictor: SentimentPredictor,
        allowed: bool,
        announce: Callable[[], None],
    ) -> None:
        """``announce`` is called after each load and unload."""
        super().__init__(repository)
        self._predictor = predictor
        self._allowed = allowed
        self._announce = announce

    async def load(self, model_name: str) -> None:
        self._check(model_name)
        try:
            await asyncio.to_thread(self._predictor.load)
        except SourceError as error:
            raise ModelNotReady(model_name, str(error)) from error
        self._model_registry.update(self._predictor)
        self._announce()

    async def unload(self, model_name: str) -> None:
        self._check(model_name)
        await super().unload(model_name)
        self._announce()

    def _check(self, model_name: str) -> None:
        if not self._allowed:
            raise ForbiddenError(
                "models are loaded and unloaded only with --model_control explicit"
            )
        if model_name != self._predictor.name:
            raise ModelNotFound(model_name)
