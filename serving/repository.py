"""Load and unload over v2: KServe's own repository cannot load what it has unloaded."""

import asyncio

from kserve import ModelRepository
from kserve.errors import ModelNotFound, ModelNotReady
from kserve.protocol.model_repository_extension import ModelRepositoryExtension

from serving.errors import ForbiddenError
from serving.model.registry import SourceError
from serving.predictor import SentimentPredictor


class ModelControl(ModelRepositoryExtension):
    """Takes the model in again from its source, which may have another one now.

    Anyone who reaches the port could unload the model; so this is off until it is asked for.
    """

    def __init__(
        self, repository: ModelRepository, predictor: SentimentPredictor, allowed: bool
    ) -> None:
        super().__init__(repository)
        self._predictor = predictor
        self._allowed = allowed

    async def load(self, model_name: str) -> None:
        self._check(model_name)
        try:
            await asyncio.to_thread(self._predictor.load)
        except SourceError as error:
            raise ModelNotReady(model_name, str(error)) from error
        self._model_registry.update(self._predictor)

    async def unload(self, model_name: str) -> None:
        self._check(model_name)
        await super().unload(model_name)

    def _check(self, model_name: str) -> None:
        if not self._allowed:
            raise ForbiddenError(
                "models are loaded and unloaded only with --model_control explicit"
            )
        if model_name != self._predictor.name:
            raise ModelNotFound(model_name)
