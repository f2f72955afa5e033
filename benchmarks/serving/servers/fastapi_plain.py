"""FastAPI; a plain function, which it runs in a thread, as the work would block its loop."""

from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.serving.servers import pipeline


class Reviews(BaseModel):
    texts: list[str]


class Predictions(BaseModel):
    probabilities: list[float]


app = FastAPI()
probabilities = pipeline.load()


@app.post("/predict")
def predict(reviews: Reviews) -> Predictions:
    return Predictions(probabilities=probabilities(reviews.texts))
