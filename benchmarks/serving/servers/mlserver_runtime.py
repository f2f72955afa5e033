"""Serve with a custom runtime of MLServer."""

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse

from benchmarks.serving.servers import pipeline


class Sentiment(MLModel):
    async def load(self) -> bool:
        self._probabilities = pipeline.load()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        texts = StringCodec.decode_input(payload.inputs[0])
        probabilities = np.array(self._probabilities(texts))
        output = NumpyCodec.encode_output("probability", probabilities)
        return InferenceResponse(model_name=self.name, outputs=[output])
