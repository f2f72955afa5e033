"""Serve like the reference, rebuilt from a description: a form, a one-row DataFrame, a page.

``mlflow.pyfunc`` loads MODEL. Where a vectorizer lies beside it, as in the reference, the service
cleans the text again and counts its words; otherwise the model takes the raw text. Without MODEL
the probability is 0.5.
"""

import os
import pickle
import time
from collections.abc import Callable
from pathlib import Path

import mlflow.pyfunc
import pandas as pd
from flask import Flask, Response, render_template_string, request
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram, generate_latest

from benchmarks.reference import VECTORIZER, clean

PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Sentiment</title></head>
<body>
<h1>Sentiment</h1>
<form method="post" action="/predict">
<textarea name="text" rows="8" cols="80"></textarea>
<button type="submit">Predict</button>
</form>
{% if result is not none %}<p>Result: <output>{{ result }}</output></p>{% endif %}
</body>
</html>
"""

app = Flask(__name__)
requests = Counter("app_request_count", "Requests", ["method", "endpoint"])
latency = Histogram("app_request_latency_seconds", "Latency", ["endpoint"])
predictions = Counter("model_prediction_count", "Predictions", ["prediction"])


def load() -> Callable[[str], float]:
    folder = os.environ.get("MODEL")
    if folder is None:
        return lambda text: 0.5
    model = mlflow.pyfunc.load_model(folder)
    beside = Path(folder).parent / VECTORIZER
    if not beside.exists():
        return lambda text: float(model.predict(pd.DataFrame([text]))[0, 1])
    vectorizer = pickle.loads(beside.read_bytes())  # noqa: S301 - our own

    def predict(text: str) -> float:
        counts = vectorizer.transform([clean(text)])
        return float(model.predict(pd.DataFrame(counts.toarray()))[0])

    return predict


score = load()


@app.get("/")
def home() -> str:
    return render_template_string(PAGE, result=None)


@app.post("/predict")
def predict() -> str:
    requests.labels("POST", "/predict").inc()
    started = time.time()
    result = score(request.form["text"])
    predictions.labels("positive" if result > 0.5 else "negative").inc()
    page = render_template_string(PAGE, result=result)
    latency.labels("/predict").observe(time.time() - started)
    return page


@app.get("/metrics")
def metrics() -> Response:
    return Response(generate_latest(), mimetype=CONTENT_TYPE_LATEST)
