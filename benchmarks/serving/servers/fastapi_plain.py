"""Serve with FastAPI; it runs the plain function in a thread, off its event loop."""

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
